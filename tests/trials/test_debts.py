"""Debts that are paid, and then turn out to be none."""

import pytest

from accounts.models import Organisation
from billing.models import LedgerTransaction
from billing.services import verifier, wallets
from newapi.kernel.money import NANO
from tests.billing import books

Kind = LedgerTransaction.Kind


def paid(organisation: Organisation, units: int, key: str) -> LedgerTransaction:
    return wallets.credit(
        organisation=organisation,
        amount_nano=units * NANO,
        kind=Kind.TOP_UP,
        idempotency_key=key,
        actor=None,
        reason="Paid",
    )


def taken(organisation: Organisation, units: int, kind: Kind, key: str) -> LedgerTransaction:
    booked = wallets.take_back(
        organisation=organisation,
        amount_nano=units * NANO,
        kind=kind,
        idempotency_key=key,
        actor=None,
        reason="Taken by the bank",
        may_owe=True,
    )
    assert booked is not None
    return booked


@pytest.mark.req("BIL-15")
@pytest.mark.parametrize("repaid", [0, 15, 40, 70])
def test_a_dispute_won_after_its_debt_was_paid_gives_all_of_it_back(acme: Organisation, repaid: int) -> None:
    disputed = taken(acme, 140, Kind.DISPUTE, "dispute:1")
    wallet = books.wallet_of(acme)
    assert (wallet.balance_nano, wallet.owed_nano) == (0, 40 * NANO)
    if repaid:
        paid(acme, repaid, "payment")
    wallets.reverse(booked=disputed, actor=None, reason="Won")
    wallet = books.wallet_of(acme)
    assert (wallet.balance_nano, wallet.owed_nano) == ((100 + repaid) * NANO, 0)
    books.assert_balanced(acme)
    assert verifier.verify() == []


def test_of_two_disputes_the_one_that_is_won_leaves_the_debt_of_the_other(acme: Organisation) -> None:
    first = taken(acme, 120, Kind.DISPUTE, "dispute:1")
    taken(acme, 30, Kind.DISPUTE, "dispute:2")
    paid(acme, 35, "payment")
    wallets.reverse(booked=first, actor=None, reason="Won")
    wallet = books.wallet_of(acme)
    assert (wallet.balance_nano, wallet.owed_nano) == (105 * NANO, 0)
    books.assert_balanced(acme)
    assert verifier.verify() == []
