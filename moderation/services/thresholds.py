"""What thresholds of strikes imposed, when points that led to it are void: lifted, or shortened by the time served."""

from datetime import timedelta

from django.db import transaction

from moderation.models import Decision, EnforcementAction, Strike
from moderation.services import measures, notices, strikes
from newapi.kernel import clock

_State = EnforcementAction.State


@transaction.atomic
def recompute(*, decision: Decision) -> int:
    """Take back what thresholds would not have imposed without the void strikes of a decision. Returns how many.

    Each is judged by what counted when its own strike landed, so that what has expired since changes nothing; and only
    ever for the better: a lower threshold shortens a suspension, and imposes nothing in its place.
    """
    records = decision.strikes.exclude(voided_at=None).values("record")
    imposed = EnforcementAction.objects.filter(
        strike__record__in=records, strike__voided_at=None, state__in=(_State.PLANNED, _State.IN_FORCE)
    )
    why = f"Points of {decision.reference} are void."
    of_all = ("strike__record", "case__organisation", "case__category", "decision", "restriction")
    return sum(_fit(action, why) for action in imposed.select_related(*of_all).order_by("pk"))


def _fit(action: EnforcementAction, why: str) -> bool:
    """Bring one measure down to what its strike still crosses. False when that is what it is."""
    assert action.strike is not None
    days = _days(action.strike)
    if action.threshold == strikes.RATE_CUT and strikes.RATE_CUT in strikes.crossed_by(action.strike):
        return False
    if days is None:
        return _lift(action, why)
    if action.days is None or days >= action.days:
        return False
    action.days = days
    if action.starts_at is not None:
        action.ends_at = action.starts_at + timedelta(days=days)
    action.save(update_fields=["days", "ends_at"])
    # One that stands still during an appeal has served until then.
    if action.ends_at is not None and action.ends_at <= (action.ended_at or clock.now()):
        return _lift(action, why)
    if action.state == _State.IN_FORCE:
        measures.impose_anew(action, None, why)
    measures.tell(action, None, why)
    return True


def _days(strike: Strike) -> int | None:
    """For how many days a strike still suspends; None when it does not."""
    return max((strikes.SUSPENSION_DAYS.get(one, 0) for one in strikes.crossed_by(strike)), default=0) or None


def _lift(action: EnforcementAction, why: str) -> bool:
    if action.state == _State.PLANNED:
        return measures.end(action=action, actor=None, reason=why, drop=True)
    if not measures.end(action=action, actor=None, reason=why):
        return False
    notices.of_lifted(action=action, reason=why)
    return True
