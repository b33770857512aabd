"""Reading the books from the database alone, by other ways than the product's."""

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

from accounts.models import Organisation
from billing.models import LedgerTransaction, LedgerTransfer, UsageEvent, Wallet
from billing.models.rollup import Rollup
from newapi.kernel.meters import bank, keys

Row = tuple[Any, ...]


def wallet_of(organisation: Organisation) -> Wallet:
    return Wallet.objects.get(organisation=organisation)


def in_account(organisation: Organisation | None, kind: str) -> int:
    """Credits less debits of a ledger account, in nano."""
    own = {"organisation": organisation, "kind": kind}
    total = 0
    for transfer in LedgerTransfer.objects.select_related("debit_account", "credit_account"):
        for sign, side in ((1, transfer.credit_account), (-1, transfer.debit_account)):
            if side.kind == own["kind"] and side.organisation_id == getattr(organisation, "pk", None):
                total += sign * transfer.amount_nano
    return total


def used_in_ledger(organisation: Organisation) -> int:
    """What usage transactions took from an organisation's accounts, in nano."""
    transfers = LedgerTransfer.objects.filter(
        transaction__kind=LedgerTransaction.Kind.USAGE, debit_account__organisation=organisation
    )
    return sum(transfers.values_list("amount_nano", flat=True))


def used_in_rows(organisation: Organisation) -> int:
    """The usage rows' cost, in nano."""
    return sum(UsageEvent.objects.filter(organisation=organisation).values_list("cost_nano", flat=True))


def sums(model: type[Rollup]) -> dict[Row, Row]:
    """Every row of a rollup, by its dimensions."""
    dimensions = [field if field in ("bucket", "currency") else f"{field}_id" for field in Rollup.DIMENSIONS]
    found = model.objects.values_list(*dimensions, *Rollup.SUMS)
    return {row[: len(dimensions)]: row[len(dimensions) :] for row in found}


def sums_of_rows(bucket_of: Callable[[Any], Any]) -> dict[Row, Row]:
    """What a rollup of the usage rows must hold, added up here, one row after the other. Test keys count nowhere."""
    totals: dict[Row, Counter[str]] = {}
    for event in UsageEvent.objects.exclude(is_test=True):
        key = (
            bucket_of(event.at),
            event.organisation_id,
            event.project_id,
            event.user_id,
            event.api_key_id,
            event.model_id,
            event.channel_id or 0,
            event.currency,
        )
        total = totals.setdefault(key, Counter())
        total["calls"] += 1
        total["errors"] += event.outcome in ("error", "lost")
        total["latency_ms_sum"] += event.latency_ms
        for name in ("input", "cached_input", "cache_write", "output", "reasoning"):
            total[f"{name}_tokens"] += getattr(event, f"{name}_tokens")
        total["cost_nano"] += event.cost_nano
    return {key: tuple(total[name] for name in Rollup.SUMS) for key, total in totals.items()}


def waiting() -> int:
    """Entries in the streams."""
    return sum(bank.connection().xlen(keys.usage(shard)) for shard in range(keys.SHARDS))


def assert_balanced(*organisations: Organisation) -> None:
    """Rows, ledger, wallet and till agree, and nothing waits."""
    assert waiting() == 0
    for organisation in organisations:
        wallet = wallet_of(organisation)
        assert used_in_rows(organisation) == used_in_ledger(organisation) == wallet.used_nano
        assert wallet.balance_nano == in_account(organisation, "wallet")
        assert wallet.owed_nano == -in_account(organisation, "receivable")
        state = bank.till_state(organisation.pk)
        if state is not None:
            assert state.pending_nano == state.pending_in_purses_nano == 0
            funds = wallet.funded_nano + wallet.credit_limit_nano
            assert state.available_nano + state.scoped_nano == funds - wallet.used_nano


def ids_of(records: Iterable[Any]) -> set[Any]:
    return {record.id for record in records}
