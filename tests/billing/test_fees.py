"""Lifetime fees: what an organisation has paid, less what went back; nothing that was given."""

import pytest

from accounts.models import Organisation, User
from billing.models import LedgerTransaction
from billing.pricing import Costs
from billing.services import booking, fees, wallets
from channels.models import Model
from newapi.kernel.money import NANO
from tests import cast
from tests.billing import calls

Kind = LedgerTransaction.Kind


def credit(organisation: Organisation, units: int, kind: Kind, key: str) -> LedgerTransaction:
    return wallets.credit(
        organisation=organisation,
        amount_nano=units * NANO,
        kind=kind,
        idempotency_key=key,
        actor=None,
        reason="Money in",
    )


@pytest.mark.req("BIL-21")
def test_lifetime_fees_are_the_sum_of_settled_payments(
    acme: Organisation, globex: Organisation, root: User, chat_model: Model
) -> None:
    """Acme paid 100, 40 and 7; the 7 came back in full, 12 of the others in a refund, 3 in a dispute."""
    credit(acme, 40, Kind.TOP_UP, "topup:test:1")
    undone = credit(acme, 7, Kind.TOP_UP, "topup:test:2")
    wallets.reverse(booked=undone, actor=root, reason="Entered twice")
    credit(acme, 25, Kind.GRANT, "grant")
    credit(acme, 5, Kind.ADJUSTMENT, "adjustment")
    wallets.debit(organisation=acme, amount_nano=NANO, idempotency_key="out", actor=root, reason="Correction")
    booking.book([calls.answered(calls.line(acme, chat_model), costs=Costs(output=9 * NANO))])
    assert fees.lifetime(acme) == 140 * NANO
    for kind, units in ((Kind.REFUND, 12), (Kind.DISPUTE, 3)):
        wallets.take_back(
            organisation=acme,
            amount_nano=units * NANO,
            kind=kind,
            idempotency_key=f"{kind}:1",
            actor=root,
            reason="Money back",
            may_owe=True,
        )
    assert fees.lifetime(acme) == 125 * NANO == sum(payment.nano for payment in fees.payments(acme))
    assert fees.lifetime(globex) == 100 * NANO


@pytest.mark.req("BIL-21")
def test_a_dispute_that_took_more_than_there_was_counts_in_full_and_a_won_one_not_at_all(
    acme: Organisation, root: User, chat_model: Model
) -> None:
    booking.book([calls.answered(calls.line(acme, chat_model), costs=Costs(output=95 * NANO))])
    lost = wallets.take_back(
        organisation=acme,
        amount_nano=60 * NANO,
        kind=Kind.DISPUTE,
        idempotency_key="dispute:1",
        actor=root,
        reason="Charged back",
        may_owe=True,
    )
    assert lost is not None
    assert acme.wallets.get().owed_nano > 0
    assert fees.lifetime(acme) == 40 * NANO
    wallets.reverse(booked=lost, actor=root, reason="Won")
    assert fees.lifetime(acme) == 100 * NANO


def test_payments_are_listed_oldest_first_with_what_they_were(acme: Organisation, root: User) -> None:
    booked = credit(acme, 40, Kind.TOP_UP, "topup:test:1")
    wallets.reverse(booked=booked, actor=root, reason="Entered twice")
    found = list(fees.payments(acme))
    assert [(payment.kind, payment.nano) for payment in found] == [
        ("Top-up", 100 * NANO),
        ("Top-up", 40 * NANO),
        ("Reversal", -40 * NANO),
    ]
    assert found[1].reference == "topup:test:1"


def test_who_never_paid_has_paid_nothing(gus: User) -> None:
    poor = cast.organisation("poor", owner=gus, funds_nano=0)
    assert fees.lifetime(poor) == 0
    credit(poor, 25, Kind.GRANT, "grant")
    assert fees.lifetime(poor) == 0
    assert list(fees.payments(poor)) == []
