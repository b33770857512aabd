"""Telling people that a promise of time is in danger or broken: once for each step of a clock, whoever sweeps."""

from accounts.models import Notice, User
from accounts.services import notices
from moderation.models import DutyShift, Escalation, SlaClock
from moderation.models.policy import Level
from moderation.services.presence import Present
from newapi.kernel import clock

To = Escalation.To
Duty = DutyShift.Duty
BREACH = 100
# An L1 pages whoever is on call when half of its time is up.
L1_PAGES_AT = 50


def escalate(*, sla: SlaClock, percent: int, people: Present) -> int:
    """Tell whom a step concerns: the assignee of a warning; of a breach the leads and who is on call as well.

    percent: 50, 75, 90, or 100 for the breach. Returns how many were told now; 0 when they had been before. Call it
    inside the transaction that records the step and holds the clock.
    """
    told = set(Escalation.objects.filter(sla=sla, percent=percent).values_list("to", flat=True))
    whom = {to: _people(sla, to, people) for to in _whom(sla, percent) if to not in told}
    now = clock.now()
    Escalation.objects.bulk_create(
        [Escalation(sla=sla, percent=percent, to=to, people=len(found), at=now) for to, found in whom.items()]
    )
    # Nobody is there for it: the operators at least must hear.
    notices.post_all(
        [_news(sla, percent, to, person) for to, found in whom.items() for person in tuple(found) or (None,)]
    )
    return sum(len(found) for found in whom.values())


def _whom(sla: SlaClock, percent: int) -> list[Escalation.To]:
    if percent >= BREACH:
        return [To.ASSIGNEE, To.LEAD, To.ON_CALL]
    pages = sla.case.level == Level.L1 and percent >= L1_PAGES_AT
    return [To.ASSIGNEE, To.ON_CALL] if pages else [To.ASSIGNEE]


def _people(sla: SlaClock, to: Escalation.To, people: Present) -> list[User]:
    """Those who may see the case only: of a sealed one, the child-safety team."""
    own = sla.appeal.reviewer if sla.appeal else sla.case.assignee
    if to == To.ASSIGNEE and own is not None:
        return people.who_may_see(sla.case, [own])
    plain = {To.ASSIGNEE: Duty.REVIEWER, To.LEAD: Duty.LEAD, To.ON_CALL: Duty.ON_CALL}[to]
    duty = Duty.CHILD_SAFETY if sla.case.category.is_sealed else plain
    return people.who_may_see(sla.case, people.on_duty(duty))


def _news(sla: SlaClock, percent: int, to: Escalation.To, person: User | None) -> Notice:
    name = sla.appeal.reference if sla.appeal else sla.case.reference
    is_breach = percent >= BREACH
    late = "is late" if is_breach else f"has used {percent} % of its time"
    once = f"sla:{sla.pk}:{percent}:{to}"
    return Notice(
        once=f"{once}:{person.pk}" if person else once,
        kind="case.breach" if is_breach else "case.warning",
        title=f"{sla.get_kind_display()} of {name} {late}",
        body=f"Level {sla.case.level}. Due {sla.due_at:%Y-%m-%d %H:%M} UTC.",
        link=f"/admin/moderation/case/{sla.case_id}/change/",
        level=Notice.Level.DANGER if is_breach else Notice.Level.WARNING,
        audience=Notice.Audience.PERSON if person else Notice.Audience.OPERATORS,
        user=person,
    )
