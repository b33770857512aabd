"""Wallets: money comes in once, goes out no further than the floor, and the till hears of it."""

from collections.abc import Callable

import pytest
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from redis import Redis

from accounts.models import AuditEvent, Organisation, User
from billing import errors
from billing.models import LedgerAccount, LedgerTransaction, LedgerTransfer
from billing.pricing import Costs
from billing.services import booking, ledger, wallets
from channels.models import Model
from newapi.kernel.meters import bank
from newapi.kernel.money import NANO
from tests import cast
from tests.billing import calls
from tests.billing.books import in_account, wallet_of
from tests.billing.threads import together

Kind = LedgerTransaction.Kind


def top_up(organisation: Organisation, units: int, key: str, **more: object) -> LedgerTransaction:
    fields = {"kind": Kind.TOP_UP, "actor": None, "reason": "Paid", **more}
    return wallets.credit(organisation=organisation, amount_nano=units * NANO, idempotency_key=key, **fields)


@pytest.mark.req("BIL-02")
def test_credits_and_debits_move_money_between_accounts(acme: Organisation, root: User) -> None:
    top_up(acme, 50, "a")
    wallets.credit(
        organisation=acme, amount_nano=5 * NANO, kind=Kind.GRANT, idempotency_key="b", actor=root, reason="Welcome"
    )
    wallets.debit(organisation=acme, amount_nano=15 * NANO, idempotency_key="c", actor=root, reason="Typo")

    assert wallet_of(acme).balance_nano == in_account(acme, "wallet") == 140 * NANO
    assert in_account(None, "clearing") == -150 * NANO
    assert in_account(None, "promotion") == -5 * NANO
    assert in_account(None, "adjustment") == 15 * NANO


@pytest.mark.req("BIL-11")
def test_the_same_key_books_once_and_another_amount_under_it_is_refused(acme: Organisation) -> None:
    first = top_up(acme, 50, "payment-1")
    assert top_up(acme, 50, "payment-1") == first
    with pytest.raises(errors.IdempotencyConflict):
        top_up(acme, 51, "payment-1")
    with pytest.raises(errors.IdempotencyConflict):
        top_up(acme, 50, "payment-1", kind=Kind.GRANT)
    assert wallet_of(acme).balance_nano == 150 * NANO
    assert AuditEvent.objects.filter(action="wallet.credit").count() == 2  # the opening balance and this one


def test_a_wallet_does_not_go_below_its_floor(acme: Organisation, root: User) -> None:
    wallet = wallet_of(acme)
    with pytest.raises(errors.BalanceTooLow, match=r"100\.00 USD"):
        wallets.debit(organisation=acme, amount_nano=101 * NANO, idempotency_key="d", actor=root, reason="Too much")
    assert not LedgerTransaction.objects.filter(idempotency_key="d").exists()

    wallets.set_credit_limit(wallet=wallet, credit_limit_nano=20 * NANO, actor=root, reason="Contract")
    wallets.debit(organisation=acme, amount_nano=101 * NANO, idempotency_key="d", actor=root, reason="Now it fits")
    assert wallet_of(acme).balance_nano == -NANO
    with pytest.raises(errors.BillingRefusal, match=r"-1\.00 USD"):
        wallets.set_credit_limit(wallet=wallet, credit_limit_nano=0, actor=root, reason="Stricter")
    assert wallet_of(acme).credit_limit_nano == 20 * NANO


@pytest.mark.parametrize("amount_nano", [0, -1, 10**18 + 1])
def test_amounts_out_of_range_are_refused(acme: Organisation, amount_nano: int) -> None:
    for book in (
        lambda: wallets.credit(
            organisation=acme, amount_nano=amount_nano, kind=Kind.TOP_UP, idempotency_key="x", actor=None, reason="?"
        ),
        lambda: wallets.debit(organisation=acme, amount_nano=amount_nano, idempotency_key="x", actor=None, reason="?"),
    ):
        with pytest.raises(errors.BillingRefusal):
            book()
    assert wallet_of(acme).balance_nano == 100 * NANO


def test_a_wallet_never_outgrows_its_column(acme: Organisation) -> None:
    for number in range(7):
        top_up(acme, 10**9, f"whale-{number}")
    with pytest.raises(errors.BillingRefusal, match="cannot hold"):
        top_up(acme, 10**9, "one too many")
    assert wallet_of(acme).balance_nano == (7 * 10**9 + 100) * NANO


def test_a_credit_is_reversed_once_by_its_opposite(acme: Organisation, root: User) -> None:
    paid = top_up(acme, 50, "chargeback")
    undone = wallets.reverse(booked=paid, actor=root, reason="Charged back")
    assert wallets.reverse(booked=paid, actor=root, reason="Again") == undone
    assert undone.reverses == paid
    assert wallet_of(acme).balance_nano == in_account(acme, "wallet") == 100 * NANO
    with pytest.raises(errors.BillingRefusal):
        wallets.reverse(booked=undone, actor=root, reason="No")


def test_a_spent_credit_cannot_be_reversed(acme: Organisation, root: User) -> None:
    paid = top_up(acme, 50, "spent")
    wallets.debit(organisation=acme, amount_nano=120 * NANO, idempotency_key="out", actor=root, reason="Out")
    with pytest.raises(errors.BalanceTooLow):
        wallets.reverse(booked=paid, actor=root, reason="Charged back")
    assert not LedgerTransaction.objects.filter(kind=Kind.REVERSAL).exists()


def test_every_change_is_in_the_audit_record(acme: Organisation, root: User) -> None:
    top_up(acme, 1, "audited", actor=root, reason="Bank transfer 4711")
    event = AuditEvent.objects.get(action="wallet.credit", actor=root)
    assert event.organisation == acme
    assert event.reason == "Bank transfer 4711"
    assert event.changes == {"balance_nano": [100 * NANO, 101 * NANO]}


def test_the_ledger_refuses_what_cannot_be_booked(acme: Organisation) -> None:
    wallet = ledger.account(organisation=acme, kind=LedgerAccount.Kind.WALLET, currency="USD")
    revenue = ledger.account(organisation=None, kind=LedgerAccount.Kind.REVENUE, currency="USD")
    euros = ledger.account(organisation=None, kind=LedgerAccount.Kind.REVENUE, currency="EUR")
    booked = LedgerTransaction.objects.latest("id")
    standing = LedgerTransfer.objects.count()
    for transfers in ([], [(wallet, revenue, 0)], [(wallet, revenue, -1)], [(wallet, euros, 1)]):
        with pytest.raises(ValueError, match=r"transaction|amount"):
            ledger.move(booked, transfers)
    assert LedgerTransfer.objects.count() == standing
    with pytest.raises(IntegrityError), transaction.atomic():
        LedgerTransfer.objects.create(
            transaction=booked,
            debit_account=wallet,
            credit_account=wallet,
            amount_nano=1,
        )


def test_the_platform_has_one_account_of_each_kind(db: None) -> None:
    ledger.account(organisation=None, kind=LedgerAccount.Kind.REVENUE, currency="USD")
    with pytest.raises(IntegrityError), transaction.atomic():
        LedgerAccount.objects.create(organisation=None, kind=LedgerAccount.Kind.REVENUE, currency="USD")


def test_the_currency_is_fixed_once_the_wallet_was_used(acme: Organisation, gus: User) -> None:
    acme.currency = "EUR"
    with pytest.raises(ValidationError, match="stays USD"):
        acme.save()
    fresh = cast.organisation("fresh", owner=gus, funds_nano=0)
    fresh.currency = "EUR"
    fresh.save()
    assert wallets.open(organisation=fresh).currency == "EUR"


@pytest.mark.django_db(transaction=True)
def test_twenty_debits_at_once_take_out_no_more_than_there_is(acme: Organisation) -> None:
    def debit(number: int) -> Callable[[], LedgerTransaction]:
        return lambda: wallets.debit(
            organisation=acme, amount_nano=20 * NANO, idempotency_key=f"d{number}", actor=None, reason="Race"
        )

    results = together(*(debit(number) for number in range(20)))
    assert sum(isinstance(result, LedgerTransaction) for result in results) == 5
    assert sum(isinstance(result, errors.BalanceTooLow) for result in results) == 15
    assert wallet_of(acme).balance_nano == in_account(acme, "wallet") == 0


@pytest.mark.django_db(transaction=True)
@pytest.mark.req("BIL-11")
def test_the_same_payment_announced_ten_times_at_once_is_credited_once(acme: Organisation) -> None:
    results = together(*[lambda: top_up(acme, 50, "webhook")] * 10)
    assert len({result.pk for result in results}) == 1
    assert wallet_of(acme).balance_nano == in_account(acme, "wallet") == 150 * NANO


@pytest.mark.django_db(transaction=True)
def test_a_debt_is_paid_once_by_ten_credits_at_once(acme: Organisation, chat_model: Model) -> None:
    booking.book([calls.answered(calls.line(acme, chat_model), costs=Costs(output=130 * NANO))])
    assert wallet_of(acme).owed_nano == 30 * NANO
    results = together(*(lambda number=number: top_up(acme, 10, f"p{number}") for number in range(10)))
    assert [result for result in results if isinstance(result, Exception)] == []
    wallet = wallet_of(acme)
    assert (wallet.balance_nano, wallet.owed_nano) == (70 * NANO, 0)
    assert (in_account(acme, "wallet"), in_account(acme, "receivable")) == (70 * NANO, 0)


@pytest.mark.django_db(transaction=True)
def test_a_warm_till_hears_of_funds_at_once(acme: Organisation, redis: Redis) -> None:
    calls.warm(acme)
    top_up(acme, 50, "news")
    assert bank.till_state(acme.pk).available_nano == 150 * NANO
    wallets.set_credit_limit(wallet=wallet_of(acme), credit_limit_nano=7 * NANO, actor=None, reason="Contract")
    assert bank.till_state(acme.pk).available_nano == 157 * NANO
    wallet = wallet_of(acme)
    assert wallet.version_published == wallet.version
