"""Proving that evidence is what was stored: its rows against the chain of events, its files against their hashes."""

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import timedelta
from itertools import islice
from typing import TypeVar

from django.db.models import F, Max, Q, QuerySet

from moderation.findings import Finding
from moderation.models import Case, CaseEvent, CustodyEntry, Evidence
from moderation.services import evidence, evidence_reading
from newapi.kernel import clock

_Row = TypeVar("_Row")
ROWS = 1_000
# How old the last check of a file may be, and how many the job looks at in one run.
CHECK_EVERY = timedelta(days=30)
FILES_PER_RUN = 100
_MARK = re.compile(r"evidence (\d+) stored sha256 [0-9a-f]{64}")


def rows(alive: Callable[[], None]) -> Iterator[Finding]:
    """Evidence that the chain does not know so, and evidence that it knows and that is gone. Reads only.

    alive: called again and again, so that a long look is not taken for a dead one.
    """
    for some in _batches(Evidence.objects.select_related("case").order_by("pk").iterator(ROWS)):
        alive()
        yield from _rows(some)
    told = CaseEvent.objects.filter(kind=CaseEvent.Kind.EVIDENCE, after__startswith="evidence ").order_by("pk")
    for events in _batches(told.values_list("after", "case__reference").iterator(ROWS)):
        alive()
        yield from _gone(events)


def files(pieces: QuerySet[Evidence] | None = None) -> Iterator[Finding]:
    """Files that are gone or changed, with a custody entry for each look; all of them by default."""
    pieces = Evidence.objects.filter(purged_at=None) if pieces is None else pieces
    for piece in pieces.select_related("case__category").order_by("pk").iterator(ROWS):
        if problem := evidence_reading.check(evidence=piece):
            yield Finding("evidence", piece.case.reference, f"Evidence {piece.pk}: {problem}")


def check_some(*, limit: int = FILES_PER_RUN) -> int:
    """Check files whose last check is older than CHECK_EVERY, the oldest first. Returns how many were wrong."""
    checked = Max("custody__at", filter=Q(custody__act__in=(CustodyEntry.Act.CHECKED, CustodyEntry.Act.STORED)))
    waiting = Evidence.objects.filter(purged_at=None).annotate(checked_at=checked)
    late = waiting.filter(Q(checked_at=None) | Q(checked_at__lt=clock.now() - CHECK_EVERY))
    some = list(late.order_by(F("checked_at").asc(nulls_first=True), "pk").values_list("pk", flat=True)[:limit])
    return sum(1 for _ in files(Evidence.objects.filter(pk__in=some)))


def _batches(rows: Iterable[_Row]) -> Iterator[list[_Row]]:
    there = iter(rows)
    while some := list(islice(there, ROWS)):
        yield some


def _rows(some: Sequence[Evidence]) -> Iterator[Finding]:
    """Each against what was told of it, in its case or in one that was merged into it."""
    told = CaseEvent.objects.filter(kind=CaseEvent.Kind.EVIDENCE, case__in=_family({piece.case_id for piece in some}))
    said: set[str] = set()
    said_in: dict[int, set[str]] = defaultdict(set)
    for case_id, text in told.order_by().values_list("case_id", "after"):
        said.add(text)
        said_in[case_id].add(text)
    for piece in some:
        where, digest = piece.case.reference, bytes(piece.digest).hex()
        here = said_in[piece.case_id]
        came = f"evidence {piece.pk} taken over from "
        is_here = any(text.startswith(came) and text.endswith(f" sha256 {digest}") for text in here)
        stored = evidence.marked(piece, "stored")
        if stored not in said or not (is_here or stored in here):
            yield Finding("evidence", where, f"Evidence {piece.pk} is not what the chain says was stored.")
        if (evidence.marked(piece, "purged") in said) != (piece.purged_at is not None):
            yield Finding("evidence", where, f"Evidence {piece.pk}: the chain does not agree on whether it was purged.")


def _family(cases: set[int]) -> set[int]:
    """The cases, and all that were merged into them, over however many steps."""
    known, fresh = set(cases), set(cases)
    while fresh:
        merged = Case.objects.filter(merged_into__in=fresh).order_by().values_list("pk", flat=True)
        fresh = set(merged) - known
        known |= fresh
    return known


def _gone(events: Sequence[tuple[str, str]]) -> Iterator[Finding]:
    named = {int(found[1]): reference for after, reference in events if (found := _MARK.fullmatch(after))}
    there = set(Evidence.objects.filter(pk__in=named).order_by().values_list("pk", flat=True))
    for pk in sorted(set(named) - there):
        yield Finding("evidence", named[pk], f"Evidence {pk}, which the chain says was stored, is not there.")
