"""A moderation desk with a past: cases with their clocks and valid chains of events, inserted in bulk.

    from bench.moderation_data import fill
    filled = fill(cases=100_000, events_each=10, due=500)

Works on any migrated database, SQLite or PostgreSQL, whatever is in it already; import it when Django is set up. A
million events take about a minute. What it makes is as the services would have left it: levels as they are spread in
practice, four of five cases done, clocks with the warnings and breaches that lie behind them, every event hashed.
"""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from django.contrib.auth.models import Permission
from django.db import connection, models, transaction
from django.db.models import Max

from accounts.models import Organisation, User
from billing import bulk_insert
from moderation import chain
from moderation.models import Case, CaseEvent, PolicyCategory, SlaClock
from moderation.services import calendar, sla_times
from newapi.kernel import clock

CHUNK_CASES = 1_000
# Of how many a hundred each level has; the rest is L4.
LEVELS = ("L1",) * 1 + ("L2",) * 9 + ("L3",) * 40 + ("L4",) * 50
PAST_DAYS = 730
# By level: over how many days the receipts of what is still open are spread. Most of it is in time.
OPEN_DAYS = {"L1": 3, "L2": 8, "L3": 15, "L4": 28}
PATHS: dict[str, tuple[str, ...]] = {
    "new": (),
    "triaged": ("triaged",),
    "in_review": ("triaged", "in_review"),
    "proposed": ("triaged", "in_review", "proposed"),
    "decided": ("triaged", "in_review", "proposed", "decided"),
    "closed": ("triaged", "in_review", "proposed", "decided", "closed"),
    "no_violation": ("triaged", "in_review", "proposed", "no_violation"),
}
# In which states the clock of a kind runs; in the order in which they stop.
RUNNING = {"response": ("new",), "resolution": ("new", "triaged", "in_review", "proposed")}
OPEN, DONE = ("new", "new", "triaged", "in_review", "proposed", "decided"), ("closed", "closed", "no_violation")
NOTE = "Looked at the calls of the hour before: the pattern is the one of the category, and it goes on. "
_CASE = ("id", "reference", "organisation_id", "category_id", "level", "state", "source", "summary", "assignee_id",
         "received_at", "version", "closed_at", "events_count", "head")  # fmt: skip
_EVENT = ("case_id", "number", "at", "actor_id", "kind", "before", "after", "reason", "hash")
_CLOCK = ("case_id", "kind", "round", "started_at", "due_at", "calendar_version", "attention_at", "warned_percent",
          "stopped_at", "breached_at", "breach_is_inherited")  # fmt: skip


@dataclass(frozen=True, slots=True)
class Filled:
    """What was put in. `due` clocks wait for the next sweep."""

    cases: int
    events: int
    clocks: int
    due: int


@dataclass(slots=True)
class _Desk:
    """Whom and what cases are made of, and how many clocks are still to be left for the sweep."""

    dice: random.Random
    now: datetime
    calendar: calendar.WorkCalendar
    organisations: list[int]
    people: list[int]
    categories: dict[str, list[int]]
    open_share: float
    sealed: list[int]
    sealed_share: float
    due_left: int
    due_by_day: dict[tuple[str, str, date], datetime]


def fill(
    *,
    cases: int = 100_000,
    events_each: int = 10,
    open_share: float = 0.2,
    due: int = 500,
    organisations: int = 64,
    people: int = 20,
    sealed_share: float = 0.0,
    seed: int = 5,
    progress: Callable[[int, int], None] | None = None,
) -> Filled:
    """Put so many cases in, with so many events each (at least 6) and both clocks.

    open_share: how many of them are not done. due: how many clocks have come due for the sweep, if there are as many
    running; none of the others has. sealed_share: how many are sealed child-safety cases. progress: (done, in all).
    """
    desk = _desk(organisations, people, open_share, due, seed, sealed_share)
    first = (Case.objects.aggregate(last=Max("pk"))["last"] or 0) + 1
    counts = [0, 0]
    for start in range(first, first + cases, CHUNK_CASES):
        end = min(start + CHUNK_CASES, first + cases)
        made = [_case(desk, pk, max(events_each, 6)) for pk in range(start, end)]
        with transaction.atomic():
            for model, columns, index in ((Case, _CASE, 0), (CaseEvent, _EVENT, 1), (SlaClock, _CLOCK, 2)):
                rows = [row for one in made for row in one[index]]
                bulk_insert.insert(model, columns=columns, rows=rows)
                counts[index - 1] += len(rows) if index else 0
        if progress is not None:
            progress(end - first, cases)
    _mend_sequence(Case)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")
    return Filled(cases, counts[0], counts[1], due - desk.due_left)


def _desk(organisations: int, people: int, open_share: float, due: int, seed: int, sealed_share: float) -> _Desk:
    categories: dict[str, list[int]] = {}
    for pk, level in PolicyCategory.objects.in_force().filter(is_sealed=False).values_list("pk", "level"):
        categories.setdefault(level, []).append(pk)
    return _Desk(
        # The same desk every time.
        dice=random.Random(seed),
        now=clock.now(),
        calendar=calendar.current(),
        organisations=_organisations(organisations),
        people=_people(people),
        categories=categories,
        open_share=open_share,
        sealed=list(PolicyCategory.objects.filter(is_sealed=True).values_list("pk", flat=True)),
        sealed_share=sealed_share,
        due_left=due,
        due_by_day={},
    )


def _organisations(count: int) -> list[int]:
    wanted = [f"bench-desk-{number}" for number in range(count)]
    there = set(Organisation.objects.filter(slug__in=wanted).values_list("slug", flat=True))
    Organisation.objects.bulk_create(
        Organisation(name=slug.title(), slug=slug, currency="USD") for slug in wanted if slug not in there
    )
    return list(Organisation.objects.filter(slug__in=wanted).order_by("pk").values_list("pk", flat=True))


def _people(count: int) -> list[int]:
    """Staff who may see and review, without a password."""
    rights = Permission.objects.filter(
        content_type__app_label="moderation", codename__in=("view_case", "triage_case", "review_case", "decide_case")
    )
    found = []
    for number in range(count):
        user, is_new = User.objects.get_or_create(
            email=f"bench-desk-{number}@example.com", defaults={"name": f"Reviewer {number}", "is_staff": True}
        )
        if is_new:
            user.user_permissions.set(rights)
        found.append(user.pk)
    return found


def _case(desk: _Desk, pk: int, events_each: int) -> tuple[list, list, list]:
    """The rows of a case, of its events and of its clocks."""
    dice, now = desk.dice, desk.now
    is_sealed = dice.random() < desk.sealed_share
    level = "L1" if is_sealed else dice.choice(LEVELS)
    is_open = dice.random() < desk.open_share
    state = dice.choice(OPEN if is_open else DONE)
    days = OPEN_DAYS[level] if is_open else PAST_DAYS
    received_at = now - timedelta(milliseconds=dice.randrange(60_000, days * 86_400_000))
    category = dice.choice(desk.sealed if is_sealed else desk.categories[level])
    assignee = dice.choice(desk.people) if state != "new" else None
    reference = f"C-{received_at.year}-{pk:06d}"
    clocks, resolved_at = _clocks(desk, pk, level, state, received_at)
    told = _told(state, events_each, dice.choice(desk.people))
    last_at = resolved_at or min(now, received_at + timedelta(days=1))
    events = list(_events(pk, reference, told, received_at, last_at))
    head = events[-1][-1]
    closed_at = resolved_at if state in DONE else None
    summary = f"Case {pk}: calls of the kind that the category names, noticed more than once."
    row = (pk, reference, dice.choice(desk.organisations), category, level, state, dice.choice(Case.Source.values),
           summary, assignee, received_at, len(PATHS[state]) + 1, closed_at, len(events), head)  # fmt: skip
    return [row], events, clocks


def _clocks(
    desk: _Desk, pk: int, level: str, state: str, received_at: datetime
) -> tuple[list[tuple[Any, ...]], datetime | None]:
    """Both clocks as they stand, and when the one of the resolution stopped."""
    rows: list[tuple[Any, ...]] = []
    stopped_at = None
    for kind, running in RUNNING.items():
        due_at = _due(desk, level, kind, received_at)
        length = (due_at - received_at) * desk.dice.uniform(0.1, 1.2)
        stopped_at = None if state in running else min(desk.now, received_at + length)
        rest = _read(desk, received_at, due_at, stopped_at)
        rows.append((pk, kind, 1, received_at, due_at, desk.calendar.version, *rest))
    return rows, stopped_at


def _read(desk: _Desk, started_at: datetime, due_at: datetime, stopped_at: datetime | None) -> tuple[Any, ...]:
    """attention_at, warned_percent, stopped_at, breached_at, breach_is_inherited."""
    sample = SlaClock(started_at=started_at, due_at=due_at)
    seen_at = stopped_at or desk.now
    percent = sla_times.percent_passed(sample, seen_at)
    breached_at = due_at if due_at < seen_at else None
    attention_at = None if stopped_at else sla_times.next_attention(sample, seen_at)
    if stopped_at is None and percent and desk.due_left > 0 and breached_at is None:
        # The sweep has not come round since this warning.
        desk.due_left -= 1
        before = max((one for one in sla_times.WARNING_PERCENTS if one < percent), default=0)
        return sla_times.moment(sample, percent), before, None, None, False
    return attention_at, percent, stopped_at, breached_at, False


def _due(desk: _Desk, level: str, kind: str, received_at: datetime) -> datetime:
    """As the service computes it; once for each day, because only L1 looks at the hour."""
    if level == "L1":
        return calendar.due_at(level=level, kind=kind, received_at=received_at, calendar=desk.calendar)
    key = (level, kind, received_at.astimezone(desk.calendar.zone).date())
    if key not in desk.due_by_day:
        found = calendar.due_at(level=level, kind=kind, received_at=received_at, calendar=desk.calendar)
        desk.due_by_day[key] = found
    return desk.due_by_day[key]


def _told(state: str, count: int, actor: int) -> list[tuple[Any, ...]]:
    """(actor's id, kind, before, after, reason) of so many events: opened, notes, and the moves to its state."""
    path = PATHS[state]
    told: list[tuple[Any, ...]] = [(None, "opened", "", "new", "Seen in the signals of the last hour.")]
    notes = max(0, count - 1 - len(path))
    # Nobody has looked at a new one yet.
    note = (actor, "note", "", "") if path else (None, "signal", "", "Signal")
    told += [(*note, f"{NOTE}({number})") for number in range(notes)]
    before = "new"
    for after in path:
        told.append((actor, "state", before, after, "The next step."))
        before = after
    return told


def _events(
    pk: int, reference: str, told: list[tuple[Any, ...]], start: datetime, end: datetime
) -> Iterator[tuple[Any, ...]]:
    """The rows of a chain, spread evenly from its first moment to its last."""
    head, step = b"", (end - start) / max(1, len(told) - 1)
    for index, (actor, kind, before, after, reason) in enumerate(told):
        at = start + step * index
        head = chain.event_hash(
            head, reference=reference, number=index + 1, at=at, actor_id=actor, kind=kind,
            before=before, after=after, reason=reason,
        )  # fmt: skip
        yield pk, index + 1, at, actor, kind, before, after, reason, head


def _mend_sequence(model: type[models.Model]) -> None:
    """Let the next row that gets no id of ours come after those that did; SQLite does so by itself."""
    if connection.vendor == "postgresql":
        table = model._meta.db_table
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT setval(pg_get_serial_sequence('{table}', 'id'), (SELECT max(id) FROM {table}))")
