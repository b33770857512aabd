"""The numbers on dashboards are those of the books, of the organisation that asks, and never stale."""

from datetime import UTC, date, datetime, timedelta

import pytest

from accounts.models import Organisation, User
from billing import funds, reports, selectors
from billing.models import LedgerTransaction
from billing.pricing import Costs, Tokens
from billing.selectors import Spender
from billing.services import booking, posting, rollups, wallets
from channels.models import Channel, Model
from newapi.kernel import clock
from newapi.kernel.money import NANO
from tests import cast
from tests.billing import books, calls

NOON = datetime(2026, 5, 20, 12, tzinfo=UTC)


@pytest.fixture
def line(acme: Organisation, chat_model: Model) -> calls.Line:
    return calls.line(acme, chat_model)


def book(line: calls.Line, moment: datetime, nano: int, **fields: object) -> None:
    ms = clock.to_ms(moment)
    booking.book([calls.answered(line, id=calls.new_id(ms), at_ms=ms, costs=Costs(output=nano), **fields)])


def spent(organisation: Organisation, days: int) -> dict[date, int]:
    return {row.day: row.cost_nano for row in reports.spend_by_day(organisation=organisation, days=days)}


@pytest.mark.req("DSH-01", "BIL-01")
@pytest.mark.parametrize("is_summed_up", [True, False])
def test_each_day_is_there_and_is_right_whether_summed_up_yet_or_not(
    line: calls.Line, acme: Organisation, is_summed_up: bool
) -> None:
    for days_ago, nano in ((0, 1), (0, 2), (1, 10), (3, 100), (6, 1000), (7, 10_000)):
        book(line, NOON - timedelta(days=days_ago), nano)
    if is_summed_up:
        while rollups.roll_up():
            pass
    with clock.at(NOON):
        found = spent(acme, 7)
    days = [(NOON - timedelta(days=n)).date() for n in range(6, -1, -1)]
    assert found == dict(zip(days, [1000, 0, 0, 100, 0, 10, 3], strict=True))


def test_late_usage_of_an_earlier_day_shows_at_once(line: calls.Line, acme: Organisation) -> None:
    for days_ago in range(4):
        book(line, NOON - timedelta(days=days_ago), 1)
    while rollups.roll_up():
        pass
    book(line, NOON - timedelta(days=2), 5)
    with clock.at(NOON):
        assert list(spent(acme, 4).values()) == [1, 6, 1, 1]
    rollups.roll_up(limit=1)  # the hour, but not yet the day
    with clock.at(NOON):
        assert list(spent(acme, 4).values()) == [1, 6, 1, 1]


def test_today_ends_at_midnight_in_utc(line: calls.Line, acme: Organisation) -> None:
    midnight = datetime(2026, 5, 21, tzinfo=UTC)
    book(line, midnight - timedelta(milliseconds=1), 1)
    book(line, midnight, 2)
    with clock.at(midnight - timedelta(seconds=5)):
        assert list(spent(acme, 2).values()) == [0, 1]
    with clock.at(midnight + timedelta(seconds=1)):
        assert list(spent(acme, 2).values()) == [1, 2]


@pytest.mark.req("DSH-01", "BIL-01")
def test_every_breakdown_sums_to_the_same_total_as_the_ledger(
    acme: Organisation, globex: Organisation, ben: User, chat_model: Model, mock_channel: Channel
) -> None:
    other_model = cast.model("second", on=mock_channel)
    acme.projects.create(name="Second", code="4711")
    ada, bens = (
        cast.api_key(acme, user, name).api_key
        for user, name in ((acme.memberships.get(role="owner").user, "one"), (ben, "two"))
    )
    lines = [calls.Line(key, model, model.prices.get()) for key in (ada, bens) for model in (chat_model, other_model)]
    for number, line in enumerate(lines):
        for days_ago in (0, 2):
            book(line, NOON - timedelta(days=days_ago), 10**number, tokens=Tokens(1, 2, 3, 4, 5))
    book(calls.line(globex, chat_model), NOON, 5 * NANO)
    while rollups.roll_up():
        pass

    with clock.at(NOON):
        breakdowns = {
            name: getattr(reports, name)(organisation=acme, days=7)
            for name in ("by_model", "by_key", "by_project", "by_member")
        }
        total = sum(spent(acme, 7).values())
    assert total == books.used_in_ledger(acme) == 2 * 1111
    for rows in breakdowns.values():
        assert sum(row.cost_nano for row in rows) == total
        assert sum(row.calls for row in rows) == 8
        assert sum(row.tokens for row in rows) == 8 * 15
        assert [row.cost_nano for row in rows] == sorted((row.cost_nano for row in rows), reverse=True)
    assert {row.label: row.cost_nano for row in breakdowns["by_key"]} == {"two": 2200, "one": 22}
    assert {row.label: row.cost_nano for row in breakdowns["by_model"]} == {"second": 2020, "mock-gpt": 202}
    assert {row.label: row.cost_nano for row in breakdowns["by_member"]} == {"Ben": 2200, "Ada": 22}
    assert [row.label for row in breakdowns["by_project"]] == ["Main"]


@pytest.mark.req("DSH-01")
def test_an_organisation_sees_nothing_of_another(acme: Organisation, globex: Organisation, chat_model: Model) -> None:
    book(calls.line(globex, chat_model), NOON, 7)
    with clock.at(NOON):
        assert sum(spent(acme, 7).values()) == 0
        assert reports.by_model(organisation=acme, days=7) == []
        assert not reports.has_usage(organisation=acme)
        assert reports.has_usage(organisation=globex)


def test_errors_are_counted_and_callers_who_left_are_none(line: calls.Line, acme: Organisation) -> None:
    for outcome in ("ok", "error", "left", "lost"):
        book(line, NOON, 0, outcome=outcome)
    with clock.at(NOON):
        (today,) = reports.spend_by_day(organisation=acme, days=1)
    assert (today.calls, today.errors) == (4, 2)


@pytest.mark.req("BIL-02")
def test_the_balance_counts_what_is_pending(acme: Organisation, chat_model: Model) -> None:
    calls.warm(acme)
    line = calls.line(acme, chat_model)
    assert reports.balance(organisation=acme) == reports.Balance(100 * NANO, 0, 100 * NANO, "USD", True)
    calls.admit(calls.lost(line), hold_nano=3 * NANO)
    calls.serve([calls.answered(line, costs=Costs(output=NANO))])
    assert reports.balance(organisation=acme) == reports.Balance(100 * NANO, 4 * NANO, 96 * NANO, "USD", True)
    posting.post()
    assert reports.balance(organisation=acme) == reports.Balance(99 * NANO, 3 * NANO, 96 * NANO, "USD", True)


def test_the_balance_of_an_organisation_that_owes_is_below_zero(acme: Organisation, chat_model: Model) -> None:
    booking.book([calls.answered(calls.line(acme, chat_model), costs=Costs(output=130 * NANO))])
    assert reports.balance(organisation=acme) == reports.Balance(-30 * NANO, 0, -30 * NANO, "USD", True)
    wallet = wallets.open(organisation=acme)
    wallets.set_credit_limit(wallet=wallet, credit_limit_nano=50 * NANO, actor=None, reason="Contract")
    assert reports.balance(organisation=acme).available_nano == 20 * NANO


def test_the_balance_is_what_was_posted_while_redis_is_away(acme: Organisation, unreachable_redis: None) -> None:
    assert reports.balance(organisation=acme) == reports.Balance(100 * NANO, 0, 100 * NANO, "USD", False)


def test_an_organisation_without_a_wallet_has_nothing(gus: User) -> None:
    fresh = cast.organisation("fresh", owner=gus, funds_nano=0)
    assert reports.balance(organisation=fresh) == reports.Balance(0, 0, 0, "USD", True)
    told = funds.of_organisation(fresh.pk)
    assert (told.funded_nano, told.used_nano, told.version) == (0, 0, 0)


@pytest.mark.req("BIL-02")
def test_what_a_till_is_loaded_with_has_the_credit_limit_in_it(acme: Organisation, chat_model: Model) -> None:
    booking.book([calls.answered(calls.line(acme, chat_model), costs=Costs(output=3))])
    wallet = wallets.open(organisation=acme)
    wallets.set_credit_limit(wallet=wallet, credit_limit_nano=7 * NANO, actor=None, reason="Contract")
    told = funds.of_organisation(acme.pk)
    assert (told.funded_nano, told.used_nano, told.version) == (107 * NANO, 3, wallet.version)


def test_a_budget_counts_its_own_spender_since_its_window_began(
    acme: Organisation, ben: User, chat_model: Model
) -> None:
    mine = calls.line(acme, chat_model)
    his = calls.Line(cast.api_key(acme, ben).api_key, chat_model, mine.version)
    for line, hours_ago, nano in ((mine, 1, 1), (mine, 30, 10), (his, 1, 100)):
        book(line, NOON - timedelta(hours=hours_ago), nano)
    today_ms = clock.to_ms(NOON.replace(hour=0))

    def counted(spender: Spender, pk: int, since_ms: int) -> int:
        return selectors.spent_nano(organisation_id=acme.pk, spender=spender, spender_id=pk, since_ms=since_ms)

    assert counted(Spender.API_KEY, mine.api_key.pk, today_ms) == 1
    assert counted(Spender.API_KEY, mine.api_key.pk, 0) == 11
    assert counted(Spender.MEMBER, ben.pk, today_ms) == 100
    assert counted(Spender.PROJECT, mine.api_key.project_id, today_ms) == 101
    assert counted(Spender.ORGANISATION, acme.pk, 0) == 111


def test_a_statement_reproduces_the_balance(acme: Organisation, root: User, chat_model: Model) -> None:
    """Opening balance plus every transfer in order gives the balance, at each step and at the end."""
    booking.book([calls.answered(calls.line(acme, chat_model), costs=Costs(output=3))])
    wallets.debit(organisation=acme, amount_nano=5, idempotency_key="x", actor=root, reason="Correction")
    running = 0
    for entry in LedgerTransaction.objects.order_by("pk"):
        for transfer in entry.transfers.select_related("debit_account", "credit_account"):
            for sign, side in ((1, transfer.credit_account), (-1, transfer.debit_account)):
                running += (
                    sign * transfer.amount_nano if (side.organisation_id, side.kind) == (acme.pk, "wallet") else 0
                )
        assert running >= 0
    assert running == books.wallet_of(acme).balance_nano == 100 * NANO - 8
