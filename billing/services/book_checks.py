"""What must be true of the books, by what the database says of itself. Run inside one snapshot of it."""

from collections import defaultdict
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

from django.db import connection
from django.db.models import Count, F, Min, OuterRef, Q, QuerySet, Subquery, Sum
from django.db.models.functions import Coalesce, TruncDay

from billing import partitioning
from billing.findings import Finding, differs
from billing.models import (
    Grant,
    LedgerAccount,
    LedgerTransaction,
    LedgerTransfer,
    PostingFault,
    Purse,
    Rollup15m,
    RollupDay,
    RollupDirty,
    RollupHour,
    RollupMonth,
    UsageEvent,
    UsagePurge,
    Wallet,
)
from billing.models.rollup import Rollup
from newapi.kernel import clock, ids

Kind = LedgerAccount.Kind
Place = tuple[int, str]  # organisation id, currency
Sums = tuple[int, int]  # nano, calls


def wallets_equal_their_transfers(since: datetime | None) -> Iterator[Finding]:
    """Balance and debt of each wallet are the sums of its accounts' transfers, and no wallet is below its floor."""
    came, went = (
        {kind: _moved(side, kind) for kind in (Kind.WALLET, Kind.RECEIVABLE)}
        for side in ("credit_account", "debit_account")
    )
    for wallet in Wallet.objects.order_by("pk").iterator():
        place = (wallet.organisation_id, wallet.currency)
        balance_nano = came[Kind.WALLET].pop(place, 0) - went[Kind.WALLET].pop(place, 0)
        owed_nano = went[Kind.RECEIVABLE].pop(place, 0) - came[Kind.RECEIVABLE].pop(place, 0)
        if balance_nano != wallet.balance_nano:
            yield differs("wallet", place[0], "wallets", wallet.balance_nano, "transfers", balance_nano)
        if owed_nano != wallet.owed_nano:
            yield differs("owed", place[0], "wallets", wallet.owed_nano, "transfers", owed_nano)
        if wallet.balance_nano + wallet.credit_limit_nano < 0:
            text = f"the balance {wallet.balance_nano} lies below the floor {-wallet.credit_limit_nano}"
            yield Finding("floor", place[0], text)
    for left in (*came.values(), *went.values()):
        for organisation_id, currency in left:
            yield Finding("no_wallet", organisation_id, f"{currency} was moved, but there is no such wallet")


def wallets_equal_their_grants(since: datetime | None) -> Iterator[Finding]:
    """Balance = what remains of the grants - what is drawn on credit, which is drawn only when nothing else is left."""
    remaining: dict[int, int] = defaultdict(int)
    general: dict[int, int] = defaultdict(int)
    rests = Grant.objects.filter(remaining_nano__gt=0).values_list("wallet_id", "purse_id").order_by()
    for wallet_id, purse_id, nano in rests.annotate(Sum("remaining_nano")).iterator():
        remaining[wallet_id] += int(nano)
        general[wallet_id] += int(nano) if purse_id is None else 0
    for wallet in Wallet.objects.order_by("pk").iterator():
        rest_nano = remaining[wallet.pk] - wallet.drawn_nano
        if rest_nano != wallet.balance_nano:
            yield differs("grants", wallet.organisation_id, "wallets", wallet.balance_nano, "grants", rest_nano)
        if wallet.drawn_nano > wallet.credit_limit_nano or (wallet.drawn_nano and general[wallet.pk]):
            text = f"{wallet.drawn_nano} are drawn on a credit of {wallet.credit_limit_nano} with grants left"
            yield Finding("drawn", wallet.organisation_id, text)


def grants_equal_their_entries(since: datetime | None) -> Iterator[Finding]:
    """What remains of a grant is the sum of its entries, and of a purse what came in less what was used."""
    total = Coalesce(Sum("entries__nano"), 0)
    grants = Grant.objects.all() if since is None else Grant.objects.filter(remaining_nano__gt=0)
    for grant in grants.annotate(total=total).exclude(remaining_nano=F("total")).order_by("pk").iterator():
        yield differs("grant_entries", None, f"grant {grant.pk}", grant.remaining_nano, "entries", grant.total)
    rest = Coalesce(Sum("grants__remaining_nano"), 0)
    purses = Purse.objects.annotate(rest=rest).exclude(rest=F("funded_nano") - F("used_nano"))
    for purse in purses.select_related("wallet").order_by("pk"):
        left_nano = purse.funded_nano - purse.used_nano
        yield differs("purse", purse.wallet.organisation_id, f"purse {purse.pk}", left_nano, "grants", purse.rest)


def debits_equal_credits(since: datetime | None) -> Iterator[Finding]:
    """Each transfer names two accounts of one currency, so both sides sum to the same."""
    mixed = LedgerTransfer.objects.exclude(debit_account__currency=F("credit_account__currency"))
    for transfer in mixed.order_by("pk").iterator():
        yield Finding("currency", None, f"transfer {transfer.pk} moves money between currencies")


def totals_agree(since: datetime | None) -> Iterator[Finding]:
    """What each wallet was used for = its usage transfers = its quarters of an hour = its months, ever."""
    wallets = {(w.organisation_id, w.currency): w.used_nano for w in Wallet.objects.order_by("pk").iterator()}
    ledger = _moved("debit_account", Kind.WALLET, Kind.RECEIVABLE, of=LedgerTransaction.Kind.USAGE)
    quarters = {place: nano for place, (nano, _) in sums(Rollup15m.objects.all()).items()}
    for place in sorted(wallets.keys() | ledger.keys() | quarters.keys()):
        for code, others in (("usage_ledger", ledger), ("usage_quarters", quarters)):
            if others.get(place, 0) != wallets.get(place, 0):
                name = code.removeprefix("usage_")
                yield differs(code, place[0], "wallets", wallets.get(place, 0), name, others.get(place, 0))


def rows_equal_quarters(since: datetime | None) -> Iterator[Finding]:
    """Usage rows and tombstones of purged ones sum to the quarters, in nano and in calls; test keys' count nowhere."""
    since = _complete_since(since)
    purged = UsagePurge.objects.filter(month__gte=since) if since else UsagePurge.objects.all()
    rows = usage_sums(_rows_since(since), purged)
    quarters = sums(Rollup15m.objects.filter(bucket__gte=since) if since else Rollup15m.objects.all())
    for place in sorted(rows.keys() | quarters.keys()):
        if rows.get(place) != quarters.get(place):
            mine, theirs = rows.get(place, (0, 0)), quarters.get(place, (0, 0))
            yield differs("rows_quarters", place[0], "rows and tombstones (nano, calls)", mine, "quarters", theirs)


def rows_equal_their_components(since: datetime | None) -> Iterator[Finding]:
    """A row's cost is the sum of its components."""
    inputs = F("input_cost_nano") + F("cached_input_cost_nano") + F("cache_write_cost_nano")
    outputs = F("output_cost_nano") + F("reasoning_cost_nano")
    # Null in rows from before there were rare buckets.
    rest = F("call_cost_nano") + Coalesce(F("extras_cost_nano"), 0)
    wrong = _rows_since(since).exclude(cost_nano=inputs + outputs + rest)
    for row in wrong.order_by("pk").iterator():
        yield Finding("components", row.organisation_id, f"usage {row.pk} is not the sum of its components")


def rows_equal_their_transaction(since: datetime | None) -> Iterator[Finding]:
    """A row that cost something is booked, and each usage transaction moved exactly what its rows cost.

    One that may have lost rows to a purge moved at least what is left of them.
    """
    for row in _rows_since(since).filter(transaction=None, cost_nano__gt=0).order_by("pk").iterator():
        yield Finding("unbooked", row.organisation_id, f"usage {row.pk} cost {row.cost_nano} and is booked nowhere")
    since = _complete_since(since)
    booked = LedgerTransaction.objects.filter(kind=LedgerTransaction.Kind.USAGE)
    if since:
        # Rows of before `since` may be booked a little after it.
        booked = booked.filter(pk__gte=ids.first_at(clock.to_ms(since + UsageEvent.ID_SLACK)))
    booked = booked.annotate(moved=_total(LedgerTransfer, "amount_nano"), cost=_total(UsageEvent, "cost_nano"))
    wrong = booked.filter(Q(moved=0) | Q(moved__lt=F("cost")) | (~Q(moved=F("cost")) & ~_in_a_purge()))
    for entry in wrong.order_by("pk").iterator():
        yield differs("transaction", None, f"transfers of {entry.pk}", entry.moved, "rows", entry.cost)


def coarse_rollups_equal_quarters(since: datetime | None) -> Iterator[Finding]:
    """Hours, days and months sum to the quarters, wherever nothing is left to sum up. One month at a time."""
    earliest = since or Rollup15m.objects.aggregate(first=Min("bucket"))["first"] or clock.now()
    for month in partitioning.months_from(earliest, _months_until(clock.now(), earliest)):
        within = Q(bucket__gte=month, bucket__lt=partitioning.next_month(month))
        marks = list(RollupDirty.objects.filter(within).values_list("level", "organisation_id", "bucket"))
        days = {(organisation, _day(bucket)) for level, organisation, bucket in marks if level != "month"}
        quarters = _by_day(Rollup15m, within)
        yield from _compare("hour", quarters, _by_day(RollupHour, within), days)
        yield from _compare("day", quarters, _by_day(RollupDay, within), days)
        waiting = {(organisation, month) for _, organisation, _ in marks}
        yield from _compare("month", _by_month(quarters, month), _by_day(RollupMonth, within), waiting)


def nothing_is_at_fault(since: datetime | None) -> Iterator[Finding]:
    """No usage waits for a person."""
    faults = PostingFault.objects.filter(resolved_at=None).values_list("organisation_id")
    for organisation_id, count in faults.annotate(Count("pk")).order_by("organisation_id"):
        yield Finding("faults", organisation_id, f"{count} usage events could not be posted")


CHECKS: tuple[Callable[[datetime | None], Iterator[Finding]], ...] = (
    wallets_equal_their_transfers,
    wallets_equal_their_grants,
    grants_equal_their_entries,
    debits_equal_credits,
    totals_agree,
    rows_equal_quarters,
    rows_equal_their_components,
    rows_equal_their_transaction,
    coarse_rollups_equal_quarters,
    nothing_is_at_fault,
)


def _moved(side: str, *kinds: str, of: str | None = None) -> dict[Place, int]:
    """What went through one side of organisations' accounts of these kinds, by organisation and currency."""
    wanted = Q(**{f"{side}__kind__in": kinds, f"{side}__organisation__isnull": False})
    if of is not None:
        wanted &= Q(transaction__kind=of)
    rows = LedgerTransfer.objects.filter(wanted).values_list(f"{side}__organisation", f"{side}__currency")
    found = rows.annotate(Sum("amount_nano")).order_by()
    return {(organisation, currency): int(nano) for organisation, currency, nano in found.iterator()}


def sums(rows: QuerySet[Any], *, calls: Any = None) -> dict[Place, Sums]:
    """(nano, calls) by organisation and currency."""
    found = rows.values_list("organisation_id", "currency").annotate(nano=Sum("cost_nano"), count=calls or Sum("calls"))
    return {
        (organisation, currency): (int(nano), int(count)) for organisation, currency, nano, count in found.order_by()
    }


def usage_sums(rows: QuerySet[UsageEvent], purged: QuerySet[UsagePurge]) -> dict[Place, Sums]:
    """(nano, calls) of usage rows and of tombstones together, by organisation and currency; without test keys'."""
    found = sums(rows.exclude(is_test=True), calls=Count("pk"))
    for place, (nano, calls) in sums(purged, calls=Sum(F("rows") - F("test_rows"))).items():
        before = found.get(place, (0, 0))
        found[place] = (before[0] + nano, before[1] + calls)
    # Nothing but rows of test keys: no sum has them.
    return {place: used for place, used in found.items() if used != (0, 0)}


def _in_a_purge() -> Q:
    """Transactions that may have lost rows: booked since a purged month began, no later than its last row."""
    within = Q(pk__in=())
    purges = UsagePurge.objects.exclude(booked_until=None).order_by("month").values_list("month", "booked_until")
    for month, until in purges.distinct():
        within |= Q(pk__gte=ids.first_at(clock.to_ms(month - UsageEvent.ID_SLACK)), pk__lte=until)
    return within


def _total(model: Any, field: str) -> Coalesce:
    """What the rows of a transaction sum to."""
    rows = model.objects.filter(transaction=OuterRef("pk")).order_by().values("transaction")
    return Coalesce(Subquery(rows.annotate(total=Sum(field)).values("total")), 0)


def _rows_since(since: datetime | None) -> QuerySet[UsageEvent]:
    rows = UsageEvent.objects.all()
    if since is None:
        return rows
    # By the key too, so that older partitions are not looked at.
    return rows.filter(pk__gte=ids.first_at(clock.to_ms(since - UsageEvent.ID_SLACK)), at__gte=_quarter(since))


def _complete_since(since: datetime | None) -> datetime | None:
    """The start of a quarter from which on usage rows, with the tombstones of purged ones, are complete."""
    if since is None and UsagePurge.objects.exists():
        return None
    month = next(iter(partitioning.months_from(since, 1))) if since else None
    if month and UsagePurge.objects.filter(month__gte=month).exists():
        # Tombstones keep sums of whole months.
        return month
    oldest = partitioning.oldest_month(connection)
    if oldest is not None and Rollup15m.objects.filter(bucket__lt=oldest).exists():
        since = max(since or oldest, oldest + UsageEvent.ID_SLACK)
    return since and _quarter(since)


def _quarter(moment: datetime) -> datetime:
    return moment.replace(minute=moment.minute // 15 * 15, second=0, microsecond=0)


def _by_day(model: type[Rollup], within: Q) -> dict[tuple[int, str, datetime], Sums]:
    """(nano, calls) by organisation, currency and day."""
    rows = model._default_manager.filter(within).annotate(day=TruncDay("bucket", tzinfo=UTC))
    found = rows.values_list("organisation_id", "currency", "day").annotate(Sum("cost_nano"), Sum("calls")).order_by()
    return {
        (organisation, currency, day): (int(nano), int(calls)) for organisation, currency, day, nano, calls in found
    }


def _by_month(days: dict[tuple[int, str, datetime], Sums], month: datetime) -> dict[tuple[int, str, datetime], Sums]:
    found: dict[tuple[int, str, datetime], Sums] = {}
    for (organisation, currency, _), (nano, calls) in days.items():
        before = found.get((organisation, currency, month), (0, 0))
        found[organisation, currency, month] = (before[0] + nano, before[1] + calls)
    return found


def _compare(
    level: str,
    fine: dict[tuple[int, str, datetime], Sums],
    coarse: dict[tuple[int, str, datetime], Sums],
    waiting: set[tuple[int, datetime]],
) -> Iterator[Finding]:
    for place in sorted(fine.keys() | coarse.keys()):
        organisation_id, _, start = place
        if (organisation_id, start) not in waiting and fine.get(place) != coarse.get(place):
            where = f"quarters of {start:%Y-%m-%d} (nano, calls)"
            yield differs(f"rollup_{level}", organisation_id, where, fine.get(place), f"{level}s", coarse.get(place))


def _months_until(end: datetime, start: datetime) -> int:
    # One more, for buckets that a clock set back left in the future.
    return (end.year - start.year) * 12 + end.month - start.month + 2


def _day(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
