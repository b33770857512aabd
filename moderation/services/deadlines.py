"""What becomes of demands that nobody met in time, and of explanations whose time runs out. Swept every minute."""

from datetime import timedelta

from django.db import transaction

from accounts.models import Notice
from accounts.services import notices as messages
from moderation.models import Case, CaseEvent, Demand, PolicyCategory
from moderation.models.policy import Level
from moderation.services import demand_ends, demands, events, opening, rounds
from newapi.kernel import clock

_State, _Kind = Demand.State, Demand.Kind
# Personal data without proof of where it comes from (MOD-31).
UNEXPLAINED = "PV-DATA"
# So long before an explanation runs out it is asked for again.
ASK_AGAIN_BEFORE = timedelta(days=14)
_WAYS_MAX = 500


def sweep(*, limit: int = _WAYS_MAX) -> int:
    """Note what is overdue, once each, and ask again for what is about to run out. Returns how many demands."""
    late = Demand.objects.filter(state=_State.OPEN, due_at__lt=clock.now()).order_by("due_at", "pk")
    ending = Demand.objects.filter(
        kind=_Kind.EXPLANATION,
        state=_State.ACCEPTED,
        valid_until__lt=clock.now() + ASK_AGAIN_BEFORE,
        extended_by=None,
    )
    found = ("case__category", "case__organisation", "case__assignee", "organisation")
    done = rounds.each(late.select_related(*found)[:limit], _overdue, what="The deadline of")
    again = ending.select_related(*found).order_by("pk")[:limit]
    return done + rounds.each(again, _ask_again, what="Asking again for")


@transaction.atomic
def _overdue(demand: Demand) -> bool:
    mine = Demand.objects.filter(pk=demand.pk, state=_State.OPEN)
    if not mine.update(state=_State.OVERDUE, overdue_at=demand.due_at):
        return False
    demand.state = _State.OVERDUE
    text = f"{demand.reference}: overdue"
    events.append(case=demand.case, kind=CaseEvent.Kind.DEMAND, after=text, at=demand.due_at)
    # As it is now: another demand of the same case may have moved it a moment ago.
    case = demand_ends.case_of(demand)
    if demand.kind in demands.REMEDIES and case.state == Case.State.REMEDIATION:
        demand_ends.back_to_review(demand, case)
    elif demand.kind == _Kind.EXPLANATION:
        _open_unexplained(demand)
    demand_ends.go_on(demand)
    _escalate(demand)
    return True


@transaction.atomic
def _ask_again(demand: Demand) -> bool:
    """What an explanation covers ends: it is asked for anew, due when the old one ends."""
    due_at = max(demand.valid_until or clock.now(), clock.now() + timedelta(days=1))
    demands.write(
        case=demand.case,
        kind=demand.kind,
        text=demand.text,
        due_at=due_at,
        actor=None,
        scope=demand.scope,
        extends=demand,
    )
    return True


def _open_unexplained(demand: Demand) -> None:
    """A case of its own, unless no case may cite the category any more: then people hear of the silence only."""
    category = PolicyCategory.objects.in_force().filter(code=UNEXPLAINED).first()
    if category is None:
        return
    opening.open_case(
        organisation=demand.organisation,
        category=category,
        level=Level.L3,
        source=Case.Source.AUTOMATED,
        summary=f"{demand.reference} asked where personal data comes from; nobody answered in time.",
        actor=None,
        reason=f"{demand.reference} is overdue.",
        follows=demand.case,
    )


def _escalate(demand: Demand) -> None:
    """Whoever works on the case hears of it; when nobody does, the operators."""
    assignee = demand.case.assignee
    messages.post(
        once=f"demand:{demand.pk}:overdue",
        kind="case.demand_overdue",
        title=f"{demand.reference} of {demand.case.reference} is overdue",
        audience=Notice.Audience.PERSON if assignee else Notice.Audience.OPERATORS,
        user=assignee,
        level=Notice.Level.WARNING,
        link=f"/admin/moderation/case/{demand.case_id}/change/",
    )
