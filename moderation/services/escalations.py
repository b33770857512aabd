"""Telling people that a promise of time is in danger or broken: once for each step of a clock, whoever sweeps."""

from accounts.models import Notice, User
from accounts.services import notices
from moderation import permissions
from moderation.models import CaseEvent, DutyShift, Escalation, SlaClock
from moderation.models.policy import Level
from moderation.services import duty, events
from newapi.kernel import clock

To = Escalation.To
Duty = DutyShift.Duty
BREACH = 100
# An L1 pages whoever is on call when half of its time is up.
L1_PAGES_AT = 50


def escalate(*, sla: SlaClock, percent: int) -> int:
    """Tell whom a step concerns: the assignee of a warning; of a breach the leads and who is on call as well.

    percent: 50, 75, 90, or 100 for the breach. Returns how many were told now; 0 when they had been before. Call it
    inside the transaction that records the step.
    """
    told = sum(_tell(sla, percent, to) for to in _whom(sla, percent))
    if told:
        text = f"{sla.kind} {percent} %: {told} {'person' if told == 1 else 'people'} told"
        events.append(case=sla.case, kind=CaseEvent.Kind.ESCALATED, after=text)
    return told


def _whom(sla: SlaClock, percent: int) -> list[Escalation.To]:
    if percent >= BREACH:
        return [To.ASSIGNEE, To.LEAD, To.ON_CALL]
    pages = sla.case.level == Level.L1 and percent >= L1_PAGES_AT
    return [To.ASSIGNEE, To.ON_CALL] if pages else [To.ASSIGNEE]


def _tell(sla: SlaClock, percent: int, to: Escalation.To) -> int:
    people = _people(sla, to)
    _, is_new = Escalation.objects.get_or_create(
        sla=sla, percent=percent, to=to, defaults={"people": len(people), "at": clock.now()}
    )
    if not is_new:
        return 0
    once = f"sla:{sla.pk}:{percent}:{to}"
    if not people:
        # Nobody is there for it: the operators at least must hear.
        _post(sla, percent, once=once)
    for person in people:
        _post(sla, percent, once=f"{once}:{person.pk}", person=person)
    return len(people)


def _people(sla: SlaClock, to: Escalation.To) -> list[User]:
    """Those who may see the case only: of a sealed one, the child-safety team."""
    if to == To.ASSIGNEE:
        own = sla.appeal.reviewer if sla.appeal else sla.case.assignee
        people = [own] if own is not None else duty.on_duty(duty=_duty(sla, Duty.REVIEWER))
    else:
        people = duty.on_duty(duty=_duty(sla, Duty.LEAD if to == To.LEAD else Duty.ON_CALL))
    return [person for person in people if permissions.may_see(person, sla.case)]


def _duty(sla: SlaClock, plain: DutyShift.Duty) -> DutyShift.Duty:
    return Duty.CHILD_SAFETY if sla.case.category.is_sealed else plain


def _post(sla: SlaClock, percent: int, *, once: str, person: User | None = None) -> None:
    name = sla.appeal.reference if sla.appeal else sla.case.reference
    is_breach = percent >= BREACH
    late = "is late" if is_breach else f"has used {percent} % of its time"
    notices.post(
        once=once,
        kind="case.breach" if is_breach else "case.warning",
        title=f"{sla.get_kind_display()} of {name} {late}",
        body=f"Level {sla.case.level}. Due {sla.due_at:%Y-%m-%d %H:%M} UTC.",
        link=f"/admin/moderation/case/{sla.case_id}/change/",
        level=Notice.Level.DANGER if is_breach else Notice.Level.WARNING,
        audience=Notice.Audience.PERSON if person else Notice.Audience.OPERATORS,
        user=person,
    )
