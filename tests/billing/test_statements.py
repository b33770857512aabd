"""Statements: opening + postings = closing, of any account and period; consecutive ones join and tell the balance."""

import csv
import io
import random
import uuid
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import orjson
import pytest
from redis import Redis

from accounts.models import APIKey, Organisation
from billing import reports, statement_files, statements
from billing.errors import BillingRefusal
from billing.models import LedgerAccount, LedgerTransaction, LedgerTransfer
from billing.pricing import Tokens
from billing.services import wallets
from billing.statement_lines import Statement, Step
from channels.models import Model
from newapi.kernel import clock
from newapi.kernel.meters import bank
from newapi.kernel.money import NANO
from tests import cast
from tests.billing import books
from tests.portal import traffic

NOON = datetime(2026, 3, 10, 12, tzinfo=UTC)
EVER = datetime(2020, 1, 1, tzinfo=UTC)


@pytest.fixture(autouse=True)
def noon() -> Iterator[None]:
    """Tests of a day begin in the middle of one."""
    with clock.at(NOON):
        yield


@pytest.fixture
def key(acme: Organisation) -> APIKey:
    """A key of Ada's."""
    return cast.api_key(acme, acme.memberships.get().user).api_key


def credit(organisation: Organisation, nano: int, name: str, kind: str = "top_up") -> LedgerTransaction:
    return wallets.credit(
        organisation=organisation,
        amount_nano=nano,
        kind=LedgerTransaction.Kind(kind),
        idempotency_key=name,
        actor=None,
        reason="=1+1",
    )


def use(key: APIKey, model: Model, nano: int) -> None:
    """Spend so much now, at 8 USD per million output tokens."""
    traffic.book([traffic.record(key, model, tokens=Tokens(output=nano // 8000))])


def act_at_random(dice: random.Random, organisation: Organisation, key: APIKey, model: Model, name: str) -> None:
    """Something that people or programs do to a wallet; a refusal is as good."""
    nano = dice.randrange(1, 40) * NANO
    act = dice.choice(["credit", "debit", "use", "use", "use", "reverse", "limit"])
    try:
        if act == "credit":
            credit(organisation, nano, name, dice.choice(["top_up", "grant", "adjustment"]))
        elif act == "debit":
            wallets.debit(
                organisation=organisation, amount_nano=nano, idempotency_key=name, actor=None, reason="Correction"
            )
        elif act == "use":
            use(key, model, nano)
        elif act == "limit":
            wallet = organisation.wallets.get()
            wallets.set_credit_limit(wallet=wallet, credit_limit_nano=nano, actor=None, reason="Contract")
        else:
            standing = LedgerTransaction.objects.exclude(kind="reversal").filter(reversed_by=None).order_by("pk")
            wallets.reverse(booked=dice.choice(list(standing)), actor=None, reason="Undo")
    except BillingRefusal:
        pass


def by_hand(accounts: list[LedgerAccount], since: datetime, until: datetime) -> int:
    """What a period changed, added up here, one transfer after the other."""
    total = 0
    for transfer in LedgerTransfer.objects.all():
        if since <= clock.from_ms(transfer.pk.int >> 80) < until:
            total += transfer.amount_nano * (transfer.credit_account in accounts)
            total -= transfer.amount_nano * (transfer.debit_account in accounts)
    return total


def assert_sound(statement: Statement) -> None:
    """Opening, lines and running balances fit, in order and within the period."""
    balance_nano = statement.opening_nano
    for line in statement.lines:
        balance_nano += line.nano
        assert line.balance_nano == balance_nano
    assert statement.closing_nano == balance_nano == statement.opening_nano + statement.in_nano - statement.out_nano
    days = [line.at.date() for line in statement.lines]
    assert days == sorted(days)


def assert_each_once(accounts: list[LedgerAccount], made: list[Statement], edges: list[datetime]) -> None:
    """Every transaction but usage that changed something is in the one statement of the moment it was posted."""
    expected: Counter[tuple[int, uuid.UUID]] = Counter()
    for transfer in LedgerTransfer.objects.exclude(transaction__kind="usage"):
        period = bisect_right(edges, clock.from_ms(transfer.pk.int >> 80)) - 1
        change = transfer.amount_nano * (transfer.credit_account in accounts)
        change -= transfer.amount_nano * (transfer.debit_account in accounts)
        expected[period, transfer.transaction_id] += change
    listed = [
        ((period, line.transaction), line.nano)
        for period, statement in enumerate(made)
        for line in statement.lines
        if line.kind != "usage"
    ]
    assert len(listed) == len(dict(listed))
    assert dict(listed) == {place: nano for place, nano in expected.items() if nano}


@pytest.mark.req("BIL-02")
@pytest.mark.parametrize("seed", range(8))
def test_consecutive_statements_join_without_gap_or_overlap(
    acme: Organisation, globex: Organisation, key: APIKey, chat_model: Model, seed: int
) -> None:
    dice = random.Random(seed)
    hours = 0.0
    for number in range(30):
        hours += dice.choice([0, 0.001, dice.uniform(0, 20)])
        with clock.at(NOON + timedelta(hours=hours)):
            act_at_random(dice, acme, key, chat_model, f"{seed}:{number}")
    ends = NOON + timedelta(hours=hours + 1)
    moments = [clock.from_ms(transfer.pk.int >> 80) for transfer in LedgerTransfer.objects.all()]
    cuts = {dice.choice(moments) for _ in range(4)} | {NOON + dice.random() * (ends - NOON) for _ in range(4)}
    edges = sorted({EVER, *cuts, ends})
    own = statements.wallet_accounts(acme)
    for accounts in (own, *([account] for account in LedgerAccount.objects.all())):
        made = [read(acme, accounts, since, until, dice) for since, until in pairwise(edges)]
        assert made[0].opening_nano == 0
        for (since, until), statement in zip(pairwise(edges), made, strict=True):
            assert_sound(statement)
            assert statement.closing_nano - statement.opening_nano == by_hand(accounts, since, until)
        assert all(before.closing_nano == after.opening_nano for before, after in pairwise(made))
        assert_each_once(accounts, made, edges)
    wallet = books.wallet_of(acme)
    assert read(acme, own, EVER, ends, dice).closing_nano == wallet.balance_nano - wallet.owed_nano


def read(
    organisation: Organisation, accounts: list[LedgerAccount], since: datetime, until: datetime, dice: random.Random
) -> Statement:
    if len(accounts) > 1:
        return statements.of_wallet(organisation=organisation, since=since, until=until)
    short = until - since < timedelta(days=31)
    step = dice.choice([Step.DAY, Step.HOUR]) if short else Step.DAY
    return statements.of_account(account=accounts[0], since=since, until=until, step=step)


@pytest.mark.req("BIL-02")
def test_the_statement_tells_the_balance_that_the_till_knows(
    acme: Organisation, key: APIKey, chat_model: Model, redis: Redis
) -> None:
    credit(acme, 5 * NANO, "more", "grant")
    use(key, chat_model, 120 * NANO)  # 15 beyond what there was: a debt
    credit(acme, 4 * NANO, "pays a part of it")
    statement = statements.of_wallet(organisation=acme, since=EVER, until=clock.now() + timedelta(days=1))
    balance = reports.balance(organisation=acme)
    assert statement.closing_nano == balance.posted_nano == balance.available_nano == -11 * NANO
    wallets.publish(wallet_id=acme.wallets.get().pk)
    state = bank.till_state(acme.pk)
    assert state is None or (state.pending_nano, state.available_nano) == (0, statement.closing_nano)
    assert [(line.kind, line.nano // NANO, line.balance_nano // NANO) for line in statement.lines] == [
        ("top_up", 100, 100),
        ("grant", 5, 105),
        ("top_up", 4, 109),
        ("usage", -120, -11),
    ]


@pytest.mark.req("BIL-01")
def test_usage_on_the_statement_is_the_sum_of_its_models_keys_projects_and_members(
    acme: Organisation, key: APIKey, chat_model: Model
) -> None:
    other_model = cast.model("other", on=chat_model.routes.get().channel)
    ben = cast.person("ben")
    cast.member(acme, ben)
    for who, model, nano in ((key, chat_model, 3), (key, other_model, 5), (key, chat_model, 7)):
        use(who, model, nano * 8000)
    use(cast.api_key(acme, ben).api_key, other_model, 11 * 8000)
    day = reports.midnight(clock.today())
    statement = statements.of_wallet(organisation=acme, since=day, until=day + timedelta(days=1))
    used_nano = -sum(line.nano for line in statement.lines if line.kind == "usage")
    assert used_nano == 26 * 8000 == books.used_in_ledger(acme)
    for by in (reports.by_model, reports.by_key, reports.by_project, reports.by_member):
        assert sum(row.cost_nano for row in by(organisation=acme, days=1)) == used_nano


def test_usage_is_summed_by_day_or_hour_and_the_rest_is_listed(
    acme: Organisation, key: APIKey, chat_model: Model
) -> None:
    for hours in (1, 1, 3, 20):
        with clock.at(NOON + timedelta(hours=hours)):
            use(key, chat_model, 2 * NANO)
    with clock.at(NOON + timedelta(hours=2)):
        credit(acme, 7 * NANO, "between")
    until = NOON + timedelta(days=2)
    by_day = statements.of_wallet(organisation=acme, since=EVER, until=until).lines
    assert [(line.kind, line.count, line.nano // NANO) for line in by_day] == [
        ("top_up", 1, 100),
        ("top_up", 1, 7),
        ("usage", 3, -6),
        ("usage", 1, -2),
    ]
    hourly = statements.of_wallet(organisation=acme, since=NOON, until=until, step=Step.HOUR).lines
    assert [(line.at.hour, line.count, line.nano // NANO) for line in hourly if line.kind == "usage"] == [
        (13, 2, -4),
        (15, 1, -2),
        (8, 1, -2),
    ]


@pytest.mark.parametrize("step", list(Step))
def test_a_sum_stands_at_its_day_or_hour_of_utc_and_never_outside_of_the_period(
    acme: Organisation, key: APIKey, chat_model: Model, step: Step
) -> None:
    midnight = NOON.replace(hour=0) + timedelta(days=1)
    with clock.at(midnight - timedelta(minutes=20)):
        use(key, chat_model, 2 * NANO)
        begun = LedgerTransaction.objects.create(kind="usage", idempotency_key="slow", request_hash="")
    with clock.at(midnight + timedelta(minutes=30)):
        # A transaction that was begun the day before, and its transfer written only now.
        kept = LedgerTransfer.objects.latest("pk")
        accounts = {"debit_account": kept.debit_account, "credit_account": kept.credit_account}
        LedgerTransfer.objects.create(transaction=begun, amount_nano=3 * NANO, **accounts)
    until = midnight + timedelta(hours=1)
    whole = statements.of_wallet(organisation=acme, since=NOON, until=until, step=step)
    day_before = {Step.DAY: midnight - timedelta(days=1), Step.HOUR: midnight - timedelta(hours=1)}[step]
    assert [(line.at, line.nano // NANO) for line in whole.lines if line.kind == "usage"] == [(day_before, -5)]
    parts = [
        statements.of_wallet(organisation=acme, since=since, until=end, step=step).lines
        for since, end in ((NOON, midnight), (midnight, until))
    ]
    assert [(line.at, line.nano // NANO) for lines in parts for line in lines if line.kind == "usage"] == [
        (day_before, -2),
        (midnight, -3),
    ]


def test_a_period_takes_what_was_posted_at_its_first_moment_and_not_at_its_end(acme: Organisation) -> None:
    booked = credit(acme, 3 * NANO, "exactly")
    at = clock.from_ms(booked.transfers.get().pk.int >> 80)
    before = statements.of_wallet(organisation=acme, since=EVER, until=at)
    after = statements.of_wallet(organisation=acme, since=at, until=at + timedelta(milliseconds=1))
    assert booked.pk not in {line.transaction for line in before.lines}
    assert after.opening_nano == before.closing_nano
    assert [line.transaction for line in after.lines] == [booked.pk]


def test_too_many_lines_become_sums_and_the_closing_stays(acme: Organisation, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(6):
        credit(acme, NANO, f"gift-{number}", "grant")
    whole = statements.of_wallet(organisation=acme, since=EVER, until=NOON + timedelta(days=1))
    monkeypatch.setattr(statements, "SINGLE_LINES_MAX", 5)
    summed = statements.of_wallet(organisation=acme, since=EVER, until=NOON + timedelta(days=1))
    assert (whole.is_summed, summed.is_summed) == (False, True)
    assert [(line.kind, line.count, line.nano // NANO) for line in summed.lines] == [
        ("grant", 6, 6),
        ("top_up", 1, 100),
    ]
    assert summed.closing_nano == whole.closing_nano == 106 * NANO


@pytest.mark.parametrize(
    ("days", "step", "complaint"),
    [
        (0, Step.DAY, "ends before it begins"),
        (-1, Step.DAY, "ends before it begins"),
        (4000, Step.DAY, "at most 3,660 days"),
        (32, Step.HOUR, "at most 31 days"),
    ],
)
def test_a_period_that_cannot_be_is_refused(acme: Organisation, days: int, step: Step, complaint: str) -> None:
    with pytest.raises(BillingRefusal, match=complaint):
        statements.of_wallet(organisation=acme, since=NOON, until=NOON + timedelta(days=days), step=step)


def test_an_organisation_without_postings_has_an_empty_statement(db: None) -> None:
    poor = cast.organisation("poor", owner=cast.person("gus"), funds_nano=0)
    statement = statements.of_wallet(organisation=poor, since=EVER, until=NOON)
    assert (statement.opening_nano, statement.lines, statement.closing_nano) == (0, (), 0)


def test_a_period_that_is_not_over_says_so(acme: Organisation) -> None:
    over = statements.of_wallet(organisation=acme, since=EVER, until=NOON - timedelta(days=1))
    running = statements.of_wallet(organisation=acme, since=EVER, until=clock.now())
    assert (over.is_settled, running.is_settled) == (True, False)


def test_files_hold_exact_amounts_and_nothing_that_a_spreadsheet_runs(
    acme: Organisation, key: APIKey, chat_model: Model
) -> None:
    use(key, chat_model, 8000)  # one token: 0.000008
    statement = statements.of_wallet(organisation=acme, since=EVER, until=NOON + timedelta(days=1))
    rows = list(csv.DictReader(io.StringIO(statement_files.to_csv(statement, for_staff=True))))
    assert [(row["kind"], row["amount"], row["balance"]) for row in rows] == [
        ("opening balance", "", "0.00"),
        ("top_up", "100.00", "100.00"),
        ("usage", "-0.000008", "99.999992"),
        ("closing balance", "", "99.999992"),
    ]
    credit(acme, NANO, "formula")
    statement = statements.of_wallet(organisation=acme, since=EVER, until=NOON + timedelta(days=1))
    staff, own = (statement_files.to_csv(statement, for_staff=for_staff) for for_staff in (True, False))
    assert "'=1+1" in staff
    assert "1+1" not in own
    told = orjson.loads(statement_files.to_json(statement))
    assert (told["opening"], told["closing"], len(told["lines"])) == ("0.00", "100.999992", 3)
    assert "reason" not in told["lines"][0]
