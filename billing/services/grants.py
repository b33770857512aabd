"""The grants of one wallet while something is booked: taken from in burn order, given to, and written back.

Whoever books holds the wallet's row locked (on SQLite the whole transaction does that), and each grant is written
by an update that is guarded by what was read of it.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from django.db.models import F, QuerySet

from accounts.models import Project
from accounts.services import epochs
from billing.errors import BillingRefusal
from billing.models import Grant, GrantEntry, LedgerTransaction, Purse, Wallet
from channels.models import Model
from newapi.kernel import clock, money, statements
from newapi.kernel.statements import Select, slot

# As many grants with a rest, and as many scopes, as one wallet may have. All are read whenever usage is booked.
GRANTS_MAX = 2_000
PURSES_MAX = 50
_NEVER = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Terms:
    """How a grant is to be. `category` None: as the kind of its transaction is."""

    category: str | None = None
    priority: int = 50
    expires_at: datetime | None = None
    # Only calls of this project, and only calls to this model, may spend it. None: any.
    project: Project | None = None
    model: Model | None = None


class Raced(Exception):
    """Something changed between reading and writing. Nothing was booked; try again."""


def in_burn_order(grants: Iterable[Grant]) -> list[Grant]:
    """Lower priority first, then the earlier end, then given before paid, then the older. Within one purse."""
    return sorted(
        grants,
        key=lambda grant: (
            grant.priority,
            grant.expires_at or _NEVER,
            grant.category != Grant.Category.PROMOTIONAL,
            grant.pk,
        ),
    )


def check(terms: Terms, *, organisation_id: int) -> None:
    """Raise BillingRefusal for a grant that nobody could spend."""
    if terms.expires_at is not None and terms.expires_at <= clock.now():
        raise BillingRefusal({"expires_at": "That moment has passed, so nothing could be spent."})
    if terms.project is not None and terms.project.organisation_id != organisation_id:
        raise BillingRefusal({"project": "The project belongs to another organisation."})


def purse_for(wallet: Wallet, terms: Terms) -> Purse | None:
    """The purse of a scope, made at first need; None for money that any call may spend. Raises BillingRefusal."""
    if terms.project is None and terms.model is None:
        return None
    purse = Purse.objects.filter(wallet=wallet, project=terms.project, model=terms.model).first()
    if purse is None:
        if wallet.purses.count() >= PURSES_MAX:
            raise BillingRefusal(f"A wallet has at most {PURSES_MAX} scopes.")
        purse = Purse.objects.create(wallet=wallet, project=terms.project, model=terms.model)
    return purse


def _with_a_rest() -> QuerySet[Grant]:
    return Grant.objects.filter(wallet=slot(Grant, "wallet"), remaining_nano__gt=0).order_by()


# Asked at each grant, so it reads no further than it must.
_ONE_TOO_MANY = Select(lambda: _with_a_rest().values_list("pk")[GRANTS_MAX - 1 : GRANTS_MAX])


class Holdings:
    """What a wallet holds, as it is about to be. `save` writes all of it."""

    def __init__(self, wallet: Wallet) -> None:
        self.wallet = wallet
        self._grants: dict[Any, Grant] = {}
        self._seen: dict[Any, int] = {}
        # Nano by grant, as entries will say it; and by purse, how its two totals change.
        self._moved: dict[Any, int] = defaultdict(int)
        self._funded: dict[int, int] = defaultdict(int)
        self._used: dict[int, int] = defaultdict(int)
        self._is_loaded = False

    def use(self, nano: int, *, purse_id: int | None) -> int:
        """Burn usage: the purse's money first, then money for any call. Returns what is missing."""
        if purse_id is not None:
            before = nano
            nano = self._take(nano, purse_id)
            self._used[purse_id] += before - nano
        return self._take(nano, None)

    def take(self, nano: int, *, first: Grant | None = None) -> int:
        """Take funds out: of one grant first, then those that any call may spend. Returns what is missing."""
        if first is not None:
            nano -= self.take_of(first, nano)
        return self._take(nano, None)

    def take_of(self, grant: Grant, nano: int) -> int:
        """Take funds out of one grant, at most what remains of it. Returns how much that was."""
        self._load()
        known = self._grants.get(grant.pk)
        taken = min(nano, known.remaining_nano) if known is not None else 0
        if known is not None and taken:
            self._change(known, -taken)
            if known.purse_id is not None:
                self._funded[known.purse_id] -= taken
        return taken

    def give(self, booked: LedgerTransaction, nano: int, *, terms: Terms, category: str, spent_nano: int = 0) -> Grant:
        """Make a transaction's grant, of which some is spent at once on what was owed."""
        if _ONE_TOO_MANY.first(wallet=self.wallet.pk):
            raise BillingRefusal(f"A wallet has at most {GRANTS_MAX} grants with something left of them.")
        purse = purse_for(self.wallet, terms)
        if purse is not None:
            if purse.funded_nano + nano > money.EXACT_MAX_NANO:
                raise BillingRefusal("So much cannot be kept for one project or model.")
            self._funded[purse.pk] += nano
        grant = Grant(
            wallet=self.wallet,
            purse=purse,
            transaction=booked,
            category=category,
            priority=terms.priority,
            expires_at=terms.expires_at,
            amount_nano=nano,
            remaining_nano=nano - spent_nano,
        )
        grant.clean_fields(exclude=["wallet", "purse", "transaction"])
        statements.insert([grant])
        entries = [GrantEntry(grant=grant, transaction=booked, nano=nano)]
        if spent_nano:
            entries.append(GrantEntry(grant=grant, transaction=booked, nano=-spent_nano))
        statements.insert(entries)
        return grant

    def put_back(self, booked: LedgerTransaction, nano: int) -> int:
        """Give back to the grants that a transaction took from, the last first. Returns what did not fit.

        Grants that have ended since get nothing: it would expire at once.
        """
        self._load()
        taken = booked.grant_entries.filter(nano__lt=0).select_related("grant").order_by("-pk")
        for entry in taken:
            grant = entry.grant
            if grant.expires_at is not None and grant.expires_at <= clock.now():
                continue
            if grant.pk not in self._grants:
                self._add([grant])
            known = self._grants[grant.pk]
            room_nano = min(-entry.nano, known.amount_nano - known.remaining_nano, nano)
            if room_nano:
                self._change(known, room_nano)
                if known.purse_id is not None:
                    self._funded[known.purse_id] += room_nano
            nano -= room_nano
        return nano

    def save(self, booked: LedgerTransaction) -> None:
        """Write grants, entries and purses. Raises Raced."""
        moved = self._moved.items()
        statements.insert([GrantEntry(grant_id=pk, transaction=booked, nano=nano) for pk, nano in moved if nano])
        for pk, nano in self._moved.items():
            grant = self._grants[pk]
            if nano and not Grant.objects.filter(pk=pk, remaining_nano=self._seen[pk]).update(
                remaining_nano=grant.remaining_nano
            ):
                raise Raced
        self._save_purses()

    def _save_purses(self) -> None:
        """Purses that gain their first money, or lose their last, change which one a call may spend."""
        for pk in self._funded.keys() | self._used.keys():
            if not (self._funded[pk] or self._used[pk]):
                continue
            before = Purse.objects.get(pk=pk)
            Purse.objects.filter(pk=pk).update(
                funded_nano=F("funded_nano") + self._funded[pk], used_nano=F("used_nano") + self._used[pk]
            )
            left_nano = before.funded_nano - before.used_nano
            if (left_nano > 0) != (left_nano + self._funded[pk] - self._used[pk] > 0):
                epochs.bump(organisation_id=self.wallet.organisation_id)

    def _take(self, nano: int, purse_id: int | None) -> int:
        if not nano:
            return 0
        self._load()
        own = (grant for grant in self._grants.values() if grant.purse_id == purse_id and grant.remaining_nano)
        for grant in in_burn_order(own):
            taken = min(nano, grant.remaining_nano)
            self._change(grant, -taken)
            nano -= taken
            if not nano:
                break
        return nano

    def _load(self) -> None:
        """Read the grants, once, when they are needed: most of what comes in asks for none of them."""
        if not self._is_loaded:
            self._is_loaded = True
            self._add(Grant.objects.filter(wallet=self.wallet, remaining_nano__gt=0))

    def _change(self, grant: Grant, nano: int) -> None:
        grant.remaining_nano += nano
        self._moved[grant.pk] += nano

    def _add(self, grants: Iterable[Grant]) -> None:
        for grant in grants:
            self._grants[grant.pk] = grant
            self._seen[grant.pk] = grant.remaining_nano
