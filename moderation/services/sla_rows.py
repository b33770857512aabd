"""How clocks are read, locked and brought up to date: what the acts on them (sla) and the sweep (sla_sweep) share.

Everything here belongs inside the transaction of an act or of one step of the sweep.
"""

from dataclasses import dataclass, field
from datetime import datetime

from django.db.models import Prefetch, QuerySet

from moderation.models import Appeal, Case, CaseEvent, SlaClock, SlaPause
from moderation.services import calendar, escalations, events, sla_times
from moderation.services.calendar import WorkCalendar
from moderation.services.presence import Present

_Kind = CaseEvent.Kind


@dataclass(frozen=True, slots=True)
class Desk:
    """By what clocks are set, and who may be told of them: asked once for an act, or for a round of the sweep."""

    work: WorkCalendar = field(default_factory=calendar.current)
    people: Present = field(default_factory=Present)


def read(clocks: QuerySet[SlaClock]) -> QuerySet[SlaClock]:
    """With all that is needed to work on them."""
    pauses = Prefetch("pauses", queryset=SlaPause.objects.order_by("started_at"))
    return clocks.select_related("case__category", "case__assignee", "appeal__reviewer").prefetch_related(pauses)


def running(case: Case, appeal: Appeal | None) -> QuerySet[SlaClock]:
    """The running clocks, locked so that no sweep comes between; on SQLite the transaction is that lock."""
    lock_case(case.pk)
    found = SlaClock.objects.filter(case=case, appeal=appeal, stopped_at=None)
    return read(found.select_for_update(of=("self",))).order_by("pk")


def lock_case(case_id: int) -> None:
    """First the case, then its clocks: whoever locks both in another order may wait for us while we wait for them."""
    Case.objects.select_for_update(no_key=True).only("pk").get(pk=case_id)


def promise(sla: SlaClock, desk: Desk, now: datetime) -> None:
    """Give a clock its due moment and save it. What is past already is said once, as inherited."""
    sla.due_at = sla_times.due_at(sla, desk.work)
    sla.calendar_version = desk.work.version
    paused = sla_times.open_pause(sla)
    if paused:
        # It stands still: nothing comes due but the end of what it may be put off.
        sla.attention_at = sla_times.pause_ends_at(sla, paused, desk.work)
        sla.save()
        return
    warned_before, sla.warned_percent = sla.warned_percent, sla_times.percent_passed(sla, now)
    sla.attention_at = sla_times.next_attention(sla, now)
    if sla.due_at < now:
        sla.breached_at, sla.breach_is_inherited = now, True
    sla.save()
    if sla.breached_at:
        _tell_steps(sla, desk, [_breach(sla)], percent=escalations.BREACH)
    elif sla.warned_percent > warned_before:
        _tell_steps(sla, desk, [_warning(sla, sla.warned_percent, at=now)], percent=sla.warned_percent)


def catch_up(sla: SlaClock, desk: Desk, now: datetime) -> bool:
    """Record what has come due until now. False when that is nothing, or another was first. Its case is locked."""
    if sla_times.open_pause(sla):
        return _end_pause_when_over(sla, desk, now)
    if sla.breached_at:
        return False
    passed, is_breach = sla_times.percent_passed(sla, now), sla.due_at < now
    unheard = [percent for percent in sla_times.WARNING_PERCENTS if sla.warned_percent < percent <= passed]
    if not (unheard or is_breach):
        return _look_later(sla, now)
    news = {
        "warned_percent": max([sla.warned_percent, *unheard]),
        "attention_at": sla_times.next_attention(sla, now),
        "breached_at": sla.due_at if is_breach else None,
    }
    mine = SlaClock.objects.filter(pk=sla.pk, attention_at=sla.attention_at, stopped_at=None, breached_at=None)
    if mine.update(**news) != 1:
        return False
    for name, value in news.items():
        setattr(sla, name, value)
    told = [_warning(sla, percent, at=sla_times.moment(sla, percent)) for percent in unheard]
    if is_breach:
        told.append(_breach(sla))
    # After an outage several are due at once: people are told of the last only.
    _tell_steps(sla, desk, told, percent=escalations.BREACH if is_breach else max(unheard))
    return True


def end_pause(sla: SlaClock, desk: Desk, at: datetime) -> bool:
    """End the running pause of a clock at a moment and set it anew. False when there is none, or another was first."""
    paused = sla_times.open_pause(sla)
    if paused is None:
        return False
    days = desk.work.closes_between(paused.started_at, at)
    if not SlaPause.objects.filter(pk=paused.pk, ended_at=None).update(ended_at=at, days=days):
        return False
    paused.ended_at, paused.days = at, days
    tell(sla, _Kind.RESUMED, f"{days} working day{'' if days == 1 else 's'} added", at=at)
    promise(sla, desk, at)
    return True


def tell(sla: SlaClock, kind: CaseEvent.Kind, after: str, *, at: datetime, reason: str = "") -> None:
    """Append what became of a clock to the story of its case."""
    events.append_all(case=sla.case, drafts=[_draft(sla, kind, after, at=at, reason=reason)])


def minute(moment: datetime) -> str:
    """A moment as the story of a case has it, to the minute."""
    return moment.isoformat(timespec="minutes")


def _look_later(sla: SlaClock, now: datetime) -> bool:
    """A clock that needs attention for nothing would be read by each sweep, before those that need it. False."""
    if sla.attention_at is not None and sla.attention_at < now:
        mine = SlaClock.objects.filter(pk=sla.pk, attention_at=sla.attention_at, stopped_at=None)
        sla.attention_at = sla_times.next_attention(sla, now)
        mine.update(attention_at=sla.attention_at)
    return False


def _end_pause_when_over(sla: SlaClock, desk: Desk, now: datetime) -> bool:
    """End a pause that has put the clock off as far as it may, at the moment when it had. False before that."""
    paused = sla_times.open_pause(sla)
    over_at = sla_times.pause_ends_at(sla, paused, desk.work) if paused else now
    if over_at >= now or not end_pause(sla, desk, over_at):
        return False
    # It has run since: what came due until now did so at its own moment.
    catch_up(sla, desk, now)
    return True


def _tell_steps(sla: SlaClock, desk: Desk, told: list[CaseEvent], *, percent: int) -> None:
    """Tell people of a step, and append all of it to the story at once."""
    count = escalations.escalate(sla=sla, percent=percent, people=desk.people)
    if count:
        text = f"{sla.kind} {percent} %: {count} {'person' if count == 1 else 'people'} told"
        told.append(events.draft(kind=_Kind.ESCALATED, after=text))
    events.append_all(case=sla.case, drafts=told)


def _warning(sla: SlaClock, percent: int, *, at: datetime) -> CaseEvent:
    return _draft(sla, _Kind.WARNING, f"{sla.kind} {percent} %", at=at, reason=f"Due {minute(sla.due_at)}.")


def _breach(sla: SlaClock) -> CaseEvent:
    why = " Past already when the promise was made." if sla.breach_is_inherited else ""
    return _draft(sla, _Kind.BREACH, sla.kind, at=sla.breached_at, reason=f"Due {minute(sla.due_at)}.{why}")


def _draft(sla: SlaClock, kind: CaseEvent.Kind, after: str, *, at: datetime | None, reason: str = "") -> CaseEvent:
    of_appeal = f"{sla.appeal.reference}: " if sla.appeal else ""
    return events.draft(kind=kind, after=f"{of_appeal}{after}", reason=reason, at=at)
