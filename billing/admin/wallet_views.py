"""What a wallet's page shows above its numbers: what waits, its grants in burn order, its purses, its alerts."""

from dataclasses import dataclass
from typing import Any

from django.http import HttpRequest

from accounts.admin.pages import object_url
from billing.admin.adjustments import amount_of
from billing.admin.balance_alerts import state_of
from billing.grant_words import expires_in, scope_of, standing
from billing.models import Adjustment, BalanceAlert, Grant, Purse, Wallet
from newapi.kernel import clock, money

ROWS_MAX = 50


@dataclass(frozen=True, slots=True)
class Row:
    """A line of one of the tables. `url`: the page of what it is about; whoever sees the table may open it."""

    cells: tuple[str, ...]
    url: str


@dataclass(frozen=True, slots=True)
class Part:
    """A table. `more`: how many rows there are besides those shown."""

    title: str
    note: str
    headers: tuple[str, ...]
    rows: list[Row]
    more: int = 0


def parts_of(wallet: Wallet, request: HttpRequest) -> dict[str, Any]:
    """The tables that have rows, for those who may see such rows."""
    makers = {
        "billing.view_adjustment": _waiting,
        "billing.view_grant": _grants,
        "billing.view_purse": _purses,
        "billing.view_balancealert": _alerts,
    }
    found = (make(wallet) for right, make in makers.items() if request.user.has_perm(right))
    return {"parts": [part for part in found if part.rows]}


def _waiting(wallet: Wallet) -> Part:
    waiting = wallet.adjustments.filter(state=Adjustment.State.WAITING).select_related("requested_by")
    rows = [
        Row((amount_of(one), one.get_kind_display(), str(one.requested_by), one.reason), object_url(one))
        for one in waiting.order_by("pk")[:ROWS_MAX]
    ]
    return Part("Waits for a second person", "", ("Amount", "Kind", "Asked for by", "Reason"), rows)


def _grants(wallet: Wallet) -> Part:
    found = standing(wallet)
    return Part(
        title="Grants",
        note="In the order in which they are spent; what only some calls may spend is spent by those first.",
        headers=("Left", "Of", "Category", "For", "Expires", "Priority"),
        rows=[_grant(grant, wallet.currency) for grant in found[:ROWS_MAX]],
        more=max(0, len(found) - ROWS_MAX),
    )


def _grant(grant: Grant, currency: str) -> Row:
    cells = (
        money.display(grant.remaining_nano, currency),
        money.display(grant.amount_nano, currency),
        grant.get_category_display(),
        scope_of(grant.purse),
        expires_in(grant, clock.now()) or "never",
        str(grant.priority),
    )
    return Row(cells, object_url(grant))


def _purses(wallet: Wallet) -> Part:
    purses = wallet.purses.select_related("project", "model").order_by("pk")
    return Part(
        title="Purses",
        note="The parts that only some calls may spend.",
        headers=("Left", "Brought in", "Used", "For"),
        rows=[_purse(purse, wallet.currency) for purse in purses[:ROWS_MAX]],
    )


def _purse(purse: Purse, currency: str) -> Row:
    amounts = (purse.funded_nano - purse.used_nano, purse.funded_nano, purse.used_nano)
    return Row((*(money.display(nano, currency) for nano in amounts), scope_of(purse)), object_url(purse))


def _alerts(wallet: Wallet) -> Part:
    found = BalanceAlert.objects.filter(organisation=wallet.organisation).order_by("-threshold_nano")
    rows = [
        Row(
            (
                money.display(alert.threshold_nano, wallet.currency),
                state_of(alert),
                f"{alert.crossings} time{'' if alert.crossings == 1 else 's'}",
            ),
            object_url(alert),
        )
        for alert in found
    ]
    return Part("Balance alerts", "", ("Below", "State", "Told so far"), rows)
