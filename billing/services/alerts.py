"""Balance alerts: people are told once each time a balance falls below a threshold that they chose.

What counts is the posted balance, without the credit limit and without calls that still run. A job looks each
minute; a balance that falls and recovers between two looks is not told of. An alert fires by a guarded update,
so that two workers tell it once, and is armed again when the balance is back at its threshold or above it.
"""

from collections.abc import Iterable

from django.db import transaction
from django.db.models import Exists, F, OuterRef
from django.db.models.expressions import CombinedExpression
from django.urls import reverse

from accounts.models import Notice, Organisation, User
from accounts.services import audit, notices
from billing.errors import BillingRefusal
from billing.models import BalanceAlert, Wallet
from newapi.kernel import clock, money

KIND = "balance.alert"
ALERTS_MAX = 5
# What is funded when the posted balance is at the threshold. What is owed is not there to be spent, so the posted
# balance is funded - used.
_AT_THRESHOLD = OuterRef("threshold_nano") + F("used_nano")


def watch(*, limit: int = 2000) -> int:
    """Arm what has recovered, then fire what has fallen, at most so many of each. Returns how many were told."""
    recovered = BalanceAlert.objects.filter(is_armed=False).filter(_recovered()).order_by("pk")
    for alert in recovered[:limit]:
        # Not if it has gone off again since it was read.
        BalanceAlert.objects.filter(pk=alert.pk, is_armed=False, crossings=alert.crossings).update(is_armed=True)
    fallen = BalanceAlert.objects.filter(is_armed=True).filter(_fallen()).select_related("organisation")
    # The deepest first: of several thresholds that were passed at once, the last notice is about the highest.
    return sum(_fire(alert) for alert in fallen.order_by("threshold_nano", "pk")[:limit])


@transaction.atomic
def set_thresholds(
    *,
    organisation: Organisation,
    thresholds_nano: Iterable[int],
    actor: User | None,
    reason: str,
    address: str | None = None,
) -> list[BalanceAlert]:
    """Have alerts at exactly these thresholds; those that stand already go on as they are.

    One that the balance is below already is not armed: nothing has fallen below it. Raises BillingRefusal.
    """
    wanted = set(thresholds_nano)
    if len(wanted) > ALERTS_MAX:
        raise BillingRefusal(f"At most {ALERTS_MAX} alerts.")
    if any(not 0 <= nano <= money.EXACT_MAX_NANO for nano in wanted):
        raise BillingRefusal("A threshold lies between 0 and about 9 million.")
    # Changes nothing, but of two at once the second waits here, so that together they leave no more than the most.
    Organisation.objects.filter(pk=organisation.pk).update(currency=F("currency"))
    standing = BalanceAlert.objects.filter(organisation=organisation)
    before = set(standing.values_list("threshold_nano", flat=True))
    standing.exclude(threshold_nano__in=wanted).delete()
    BalanceAlert.objects.bulk_create(
        BalanceAlert(organisation=organisation, threshold_nano=nano) for nano in sorted(wanted - before)
    )
    standing.filter(threshold_nano__in=wanted - before).filter(_fallen()).update(is_armed=False)
    if wanted != before:
        _record(organisation, before, wanted, actor=actor, reason=reason, address=address)
    return list(standing.order_by("-threshold_nano"))


def _fallen() -> Exists:
    """Whether the balance of an alert's organisation is below it. An organisation without a wallet lost nothing."""
    return _wallet_with(funded_nano__lt=_AT_THRESHOLD)


def _recovered() -> Exists:
    return _wallet_with(funded_nano__gte=_AT_THRESHOLD)


def _wallet_with(**wanted: CombinedExpression) -> Exists:
    own = Wallet.objects.filter(organisation=OuterRef("organisation"), currency=OuterRef("organisation__currency"))
    return Exists(own.filter(**wanted))


@transaction.atomic
def _fire(alert: BalanceAlert) -> bool:
    # By its own columns alone: with a condition on other tables, PostgreSQL would not look again after waiting.
    armed = BalanceAlert.objects.filter(pk=alert.pk, is_armed=True, crossings=alert.crossings)
    if not armed.update(is_armed=False, crossings=F("crossings") + 1, fired_at=clock.now()):
        return False
    alert.refresh_from_db(fields=["crossings"])
    organisation = alert.organisation
    wallet = Wallet.objects.get(organisation=organisation, currency=organisation.currency)
    posted_nano = wallet.funded_nano - wallet.used_nano
    if posted_nano >= alert.threshold_nano:
        # It has recovered since it was read; there is nothing to tell any more.
        transaction.set_rollback(True)
        return False
    threshold = money.display(alert.threshold_nano, wallet.currency)
    return notices.post(
        once=f"balance-alert:{alert.pk}:{alert.crossings}",
        kind=KIND,
        level=Notice.Level.WARNING if posted_nano > 0 else Notice.Level.DANGER,
        title=f"The balance of {organisation.name} is below {threshold}",
        body=_body(wallet, posted_nano),
        link=reverse("portal:balance", args=[organisation.slug]),
        audience=Notice.Audience.BILLING,
        organisation=organisation,
    )


def _body(wallet: Wallet, posted_nano: int) -> str:
    limit_nano = wallet.credit_limit_nano
    credit = f" and a credit limit of {money.display(limit_nano, wallet.currency)}" if limit_nano else ""
    return (
        f"It is {money.display(posted_nano, wallet.currency)}{credit}. Calls that cost more than can be spent are "
        "refused with 402. This is said again only after the balance has been back at the threshold."
    )


def _record(organisation: Organisation, before: set[int], wanted: set[int], **details: object) -> None:
    words = [", ".join(money.plain(nano) for nano in sorted(found)) for found in (before, wanted)]
    audit.record(
        action="balance_alert.set",
        target=organisation,
        changes={"thresholds": words},
        **details,  # type: ignore[arg-type]
    )
