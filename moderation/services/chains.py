"""Proving that nothing that happened to cases was changed: signed roots over all chains, and the verifier."""

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import groupby, islice

from django.db import transaction
from django.db.models import Exists, F, Max, OuterRef, Q, QuerySet, Subquery

from moderation import chain
from moderation.findings import Finding
from moderation.models import Case, CaseEvent, ChainRoot, ChainRootLine
from moderation.services import evidence_checks
from newapi.kernel import clock, signing, snapshot

# Rows fetched at a time: about 2 MB.
FETCH_ROWS = 5_000
# The verifier stops listing after so many; one is enough to look.
FINDINGS_MAX = 1_000

# (events looked at, events in all); told again and again after the last one, while evidence and roots are looked at.
Progress = Callable[[int, int], None]
# Case id, number, moment, actor's id, kind, before, after, reason, hash.
_EVENT_FIELDS = ("case_id", "number", "at", "actor_id", "kind", "before", "after", "reason", "hash")
_NO_EVENTS: tuple[int | None, Iterator[tuple]] = (None, iter(()))


@transaction.atomic
def make_root() -> ChainRoot | None:
    """Sign where every chain stands that has grown since the root before. None when none has.

    Of two at once, the second waits and finds nothing to do, or is refused by the number's uniqueness.
    """
    before = ChainRoot.objects.order_by("-number").first()
    # By Python's order, which no database's collation changes.
    grown = sorted(_grown().values_list("reference", "pk", "events_count", "head"))
    if not grown:
        return None
    number, made_at = (before.number + 1 if before else 1), clock.now()
    lines = [(reference, count, bytes(head).hex()) for reference, _, count, head in grown]
    digest = chain.root_hash(bytes(before.hash) if before else b"", number=number, made_at=made_at, lines=lines)
    signature, public_key = signing.sign(digest)
    root = ChainRoot.objects.create(
        number=number, made_at=made_at, chains=len(grown), hash=digest, signature=signature, public_key=public_key
    )
    ChainRootLine.objects.bulk_create(
        (ChainRootLine(root=root, case_id=pk, number=count, hash=head) for _, pk, count, head in grown),
        batch_size=FETCH_ROWS,
    )
    return root


def make_daily_root() -> ChainRoot | None:
    """The root of today (UTC), if there is none yet and anything has happened."""
    newest = ChainRoot.objects.order_by("-number").first()
    return None if newest is not None and newest.made_at.date() >= clock.today() else make_root()


def verify(*, progress: Progress | None = None) -> list[Finding]:
    """Everything that does not add up, at most FINDINGS_MAX findings; changes nothing.

    Every event against the hash before it, every case against the end of its chain, every piece of evidence against
    the event that tells of it, every line of a root against the event that it names, every root against its lines, the
    root before it and its signature. All of it as it was at one moment.
    """
    with snapshot.read_only():
        return list(islice(_all(progress or (lambda done, total: None)), FINDINGS_MAX))


def lines_of(root: ChainRoot) -> list[tuple[str, int, str]]:
    """The lines over which a root's hash is: (reference, number, hash in hexadecimal), by reference."""
    rows = root.lines.order_by().values_list("case__reference", "number", "hash")
    return sorted((reference, number, bytes(digest).hex()) for reference, number, digest in rows)


def _all(progress: Progress) -> Iterator[Finding]:
    total = CaseEvent.objects.count()
    alive = partial(progress, total, total)
    yield from _chains(progress, total)
    yield from evidence_checks.rows(alive)
    yield from _lines()
    yield from _roots(alive)


def _grown() -> QuerySet[Case]:
    """The cases whose chain is longer than the last root that names them says."""
    named = ChainRootLine.objects.filter(case=OuterRef("pk")).order_by().values("case").annotate(last=Max("number"))
    return (
        Case.objects.annotate(named=Subquery(named.values("last")))
        .filter(Q(named=None) | Q(named__lt=F("events_count")), events_count__gt=0)
        .order_by()
    )


def _chains(progress: Progress, total: int) -> Iterator[Finding]:
    """Every case beside its events, both in order of the case's id."""
    done = 0
    rows = CaseEvent.objects.order_by("case_id", "number").values_list(*_EVENT_FIELDS)
    events = groupby(rows.iterator(chunk_size=FETCH_ROWS), key=lambda row: row[0])
    case_id, own = next(events, _NO_EVENTS)
    cases = Case.objects.order_by("pk").values_list("pk", "reference", "events_count", "head")
    for pk, reference, count, head in cases.iterator(chunk_size=FETCH_ROWS):
        while case_id is not None and case_id < pk:
            yield Finding("orphan", f"case {case_id}", "There are events of a case that is not there.")
            case_id, own = next(events, _NO_EVENTS)
        number, last = 0, b""
        if case_id == pk:
            number, last, findings = _chain(reference, own)
            yield from findings
            done += number
            progress(done, total)
            case_id, own = next(events, _NO_EVENTS)
        if (number, last) != (count, bytes(head)):
            yield Finding("end", reference, f"The chain ends at event {number}; the case says {count}.")
    if case_id is not None:
        yield Finding("orphan", f"case {case_id}", "There are events of a case that is not there.")


def _chain(reference: str, rows: Iterable[tuple]) -> tuple[int, bytes, list[Finding]]:
    """The number and hash of a case's last event, and what is wrong with them. One mistake is said once."""
    expected, last, findings = 1, b"", []
    for _, number, at, actor_id, kind, before, after, reason, stored in rows:
        if number < expected:
            findings.append(Finding("fork", reference, f"There is more than one event {number}."))
        elif number != expected:
            findings.append(Finding("gap", reference, f"Event {expected} is missing; the next is {number}."))
            # Its own hash cannot be checked without the one before it.
        elif stored != chain.event_hash(
            last, reference=reference, number=number, at=at, actor_id=actor_id, kind=kind,
            before=before, after=after, reason=reason,
        ):  # fmt: skip
            findings.append(Finding("changed", reference, f"Event {number} is not what was written."))
        expected, last = number + 1, bytes(stored)
    return expected - 1, last, findings


def _lines() -> Iterator[Finding]:
    """What a root has signed must still be there."""
    events = CaseEvent.objects.filter(case=OuterRef("case"), number=OuterRef("number"), hash=OuterRef("hash"))
    lost = ChainRootLine.objects.filter(~Exists(events)).order_by("root__number", "case_id")
    for root, reference, number in lost.values_list("root__number", "case__reference", "number").iterator():
        yield Finding("signed", reference, f"Event {number}, signed by root {root}, is not there, or is another.")


def _roots(alive: Callable[[], None]) -> Iterator[Finding]:
    before_hash, expected, root = b"", 1, None
    for root in ChainRoot.objects.order_by("number").iterator():
        alive()
        where = f"root {root.number}"
        if root.number != expected:
            yield Finding("gap", where, f"Root {expected} is missing.")
        else:
            lines = lines_of(root)
            digest = chain.root_hash(before_hash, number=root.number, made_at=root.made_at, lines=lines)
            if digest != bytes(root.hash) or len(lines) != root.chains:
                yield Finding("changed", where, "It is not what was signed.")
        if not signing.is_signed(bytes(root.hash), bytes(root.signature), bytes(root.public_key)):
            yield Finding("signature", where, "The signature is not that of its key.")
        before_hash, expected = bytes(root.hash), root.number + 1
    # Each root signs the one before it, so the newest speaks for all, also for those of keys that are gone.
    if root is not None and not signing.is_ours(bytes(root.public_key)):
        yield Finding("key", f"root {root.number}", "The newest root was signed with a key that is not in FIELD_KEYS.")
