"""Checks what must always be true of money (design: money). Reads only; says what it finds, repairs nothing."""

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

from django.db import transaction
from django.db.models import Count, F, Q, QuerySet, Sum

from billing.models import (
    LedgerAccount,
    LedgerTransaction,
    LedgerTransfer,
    PostingFault,
    Rollup15m,
    RollupDay,
    RollupDirty,
    RollupHour,
    RollupMonth,
    UsageEvent,
    VerifierRun,
    Wallet,
)
from newapi.kernel import clock
from newapi.kernel.meters import bank, keys

# A hold may outlive its deadline by this until the sweeper has been there.
HOLD_GRACE_MS = 60_000
# Findings of one check that are told; more would only repeat themselves.
FINDINGS_MAX = 50
# The till moves while it is read; a difference counts when it is still there after so many looks.
LOOKS = 5
LOOK_AGAIN_S = 0.2
# As many holds and entries of a shard as there may be.
ALL = 2_000_000
Kind = LedgerAccount.Kind


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is not as it must be. `organisation_id` is None for the platform as a whole."""

    code: str
    organisation_id: int | None
    text: str


def run() -> VerifierRun:
    """Check everything and keep the result where admins see it."""
    started = time.monotonic()
    findings = [asdict(finding) for finding in verify()]
    return VerifierRun.objects.create(duration_ms=int((time.monotonic() - started) * 1000), findings=findings)


def verify() -> list[Finding]:
    """Everything that is wrong, check by check. Empty when all is well."""
    findings: list[Finding] = []
    # One snapshot for what the database says of itself; posters go on meanwhile.
    with transaction.atomic():
        _freeze_snapshot()
        for check in DATABASE_CHECKS:
            findings += list(check())[:FINDINGS_MAX]
    for check in TILL_CHECKS:
        findings += list(check())[:FINDINGS_MAX]
    return findings


def _freeze_snapshot() -> None:
    connection = transaction.get_connection()
    if connection.vendor == "postgresql" and not connection.needs_rollback and connection.savepoint_ids == []:
        with connection.cursor() as cursor:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")


# What the database says of itself


def wallets_equal_their_transfers() -> Iterator[Finding]:
    """Balance and debt of each wallet are the sums of its accounts' transfers."""
    sides = {(kind, "in"): _moved("credit_account", kind) for kind in (Kind.WALLET, Kind.RECEIVABLE)}
    sides |= {(kind, "out"): _moved("debit_account", kind) for kind in (Kind.WALLET, Kind.RECEIVABLE)}
    for wallet in Wallet.objects.order_by("pk").iterator():
        place = (wallet.organisation_id, wallet.currency)
        balance = sides[Kind.WALLET, "in"].get(place, 0) - sides[Kind.WALLET, "out"].get(place, 0)
        owed = sides[Kind.RECEIVABLE, "out"].get(place, 0) - sides[Kind.RECEIVABLE, "in"].get(place, 0)
        if balance != wallet.balance_nano:
            yield _differs("wallet", wallet.organisation_id, "wallet", wallet.balance_nano, "transfers", balance)
        if owed != wallet.owed_nano:
            yield _differs("owed", wallet.organisation_id, "owed", wallet.owed_nano, "transfers", owed)
        if wallet.balance_nano + wallet.credit_limit_nano < 0:
            text = f"the balance {wallet.balance_nano} lies below the floor {-wallet.credit_limit_nano}"
            yield Finding("floor", wallet.organisation_id, text)


def debits_equal_credits() -> Iterator[Finding]:
    """Each transfer names two accounts of one currency, so both sides sum to the same."""
    mixed = LedgerTransfer.objects.exclude(debit_account__currency=F("credit_account__currency"))
    for transfer in mixed[:FINDINGS_MAX]:
        yield Finding("currency", None, f"transfer {transfer.pk} moves money between currencies")


def usage_equals_ledger_and_rollups() -> Iterator[Finding]:
    """Σ usage = Σ usage transfers = Σ wallet use = Σ quarters, for each organisation and currency, to the nano."""
    usage = _sums(UsageEvent.objects.all(), cost="cost_nano", calls="pk")
    ledger = _moved("debit_account", Kind.WALLET, Kind.RECEIVABLE, of=LedgerTransaction.Kind.USAGE)
    wallets = {(w.organisation_id, w.currency): w.used_nano for w in Wallet.objects.all().iterator()}
    quarters = _sums(Rollup15m.objects.all(), cost="cost_nano", calls="calls")
    for place in sorted(usage.keys() | ledger.keys() | quarters.keys() | wallets.keys()):
        cost, calls = usage.get(place, (0, 0))
        others = {
            "ledger": ledger.get(place, 0),
            "wallet": wallets.get(place, 0),
            "quarters": quarters.get(place, (0, 0))[0],
        }
        for name, value in others.items():
            if value != cost:
                yield _differs(f"usage_{name}", place[0], "usage", cost, name, value)
        counted = quarters.get(place, (0, 0))[1]
        if counted != calls:
            yield _differs("calls", place[0], "usage rows", calls, "calls in quarters", counted)


def rows_equal_their_components() -> Iterator[Finding]:
    """A row's cost is the sum of its components."""
    inputs = F("input_cost_nano") + F("cached_input_cost_nano") + F("cache_write_cost_nano")
    outputs = F("output_cost_nano") + F("reasoning_cost_nano")
    for row in UsageEvent.objects.exclude(cost_nano=inputs + outputs + F("call_cost_nano"))[:FINDINGS_MAX]:
        yield Finding("components", row.organisation_id, f"usage {row.pk} is not the sum of its components")


def rows_have_their_transaction() -> Iterator[Finding]:
    """A row that cost something is booked; its transaction moved exactly what its rows cost."""
    for row in UsageEvent.objects.filter(transaction=None, cost_nano__gt=0)[:FINDINGS_MAX]:
        yield Finding("unbooked", row.organisation_id, f"usage {row.pk} cost {row.cost_nano} and is in no transaction")
    booked = UsageEvent.objects.exclude(transaction=None).values("transaction_id").annotate(cost=Sum("cost_nano"))
    moved = dict(
        LedgerTransfer.objects.filter(transaction__kind=LedgerTransaction.Kind.USAGE)
        .values_list("transaction_id")
        .annotate(Sum("amount_nano"))
        .order_by()
    )
    for transaction_id, cost_nano in booked.values_list("transaction_id", "cost").order_by().iterator():
        if moved.get(transaction_id) != cost_nano:
            text = f"transaction {transaction_id} moved {moved.get(transaction_id)} for {cost_nano}"
            yield Finding("transaction", None, text)


def coarse_rollups_equal_quarters() -> Iterator[Finding]:
    """Hours, days and months sum to the quarters, for organisations with nothing left to sum up."""
    waiting = set(RollupDirty.objects.values_list("organisation_id", flat=True))
    quarters = _sums(Rollup15m.objects.all(), cost="cost_nano", calls="calls")
    for level in (RollupHour, RollupDay, RollupMonth):
        coarse = _sums(level._default_manager.all(), cost="cost_nano", calls="calls")
        for place in sorted(quarters.keys() | coarse.keys()):
            if place[0] not in waiting and coarse.get(place) != quarters.get(place):
                name = level._meta.model_name or ""
                yield _differs(name, place[0], "quarters", quarters.get(place), name, coarse.get(place))


def nothing_is_at_fault() -> Iterator[Finding]:
    """No usage waits for a person."""
    if count := PostingFault.objects.filter(resolved_at=None).count():
        yield Finding("faults", None, f"{count} usage events could not be posted")


# What the till says


def tills_agree_with_themselves() -> Iterator[Finding]:
    """Of every warm till: posted = funded - acked, and pending = its open holds + its unposted entries."""
    for organisation_id in Wallet.objects.order_by("pk").values_list("organisation_id", flat=True).distinct():
        text = ""
        for look in range(LOOKS):
            if look:
                time.sleep(LOOK_AGAIN_S)
            if not (text := _till_fault(organisation_id)):
                break
        else:
            yield Finding("till", organisation_id, text)


def _till_fault(organisation_id: int) -> str:
    before = bank.till_state(organisation_id)
    if before is None:
        return ""
    shard = keys.shard_of(organisation_id)
    pending = sum(hold.nano for hold in _own_holds(shard, organisation_id))
    pending += sum(entry.cost_nano for entry in _own_entries(shard, organisation_id))
    if before != bank.till_state(organisation_id):
        return "the till did not stand still long enough to be checked"
    if before.posted_nano != before.funded_nano - before.acked_nano:
        return f"posted {before.posted_nano} is not funded {before.funded_nano} less acked {before.acked_nano}"
    if before.pending_nano != pending:
        return f"pending {before.pending_nano} is not holds and entries, {pending}"
    return ""


def no_hold_is_overdue() -> Iterator[Finding]:
    """No hold stands past its deadline plus a minute."""
    latest_ms = clock.now_ms() - HOLD_GRACE_MS
    for shard in range(keys.SHARDS):
        for hold in bank.holds(shard=shard, due_before_ms=latest_ms, limit=FINDINGS_MAX):
            yield Finding("hold", None, f"the hold of {hold.request_id} is past its deadline")


def _own_holds(shard: int, organisation_id: int) -> Iterable[bank.Hold]:
    own = f'"organisation":{organisation_id},'.encode()
    return (hold for hold in bank.holds(shard=shard, limit=ALL) if own in hold.record)


def _own_entries(shard: int, organisation_id: int) -> Iterable[bank.Entry]:
    return (entry for entry in bank.unposted(shard=shard, limit=ALL) if entry.organisation_id == organisation_id)


DATABASE_CHECKS: tuple[Callable[[], Iterator[Finding]], ...] = (
    wallets_equal_their_transfers,
    debits_equal_credits,
    usage_equals_ledger_and_rollups,
    rows_equal_their_components,
    rows_have_their_transaction,
    coarse_rollups_equal_quarters,
    nothing_is_at_fault,
)
TILL_CHECKS: tuple[Callable[[], Iterator[Finding]], ...] = (tills_agree_with_themselves, no_hold_is_overdue)

Place = tuple[int, str]  # organisation id, currency


def _moved(side: str, *kinds: str, of: str | None = None) -> dict[Place, int]:
    """What went through one side of organisations' accounts of these kinds, by organisation and currency."""
    wanted = Q(**{f"{side}__kind__in": kinds, f"{side}__organisation__isnull": False})
    if of is not None:
        wanted &= Q(transaction__kind=of)
    rows = LedgerTransfer.objects.filter(wanted).values_list(f"{side}__organisation", f"{side}__currency")
    found = rows.annotate(Sum("amount_nano")).order_by()
    return {(organisation, currency): int(nano) for organisation, currency, nano in found}


def _sums(rows: QuerySet[Any], *, cost: str, calls: str) -> dict[Place, tuple[int, int]]:
    """(nano, calls) by organisation and currency; `calls` is counted when it is the key, summed otherwise."""
    counted = Count("pk") if calls == "pk" else Sum(calls)
    found = rows.values_list("organisation_id", "currency").annotate(Sum(cost), counted).order_by()
    return {(organisation, currency): (int(nano), int(count)) for organisation, currency, nano, count in found}


def _differs(code: str, organisation_id: int | None, one: str, value: object, other: str, found: object) -> Finding:
    return Finding(code, organisation_id, f"{one} say {value}, {other} say {found}")
