"""Purging what is past its time: payloads of payment news, and usage rows by whole months, with tombstones.

Rollups and ledger stay. A month goes only if the books of it add up, so that afterwards
usage + tombstones = rollups = ledger still holds, to the nano, and still finds what is missing.
"""

from collections.abc import Iterator
from datetime import UTC, datetime

from django.db import connection
from django.db.models import Count, Q, QuerySet, Sum
from django.db.models.functions import TruncMonth

from accounts.models import Organisation
from accounts.services.retention import Left, Purged
from billing import partitioning
from billing.models import RollupDay, RollupDirty, UsageEvent, UsagePurge
from billing.services import book_checks, retention_payloads
from newapi.kernel import clock, ids

# Months whose sums one run compares; more that do not add up wait for a person.
MONTHS_COMPARED_MAX = 3
NAMES_MAX = 5


def purge(*, before: datetime, held: frozenset[int], limit: int) -> Purged:
    """Remove records of who called and who paid from before a moment: a month of usage, and payloads of payment news.

    Nothing of the organisations (by id) that are held goes. Call it in a transaction.
    """
    usage = _purge_month(before, held)
    news = retention_payloads.erase(before=before, held=held, limit=limit)
    return Purged(rows=usage.rows + news.rows, parts={**usage.parts, **news.parts}, left=(*usage.left, *news.left))


def _purge_month(before: datetime, held: frozenset[int]) -> Purged:
    """Remove the oldest month of usage that lies wholly before a moment, if it may go; its tombstones stay.

    A month goes whole or not at all, and only one in a run. One in which an organisation is held stays whole, and so
    does one that is not summed up or does not add up.
    """
    left: list[Left] = []
    compared = 0
    for month in _months(before):
        partitioning.hold_still(connection, month)
        why = _held(month, held) or _unfinished(month)
        if why is None:
            why = _trouble(month)
            compared += 1
        if why is None:
            rows = _bury(month)
            return Purged(rows=rows, parts={f"{month:%Y-%m}": rows}, left=tuple(left))
        left.append(why)
        if compared == MONTHS_COMPARED_MAX:
            break
    return Purged(left=tuple(left))


def _months(before: datetime) -> Iterator[datetime]:
    """The starts of the months that have rows and end before a moment, oldest first."""
    rows = UsageEvent.objects.order_by("pk").values_list("pk", flat=True)
    first = rows.first()
    while first is not None:
        [month] = partitioning.months_from(clock.from_ms(first.int >> 80), 1)
        end = partitioning.next_month(month)
        if end > before:
            return
        yield month
        first = rows.filter(pk__gte=ids.first_at(clock.to_ms(end))).first()


def _held(month: datetime, held: frozenset[int]) -> Left | None:
    """An organisation in it is under a legal hold."""
    here = {pk for pk in held if _rows(month).filter(organisation=pk).exists()}
    names = list(Organisation.objects.filter(pk__in=here).order_by("name").values_list("name", flat=True))
    if not names:
        return None
    more = f" and {len(names) - NAMES_MAX} more" if len(names) > NAMES_MAX else ""
    return Left(f"{month:%Y-%m}", f"under legal hold: {', '.join(names[:NAMES_MAX])}{more}")


def _unfinished(month: datetime) -> Left | None:
    """Some of it waits to be summed up."""
    end = partitioning.next_month(month)
    if not RollupDirty.objects.filter(bucket__gte=month, bucket__lt=end).exists():
        return None
    return Left(f"{month:%Y-%m}", "some of it is not summed up yet")


def _trouble(month: datetime) -> Left | None:
    """Its rows and its days do not add up to the same, so that a purge would hide what is wrong."""
    end = partitioning.next_month(month)
    slack = UsageEvent.ID_SLACK
    if _rows(month).filter(Q(at__lt=month - slack) | Q(at__gte=end + slack)).exists():
        return Left(f"{month:%Y-%m}", "The time of some rows is not the time in their ids.", is_trouble=True)
    # Those of the month's sums: around its turn a row's own time may lie in another month than its id.
    low, high = (ids.first_at(clock.to_ms(moment)) for moment in (month - slack, end + slack))
    rows = UsageEvent.objects.filter(pk__gte=low, pk__lt=high, at__gte=month, at__lt=end)
    used = book_checks.usage_sums(rows, UsagePurge.objects.filter(month=month))
    days = book_checks.sums(RollupDay.objects.filter(bucket__gte=month, bucket__lt=end))
    for place in sorted(used.keys() | days.keys()):
        mine, theirs = used.get(place, (0, 0)), days.get(place, (0, 0))
        if mine != theirs:
            text = f"Usage and its sums differ: organisation {place[0]}, {place[1]}: rows say {mine} (nano, calls), "
            return Left(f"{month:%Y-%m}", f"{text}days {theirs}.", is_trouble=True)
    return None


def _bury(month: datetime) -> int:
    """Remove a month's rows and leave their tombstones. Returns how many rows went."""
    rows = _rows(month)
    booked = rows.exclude(transaction=None).order_by("-transaction").values_list("transaction", flat=True).first()
    groups = (
        rows.annotate(of=TruncMonth("at", tzinfo=UTC))
        .values_list("of", "organisation_id", "currency")
        .annotate(count=Count("pk"), tests=Count("pk", filter=Q(is_test=True)), nano=Sum("cost_nano"))
        .order_by("of", "organisation_id", "currency")
    )
    now = clock.now()
    stones = [
        UsagePurge(
            month=of,
            organisation_id=organisation_id,
            currency=currency,
            rows=count,
            test_rows=tests,
            cost_nano=int(nano),
            booked_until=booked,
            purged_at=now,
        )
        for of, organisation_id, currency, count, tests, nano in groups
    ]
    UsagePurge.objects.bulk_create(stones)
    partitioning.drop_month(connection, month)
    return sum(stone.rows for stone in stones)


def _rows(month: datetime) -> QuerySet[UsageEvent]:
    """The rows that go with a month: by the time in their ids, as the partitions are cut."""
    first, end = (ids.first_at(clock.to_ms(moment)) for moment in (month, partitioning.next_month(month)))
    return UsageEvent.objects.filter(pk__gte=first, pk__lt=end)
