"""What must be true of the books, by what the database says of itself. Run inside one snapshot of it."""

from collections import defaultdict
from collections.abc import Iterator
from datetime import datetime

from django.db.models import Count, F, Q, Sum
from django.db.models.functions import Coalesce

from billing.findings import Finding, differs
from billing.models import (
    Grant,
    LedgerAccount,
    LedgerTransaction,
    LedgerTransfer,
    PostingFault,
    Purse,
    Rollup15m,
    Wallet,
)
from billing.services import row_checks
from billing.services.row_checks import Check, Place, sums, usage_sums

__all__ = ["CHECKS", "sums", "usage_sums"]

Kind = LedgerAccount.Kind


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


def nothing_is_at_fault(since: datetime | None) -> Iterator[Finding]:
    """No usage waits for a person."""
    faults = PostingFault.objects.filter(resolved_at=None).values_list("organisation_id")
    for organisation_id, count in faults.annotate(Count("pk")).order_by("organisation_id"):
        yield Finding("faults", organisation_id, f"{count} usage events could not be posted")


CHECKS: tuple[Check, ...] = (
    wallets_equal_their_transfers,
    wallets_equal_their_grants,
    grants_equal_their_entries,
    debits_equal_credits,
    totals_agree,
    *row_checks.CHECKS,
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
