"""What the admin says of batches of codes, in words and figures."""

from typing import Any

from django.db.models import Model
from django.http import HttpRequest

from accounts.admin import panels
from accounts.admin.pages import list_url
from billing.models import CodeBatch, Grant, Redemption, RedemptionCode
from billing.services import codes
from newapi.kernel import money

State = CodeBatch.State


def summary_of(batch: CodeBatch) -> tuple[tuple[str, str], ...]:
    """What an order comes to, to be confirmed."""
    each = money.display(batch.value_nano, batch.currency)
    worth = money.display(codes.worth_nano(batch), batch.currency)
    uses = "" if batch.uses_per_code == 1 else f", each up to {batch.uses_per_code:,} times"
    who = f"{batch.issuer} and its clients" if batch.issuer else "every organisation"
    kind = "sold: owed from the download on" if batch.category == Grant.Category.PAID else "given away"
    return (
        ("Codes", f"{batch.count:,} codes of {each}{uses}"),
        ("Worth in all, at most", worth),
        ("Purpose", f"{batch.get_purpose_display()}; {kind}"),
        ("Redeemed by", f"{who} with a wallet in {batch.currency}, {batch.uses_per_organisation:,} each"),
        ("Between", f"{batch.starts_at:%Y-%m-%d %H:%M} and just before {batch.expires_at:%Y-%m-%d %H:%M} UTC"),
        ("To be spent", f"within {batch.grant_days:,} days of the redemption" if batch.grant_days else "for good"),
        ("Promotion", str(batch.promotion or "none")),
    )


def progress_of(batch: CodeBatch) -> dict[str, Any]:
    """How far the making is: figures, words, and whether there is nothing more to wait for."""
    words = {
        State.QUEUED: f"{batch.count:,} codes wait to be made",
        State.MAKING: f"{batch.made:,} of {batch.count:,} codes are made",
        State.VOIDED: f"Voided after {batch.made:,} of {batch.count:,} codes were made",
    }.get(State(batch.state), f"All {batch.count:,} codes are made")
    return {
        "made": batch.made,
        "count": batch.count,
        # Rounded down: 100 is only ever all of them.
        "percent": batch.made * 100 // batch.count,
        "words": words,
        "is_done": batch.state not in (State.QUEUED, State.MAKING),
    }


def redeemed_of(batch: CodeBatch) -> str:
    """How often its codes were redeemed, and for how much; counted by the admin's query."""
    count: int = batch.redemption_count  # type: ignore[attr-defined]
    return f"{count:,} ({money.display(count * batch.value_nano, batch.currency)})"


@panels.on(CodeBatch)
def codes_of(request: HttpRequest, obj: Model) -> panels.Panel | None:
    """The ways to its codes and to what became of them."""
    assert isinstance(obj, CodeBatch)
    links = []
    if request.user.has_perm("billing.view_redemption"):
        links.append(panels.Link("Redemptions", list_url(Redemption, batch__id__exact=obj.pk), "redeem"))
    if request.user.has_perm("billing.view_redemptioncode"):
        links.append(
            panels.Link("Its codes, by their last symbols", list_url(RedemptionCode, batch__id__exact=obj.pk), "tag")
        )
    return panels.Panel(title="Codes", links=tuple(links)) if links else None
