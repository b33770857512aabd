"""Usage of a wrong price to be rated again at the right one: previewed, asked for, decided by a second person.

billing.services.rerating_run then does it.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import transaction
from django.urls import reverse

from accounts.models import Notice, Organisation, User
from accounts.services import audit, notices
from billing.errors import BillingRefusal
from billing.models import PriceVersion, Rerating
from billing.services import rerating_rows
from billing.services.rerating_rows import Difference
from newapi.kernel import clock

State = Rerating.State
SPAN_MAX = timedelta(days=400)
# Calls that began before are posted by now, as good as all of them.
POSTED_AFTER = timedelta(hours=1)
# What a preview looks at before it says that there is more.
PREVIEW_BATCHES_MAX = 50


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a re-rating would come to now. `sums`: calls and nano by organisation; not all when not `is_whole`."""

    seen: int
    sums: dict[Organisation, tuple[int, int]]
    is_whole: bool

    @property
    def nano(self) -> int:
        """In all; negative: given back."""
        return sum(nano for _, nano in self.sums.values())


def draft(
    *,
    wrong_price: PriceVersion,
    right_price: PriceVersion,
    organisation: Organisation | None,
    since: datetime,
    until: datetime,
) -> Rerating:
    """A re-rating as it would be asked for, unsaved. Raises BillingRefusal."""
    if wrong_price.pk == right_price.pk:
        raise BillingRefusal({"right_price": "This is the wrong price itself."})
    if wrong_price.model_id != right_price.model_id or wrong_price.currency != right_price.currency:
        raise BillingRefusal({"right_price": "The right price is of the same model and currency."})
    if right_price.is_withdrawn:
        raise BillingRefusal({"right_price": "A withdrawal is no price."})
    if not since < until:
        raise BillingRefusal({"until": "It ends before it begins."})
    if until - since > SPAN_MAX:
        raise BillingRefusal({"until": f"At most {SPAN_MAX.days} days at once."})
    if until > clock.now() - POSTED_AFTER:
        raise BillingRefusal({"until": "Calls of the last hour may still be running. End it earlier."})
    return Rerating(
        wrong_price=wrong_price, right_price=right_price, organisation=organisation, since=since, until=until
    )


def estimate(of: Rerating) -> Estimate:
    """What it would come to if it ran now. Changes nothing."""
    seen, after, differences = 0, None, list[Difference]()
    for _ in range(PREVIEW_BATCHES_MAX):
        batch = rerating_rows.next_batch(of, after=after)
        seen, after = seen + batch.seen, batch.end
        differences += batch.differences
        if after is None:
            break
    found = rerating_rows.by_organisation(differences)
    names = rerating_rows.organisations_by_id(found)
    sums = {names[pk]: (len(calls), sum(call.nano for call in calls)) for pk, calls in found.items()}
    return Estimate(seen, sums, after is None)


@transaction.atomic
def request(
    *,
    wrong_price: PriceVersion,
    right_price: PriceVersion,
    organisation: Organisation | None = None,
    since: datetime,
    until: datetime,
    actor: User | None,
    reason: str,
    address: str | None = None,
) -> Rerating:
    """Ask for a re-rating; it waits for somebody else. Raises BillingRefusal."""
    made = draft(wrong_price=wrong_price, right_price=right_price, organisation=organisation, since=since, until=until)
    made.reason, made.requested_by = reason[:500], actor
    made.save()
    _record(made, "request", actor=actor, reason=reason, address=address)
    notices.post(
        once=f"rerating:{made.pk}",
        kind="rerating.waiting",
        title=f"Re-rating {made.pk} of {wrong_price.model} waits for a second person",
        body=f"Asked for by {actor}: {reason}",
        link=reverse("admin:billing_rerating_change", args=[made.pk]),
        audience=Notice.Audience.OPERATORS,
    )
    return made


@transaction.atomic
def approve(*, of: Rerating, actor: User, reason: str, address: str | None = None) -> Rerating:
    """Let it run; a job takes it up. Raises BillingRefusal, of who asked for it too."""
    return _decide(of, State.RUNNING, "approve", actor=actor, reason=reason, address=address)


@transaction.atomic
def reject(*, of: Rerating, actor: User, reason: str, address: str | None = None) -> Rerating:
    """Let it lapse. Raises BillingRefusal, of who asked for it too."""
    return _decide(of, State.REJECTED, "reject", actor=actor, reason=reason, address=address)


def _decide(
    of: Rerating, state: Rerating.State, verb: str, *, actor: User, reason: str, address: str | None
) -> Rerating:
    current = Rerating.objects.get(pk=of.pk)
    if current.requested_by_id == actor.pk:
        raise BillingRefusal("You asked for it yourself. Somebody else has to decide.")
    waiting = Rerating.objects.filter(pk=of.pk, state=State.WAITING)
    done_at = clock.now() if state == State.REJECTED else None
    if not waiting.update(state=state, decided_by=actor, done_at=done_at):
        raise BillingRefusal("It has been decided on already.")
    of.refresh_from_db()
    _record(of, verb, actor=actor, reason=reason, address=address)
    return of


def _record(of: Rerating, verb: str, *, actor: User | None, reason: str, address: str | None) -> None:
    said = ("wrong_price_id", "right_price_id", "organisation_id", "since", "until", "state")
    changes = {name: [None, getattr(of, name)] for name in said}
    audit.record(actor=actor, action=f"rerating.{verb}", target=of, reason=reason, changes=changes, address=address)
