"""Grants: what a wallet's money consists of, spent in order, by the calls that may, until its end."""

from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from redis import Redis

from accounts.models import Organisation, Project, User
from billing import errors
from billing.models import Grant, LedgerTransaction, UsageEvent
from billing.pricing import Costs
from billing.services import booking, expiry, grants, holds, posting, verifier, wallets
from billing.services.wallets import Terms
from channels.models import Model
from newapi.kernel import clock
from newapi.kernel.meters import bank
from newapi.kernel.meters.till import Admitted, Refused, Stale
from newapi.kernel.money import NANO
from tests import cast
from tests.billing import books, calls
from tests.billing.books import in_account, wallet_of
from tests.billing.threads import together

Kind = LedgerTransaction.Kind
DAY = timedelta(days=1)


@pytest.fixture
def poor(ada: User) -> Organisation:
    """A customer whose wallet is empty."""
    return cast.organisation("poor", owner=ada, funds_nano=0)


@pytest.fixture
def line(poor: Organisation, chat_model: Model) -> calls.Line:
    return calls.line(poor, chat_model)


def give(to: Organisation, units: int, key: str, kind: Kind = Kind.TOP_UP, **terms: object) -> Grant:
    booked = wallets.credit(
        organisation=to,
        amount_nano=units * NANO,
        kind=kind,
        idempotency_key=key,
        actor=None,
        reason="In",
        terms=Terms(**terms),
    )
    tell(to)
    return booked.grant


def tell(to: Organisation) -> None:
    """Tests within one transaction never commit, so the till is told by hand."""
    wallets.publish(wallet_id=wallet_of(to).pk)


def use(line: calls.Line, units: int, **fields: object) -> None:
    """Usage straight into the books."""
    booking.book([calls.answered(line, costs=Costs(output=units * NANO), **fields)])


def left(*grants: Grant) -> list[int]:
    """What remains of them, in units."""
    return [Grant.objects.get(pk=grant.pk).remaining_nano // NANO for grant in grants]


def test_21_grants_of_equal_priority_burn_in_one_order_on_every_database(poor: Organisation, line: calls.Line) -> None:
    now = clock.now()
    forever = give(poor, 1, "paid, for good")
    given = give(poor, 1, "given, for good", Kind.GRANT)
    late = give(poor, 1, "paid, late", expires_at=now + 9 * DAY)
    soon = give(poor, 1, "paid, soon", expires_at=now + DAY)
    soon_given = give(poor, 1, "given, soon", Kind.GRANT, expires_at=now + DAY)
    last = give(poor, 1, "last", priority=99, expires_at=now + DAY)
    first = give(poor, 1, "first", priority=1)
    in_order = [first, soon_given, soon, late, given, forever, last]
    for spent in range(1, 8):
        use(line, 1)
        assert left(*in_order) == [0] * spent + [1] * (7 - spent)
    assert verifier.verify() == []


def test_what_no_grant_has_is_drawn_on_credit_and_beyond_that_owed(poor: Organisation, line: calls.Line) -> None:
    give(poor, 5, "a")
    wallets.set_credit_limit(wallet=wallet_of(poor), credit_limit_nano=4 * NANO, actor=None, reason="Contract")
    use(line, 12)
    wallet = wallet_of(poor)
    assert (wallet.drawn_nano, wallet.owed_nano, wallet.balance_nano) == (4 * NANO, 3 * NANO, -4 * NANO)
    grant = give(poor, 10, "b")
    wallet = wallet_of(poor)
    assert (wallet.drawn_nano, wallet.owed_nano, left(grant)) == (0, 0, [3])
    assert verifier.verify() == []


def test_money_of_a_scope_pays_no_debt(poor: Organisation, line: calls.Line, chat_model: Model) -> None:
    use(line, 3)
    grant = give(poor, 10, "scoped", model=chat_model)
    assert wallet_of(poor).owed_nano == 3 * NANO
    assert left(grant) == [10]
    assert verifier.verify() == []


def test_a_grant_for_a_project_is_spent_by_its_calls_alone_and_before_other_money(
    poor: Organisation, line: calls.Line, chat_model: Model
) -> None:
    project = Project.objects.create(organisation=poor, name="Research")
    rest, scoped = give(poor, 10, "rest", priority=0), give(poor, 5, "scoped", project=project)
    purse = scoped.purse_id
    use(line, 2)
    assert left(rest, scoped) == [8, 5]
    use(line, 4, purse=purse, project=project.pk)
    assert left(rest, scoped) == [8, 1]
    use(line, 4, purse=purse, project=project.pk)
    assert left(rest, scoped) == [5, 0]
    assert verifier.verify() == []


def test_a_project_of_another_organisation_is_no_scope(poor: Organisation, globex: Organisation) -> None:
    with pytest.raises(errors.BillingRefusal, match="another organisation"):
        give(poor, 1, "x", project=globex.projects.get())
    assert not Grant.objects.filter(wallet__organisation=poor).exists()


def test_a_grant_that_has_ended_already_is_refused(poor: Organisation) -> None:
    with pytest.raises(errors.BillingRefusal, match="passed"):
        give(poor, 1, "x", expires_at=clock.now())


def test_what_is_left_at_its_end_leaves_the_wallet(poor: Organisation, line: calls.Line) -> None:
    end = clock.now() + DAY
    paid, given = give(poor, 5, "p", expires_at=end), give(poor, 7, "g", Kind.GRANT, expires_at=end)
    keeps = give(poor, 1, "k")
    use(line, 3)
    assert expiry.sweep() == 0
    with clock.at(end):
        assert expiry.sweep() == 2
        assert expiry.sweep() == 0
    assert left(paid, given, keeps) == [0, 0, 1]
    assert in_account(None, "breakage") == 5 * NANO
    assert in_account(None, "promotion") == -3 * NANO
    assert wallet_of(poor).balance_nano == NANO
    assert verifier.verify() == []


def test_the_till_admits_nothing_on_money_that_has_ended_though_every_job_is_dead(
    poor: Organisation, line: calls.Line, redis: Redis
) -> None:
    end = clock.now() + DAY
    give(poor, 5, "ends", expires_at=end)
    calls.warm(poor)
    ask = calls.admission(calls.lost(line), hold_nano=NANO)
    with clock.at(end):
        assert calls.with_till(lambda till: till.admit(ask)) == Stale("funds")
        expiry.expire(organisation_id=poor.pk)
        tell(poor)
        assert isinstance(calls.with_till(lambda till: till.admit(ask)), Refused)
    with clock.at(end - timedelta(milliseconds=1)):
        # The books have moved on; what is gone does not come back when a clock steps back.
        assert isinstance(calls.with_till(lambda till: till.admit(ask)), Refused)


def test_20_a_grant_that_expires_while_it_is_held_pays_the_call_and_the_released_rest_expires(
    poor: Organisation, line: calls.Line, redis: Redis
) -> None:
    end = clock.now() + timedelta(seconds=20)
    grant = give(poor, 10, "ends", expires_at=end)
    calls.warm(poor)
    record = calls.answered(line, costs=Costs(output=2 * NANO))
    ask = calls.admission(record, hold_nano=6 * NANO)
    answer = calls.with_till(lambda till: till.admit(ask))
    assert isinstance(answer, Admitted)
    with clock.at(end + timedelta(seconds=1)):
        assert expiry.sweep() == 1
        tell(poor)
        assert left(grant) == [6]
        assert bank.till_state(poor.pk).available_nano == 0
        calls.with_till(lambda till: calls.settle_at(till, ask, record, born=answer.born))
        posting.post()
        assert left(grant) == [4]
        assert expiry.sweep() == 1
        tell(poor)
    assert left(grant) == [0]
    assert UsageEvent.objects.get().cost_nano == 2 * NANO
    assert in_account(None, "breakage") == 8 * NANO
    assert wallet_of(poor).owed_nano == 0
    books.assert_balanced(poor)
    assert verifier.verify() == []


def test_usage_that_waits_to_be_posted_keeps_its_grant_from_expiring(
    poor: Organisation, line: calls.Line, redis: Redis
) -> None:
    end = clock.now() + timedelta(seconds=20)
    grant = give(poor, 10, "ends", expires_at=end)
    calls.warm(poor)
    calls.serve([calls.answered(line, costs=Costs(output=3 * NANO))], hold_nano=3 * NANO)
    with clock.at(end):
        assert expiry.sweep() == 1
        assert left(grant) == [3]
        posting.post()
        assert expiry.sweep() == 0
    assert left(grant) == [0]
    tell(poor)
    books.assert_balanced(poor)


def test_a_credit_line_lends_nothing_after_its_end(poor: Organisation, line: calls.Line, redis: Redis) -> None:
    end = clock.now() + DAY
    wallets.set_credit_limit(
        wallet=wallet_of(poor) if poor.wallets.exists() else wallets.open(organisation=poor),
        credit_limit_nano=10 * NANO,
        credit_until=end,
        actor=None,
        reason="Contract",
    )
    use(line, 4)
    with clock.at(end):
        expiry.sweep()
        assert wallet_of(poor).credit_limit_nano == 4 * NANO
        give(poor, 1, "pays a part")
        expiry.sweep()
        assert wallet_of(poor).credit_limit_nano == 3 * NANO
    assert verifier.verify() == []


@pytest.mark.req("BIL-20")
def test_a_frozen_wallet_keeps_everything_and_does_nothing(poor: Organisation, line: calls.Line, redis: Redis) -> None:
    end = clock.now() + DAY
    grant = give(poor, 10, "a", expires_at=end)
    calls.warm(poor)
    calls.serve([calls.answered(line, costs=Costs(output=2 * NANO))], hold_nano=2 * NANO)
    wallets.freeze(organisation=poor, actor=None, reason="Terminated")
    tell(poor)
    ask = calls.admission(calls.lost(line), hold_nano=NANO)
    assert isinstance(calls.with_till(lambda till: till.admit(ask)), Refused)
    with pytest.raises(errors.WalletFrozen):
        give(poor, 1, "b")
    with pytest.raises(errors.WalletFrozen):
        wallets.debit(organisation=poor, amount_nano=1, idempotency_key="c", actor=None, reason="Out")
    with pytest.raises(errors.WalletFrozen):
        wallets.reverse(booked=grant.transaction, actor=None, reason="Undo")
    with clock.at(end):
        assert expiry.sweep() == expiry.expire(organisation_id=poor.pk) == 0
    # What was used before is charged all the same, and what a provider took back has happened.
    posting.post()
    wallets.take_back(
        organisation=poor,
        amount_nano=9 * NANO,
        kind=Kind.DISPUTE,
        idempotency_key="d",
        actor=None,
        reason="Disputed",
        may_owe=True,
    )
    wallet = wallet_of(poor)
    assert (wallet.balance_nano, wallet.owed_nano) == (0, NANO)
    tell(poor)
    assert verifier.verify() == []
    wallets.thaw(organisation=poor, actor=None, reason="Mistake")
    give(poor, 3, "e")
    assert wallet_of(poor).balance_nano == 2 * NANO
    tell(poor)
    assert verifier.verify() == []


def test_what_is_taken_back_comes_from_its_own_grant_first(poor: Organisation) -> None:
    older, refunded = give(poor, 10, "older", priority=0), give(poor, 5, "refunded")
    wallets.debit(organisation=poor, amount_nano=10 * NANO, idempotency_key="out", actor=None, reason="Out")
    assert left(older, refunded) == [0, 5]
    give(poor, 2, "later")
    back = {"organisation": poor, "kind": Kind.REFUND, "actor": None, "reason": "Refund", "grant": refunded}
    wallets.take_back(amount_nano=4 * NANO, idempotency_key="r1", **back)
    assert left(refunded) == [1]
    with pytest.raises(errors.BalanceTooLow):
        wallets.take_back(amount_nano=4 * NANO, idempotency_key="r2", **back)
    wallets.take_back(amount_nano=4 * NANO, idempotency_key="r2", may_owe=True, **back)
    assert (wallet_of(poor).balance_nano, wallet_of(poor).owed_nano) == (0, NANO)
    assert in_account(poor, "receivable") == -NANO
    assert verifier.verify() == []


def test_a_claw_back_takes_what_remains_of_its_grant_and_nothing_else(poor: Organisation, line: calls.Line) -> None:
    give(poor, 10, "other", priority=99)
    grant = give(poor, 5, "code", Kind.REDEMPTION)
    use(line, 3)
    back = {"organisation": poor, "kind": Kind.CLAWBACK, "actor": None, "reason": "Void", "grant": grant}
    first = wallets.take_back(amount_nano=5 * NANO, idempotency_key="c", **back)
    assert wallets.take_back(amount_nano=5 * NANO, idempotency_key="c", **back) == first
    assert wallets.take_back(amount_nano=5 * NANO, idempotency_key="c2", **back) is None
    assert (left(grant), wallet_of(poor).balance_nano) == ([0], 10 * NANO)
    assert verifier.verify() == []


def test_usage_that_is_reversed_goes_back_to_the_grants_that_paid_it(
    poor: Organisation, line: calls.Line, chat_model: Model
) -> None:
    end = clock.now() + DAY
    ends, keeps = give(poor, 2, "ends", expires_at=end), give(poor, 3, "keeps")
    scoped = give(poor, 1, "scoped", model=chat_model)
    use(line, 6, purse=scoped.purse_id)
    usage = LedgerTransaction.objects.get(kind=Kind.USAGE)
    with clock.at(end):
        reversal = wallets.reverse(booked=usage, actor=None, reason="Our mistake")
    assert left(ends, keeps, scoped) == [0, 3, 1]
    assert left(reversal.grant) == [2]
    assert wallet_of(poor).balance_nano == 6 * NANO
    tell(poor)
    assert verifier.verify() == []


def test_an_expiry_that_is_reversed_brings_back_what_it_took_as_what_it_was(poor: Organisation) -> None:
    end = clock.now() + DAY
    give(poor, 5, "given", Kind.GRANT, expires_at=end)
    with clock.at(end):
        expiry.sweep()
        expired = LedgerTransaction.objects.get(kind=Kind.EXPIRY)
        reversal = wallets.reverse(booked=expired, actor=None, reason="Our mistake")
    assert (reversal.grant.category, left(reversal.grant)) == (Grant.Category.PROMOTIONAL, [5])
    tell(poor)
    assert verifier.verify() == []


@pytest.mark.django_db(transaction=True)
def test_spending_crediting_and_expiring_at_once_leaves_the_books_right(
    poor: Organisation, line: calls.Line, redis: Redis
) -> None:
    end = clock.now() + timedelta(seconds=30)
    for number in range(4):
        give(poor, 5, f"ends {number}", expires_at=end)
    give(poor, 20, "keeps")
    calls.warm(poor)
    records = [calls.answered(line, costs=Costs(output=NANO)) for _ in range(12)]
    calls.serve(records, hold_nano=2 * NANO)

    def expire(moment: datetime) -> int:
        with clock.at(moment):
            return expiry.sweep()

    results = together(
        lambda: posting.post(limit=6),
        lambda: posting.post(limit=12),
        lambda: expire(end),
        lambda: expire(end),
        lambda: give(poor, 1, "meanwhile"),
        lambda: wallets.debit(organisation=poor, amount_nano=NANO, idempotency_key="x", actor=None, reason="Out"),
    )
    assert not [result for result in results if isinstance(result, Exception)], results
    posting.post()
    expire(end)
    wallets.publish_missed()
    assert books.used_in_rows(poor) == 12 * NANO
    # Of 20 that end, 12 were used before. Whether the debit took one more of them depends on who was first.
    kept_nano = wallet_of(poor).balance_nano
    assert kept_nano in (20 * NANO, 21 * NANO)
    assert in_account(None, "breakage") + kept_nano == 28 * NANO
    books.assert_balanced(poor)
    assert verifier.verify() == []


def test_a_lost_worker_is_settled_from_the_purse_of_its_hold(
    poor: Organisation, line: calls.Line, chat_model: Model, redis: Redis
) -> None:
    scoped = give(poor, 5, "scoped", model=chat_model)
    calls.warm(poor)
    calls.admit(replace(calls.lost(line), purse=scoped.purse_id), seen=100)
    with clock.shifted(calls.DEADLINE_MS / 1000 + 1):
        assert holds.sweep() == 1
    posting.post()
    row = UsageEvent.objects.get()
    assert (row.purse_id, row.outcome) == (scoped.purse_id, "lost")
    assert Grant.objects.get(pk=scoped.pk).remaining_nano == 5 * NANO - row.cost_nano
    assert verifier.verify() == []


def test_a_wallet_has_at_most_so_many_grants_with_a_rest(poor: Organisation) -> None:
    common = {"wallet": wallets.open(organisation=poor), "category": Grant.Category.PAID, "amount_nano": NANO}
    Grant.objects.bulk_create(Grant(remaining_nano=NANO, **common) for _ in range(grants.GRANTS_MAX - 1))
    # What is empty does not count.
    Grant.objects.bulk_create(Grant(remaining_nano=0, **common) for _ in range(10))
    give(poor, 1, "last")
    with pytest.raises(errors.BillingRefusal, match="at most 2000 grants"):
        give(poor, 1, "one too many")
    assert not LedgerTransaction.objects.filter(idempotency_key="one too many").exists()
