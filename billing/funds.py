"""What the tills are told of wallets: running totals that only the database decides."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import F, Min, OuterRef, Q, QuerySet, Subquery

from accounts.selectors import epoch_of
from billing.models import Grant, Purse, Wallet
from newapi.kernel import clock
from newapi.kernel.meters.funds import Funds, PurseFunds
from newapi.kernel.statements import Select, slot

# What ended while calls held it is looked at again after this, and then at each call.
LOOK_AGAIN = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class Totals:
    """Running totals of a wallet at one moment, in nano, with those of its purses, which are part of them."""

    funded_nano: int
    used_nano: int
    credit_limit_nano: int
    version: int
    frozen_at: datetime | None
    purses: tuple[PurseFunds, ...]

    @property
    def general_used_nano(self) -> int:
        """What was used in all, without what purses paid."""
        return self.used_nano - sum(purse.used_nano for purse in self.purses)

    @property
    def general_funded_nano(self) -> int:
        """What came in for any call, with the credit limit."""
        return self.funded_nano - sum(purse.funded_nano for purse in self.purses) + self.credit_limit_nano


_COLUMNS = ("organisation_id", "funded_nano", "used_nano", "credit_limit_nano", "version", "frozen_at")
_OF_PURSE = ("purses__pk", "purses__funded_nano", "purses__used_nano")


def totals(organisation_ids: Iterable[int]) -> dict[int, Totals]:
    """The totals of the wallets that tills count: those in their organisations' own currency.

    One statement, so that a wallet and its purses are of one moment.
    """
    purses: dict[int, list[PurseFunds]] = defaultdict(list)
    found: dict[int, Any] = {}
    rows = _counted(organisation_ids).order_by("organisation_id", "purses__pk")
    for *of_wallet, purse_id, funded_nano, used_nano in rows.values_list(*_COLUMNS, *_OF_PURSE):
        found[of_wallet[0]] = of_wallet[1:]
        if purse_id is not None:
            purses[of_wallet[0]].append(PurseFunds(purse_id, funded_nano, used_nano))
    return {
        pk: Totals(funded, used, credit_limit, version, frozen_at, tuple(purses[pk]))
        for pk, (funded, used, credit_limit, version, frozen_at) in found.items()
    }


def of_organisation(organisation_id: int, *, looked_at: datetime | None = None) -> Funds:
    """What an organisation's till is told; zeros when it has no wallet yet. A frozen wallet has nothing to spend.

    looked_at: when money that had ended by then was taken out. What is still there of it is held by calls, and the
    till is to have it looked at again shortly after. All is of one moment, except an end that somebody looked for.
    """
    told = _told(_OF_ORGANISATION.rows(key=organisation_id), looked_at)
    if told is None:
        return Funds(organisation_id, epoch_of(organisation_id=organisation_id), funded_nano=0, used_nano=0, version=0)
    return told


def of_wallet(wallet_id: int, *, looked_at: datetime | None = None) -> Funds | None:
    """What the till of a wallet's organisation is told; None when no till counts it. See of_organisation."""
    return _told(_OF_WALLET.rows(key=wallet_id), looked_at)


def _with_ends(key: str) -> QuerySet[Wallet, Any]:
    """Rows of the one wallet with such a key, if a till counts it: one for each of its purses, or one."""
    ends = Grant.objects.filter(wallet=OuterRef("pk"), remaining_nano__gt=0, expires_at__isnull=False)
    first_end = Subquery(ends.order_by("expires_at").values("expires_at")[:1])
    more = ("organisation__epoch", "credit_until", "drawn_nano", "first_end")
    wallet = Wallet.objects.filter(**{key: slot(Wallet, key, "key")}, currency=F("organisation__currency"))
    return wallet.annotate(first_end=first_end).order_by("purses__pk").values_list(*_COLUMNS, *more, *_OF_PURSE)


_OF_ORGANISATION = Select(lambda: _with_ends("organisation"))
_OF_WALLET = Select(lambda: _with_ends("id"))


def _told(rows: Sequence[Any], looked_at: datetime | None) -> Funds | None:
    if not rows:
        return None
    organisation_id, funded, used, credit_limit, version, frozen_at, *more = rows[0][: -len(_OF_PURSE)]
    epoch, credit_until, drawn, end = more
    purses = tuple(PurseFunds(*row[-len(_OF_PURSE) :]) for row in rows if row[-len(_OF_PURSE)] is not None)
    known = Totals(funded, used, credit_limit, version, frozen_at, purses)
    dry_ms = 0
    if frozen_at is None:
        ended = [end, credit_until if credit_limit > drawn else None]
        dry_ms = _dry_ms(organisation_id, looked_at) if looked_at else _first_ms(ended)
    return of_totals(organisation_id, known, epoch=epoch, dry_ms=dry_ms)


def _counted(organisation_ids: Iterable[int]) -> QuerySet[Wallet]:
    return Wallet.objects.filter(organisation__in=list(organisation_ids), currency=F("organisation__currency"))


def of_totals(organisation_id: int, known: Totals, *, epoch: int = 0, dry_ms: int = 0) -> Funds:
    """What a till is told of these totals: of a frozen wallet, that nothing ever came in."""
    purses = known.purses
    if known.frozen_at:
        purses = tuple(PurseFunds(purse.id, 0, purse.used_nano) for purse in purses)
    return Funds(
        organisation_id=organisation_id,
        epoch=epoch,
        funded_nano=0 if known.frozen_at else known.general_funded_nano,
        used_nano=known.general_used_nano,
        version=known.version,
        dry_ms=dry_ms,
        purses=purses,
    )


def _dry_ms(organisation_id: int, looked_at: datetime) -> int:
    """From when on the till admits nothing before some money is taken out; 0: never."""
    own = Q(wallet__organisation_id=organisation_id, wallet__currency=F("wallet__organisation__currency"))
    grants = Grant.objects.filter(own, remaining_nano__gt=0, expires_at__isnull=False)
    lines = _counted([organisation_id]).filter(credit_until__isnull=False, credit_limit_nano__gt=F("drawn_nano"))
    return _first_ms([*_ends(grants, "expires_at", looked_at), *_ends(lines, "credit_until", looked_at)])


def _first_ms(ends: Iterable[datetime | None]) -> int:
    """The first of some moments, in ms since the epoch; 0 when there is none. It may be past: nobody has looked."""
    return min((clock.to_ms(end) for end in ends if end is not None), default=0)


def _ends(rows: QuerySet[Any], name: str, looked_at: datetime) -> Iterator[datetime | None]:
    """The first end of some rows. Those of before somebody looked count as shortly after that."""
    if rows.filter(**{f"{name}__lte": looked_at}).exists():
        yield looked_at + LOOK_AGAIN
    yield rows.filter(**{f"{name}__gt": looked_at}).aggregate(first=Min(name))["first"]


@dataclass(frozen=True, slots=True)
class OpenPurse:
    """Money of a wallet that only calls of a project, or only calls to a model, may spend. Ids; None: any."""

    id: int
    project_id: int | None
    model_id: int | None


def open_purses(*, organisation_id: int) -> list[OpenPurse]:
    """The purses with something left, in the currency of the organisation's till."""
    purses = Purse.objects.filter(
        wallet__organisation_id=organisation_id,
        wallet__currency=F("wallet__organisation__currency"),
        funded_nano__gt=F("used_nano"),
    )
    return [OpenPurse(*row) for row in purses.order_by("pk").values_list("pk", "project_id", "model_id")]
