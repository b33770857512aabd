"""Termination: the wallet is frozen with its organisation; the balance stays and is reported, and so does the debt."""

import uuid
from collections.abc import Callable
from datetime import timedelta

import pytest
from django.core.exceptions import ValidationError
from django.test import Client
from redis import Redis

from accounts.models import AuditEvent, Organisation, User
from billing.errors import WalletFrozen
from billing.models import LedgerTransaction, LedgerTransfer, TopUpOrder, Wallet
from billing.pricing import Costs
from billing.services import booking, codes, expiry, orders, wallets
from channels.models import Model
from newapi.kernel import clock
from newapi.kernel.meters import bank
from newapi.kernel.money import NANO
from tests import cast, paying
from tests.admin import pages
from tests.billing import calls, vouchers
from tests.billing.books import in_account, wallet_of

Kind = LedgerTransaction.Kind


@pytest.fixture
def boss(root: User) -> Client:
    """Root, logged in."""
    client = Client()
    client.force_login(root)
    return client


def switch(organisation: Organisation, *, on: bool) -> None:
    organisation.is_active = on
    organisation.save()


def is_frozen(organisation: Organisation) -> bool:
    return Wallet.objects.get(organisation=organisation).frozen_at is not None


def movements(organisation: Organisation) -> dict[str, Callable[[], object]]:
    """Everything that brings money in or out, by name."""
    told = {"actor": None, "reason": "Movement"}
    topped_up = LedgerTransaction.objects.get(idempotency_key=f"cast:{organisation.slug}")
    raw = vouchers.code()
    return {
        "top-up": lambda: wallets.credit(
            organisation=organisation, amount_nano=1, kind=Kind.TOP_UP, idempotency_key="t", **told
        ),
        "grant": lambda: wallets.credit(
            organisation=organisation, amount_nano=1, kind=Kind.GRANT, idempotency_key="g", **told
        ),
        "adjustment": lambda: wallets.debit(organisation=organisation, amount_nano=1, idempotency_key="d", **told),
        "refund": lambda: wallets.take_back(
            organisation=organisation, amount_nano=1, kind=Kind.REFUND, idempotency_key="r", **told
        ),
        "claw-back": lambda: wallets.take_back(
            organisation=organisation,
            amount_nano=1,
            kind=Kind.CLAWBACK,
            idempotency_key="c",
            grant=topped_up.grant,
            **told,
        ),
        "reversal": lambda: wallets.reverse(booked=topped_up, **told),
        "redemption": lambda: codes.redeem(raw=raw, organisation=organisation, user=None),
    }


@pytest.mark.req("BIL-20")
def test_a_frozen_wallet_lets_nothing_in_or_out_until_it_is_thawed(acme: Organisation, root: User) -> None:
    tried = movements(acme)
    wallets.freeze(organisation=acme, actor=root, reason="Looks odd")
    standing = LedgerTransfer.objects.count()
    for name, move in tried.items():
        with pytest.raises(WalletFrozen, match="Acme is frozen"):
            move()
        assert LedgerTransfer.objects.count() == standing, name
    assert wallet_of(acme).balance_nano == 100 * NANO
    wallets.thaw(organisation=acme, actor=root, reason="All is well")
    tried["top-up"]()
    tried["redemption"]()
    assert wallet_of(acme).balance_nano == 105 * NANO + 1


@pytest.mark.req("BIL-20")
def test_frozen_money_does_not_expire_before_it_is_thawed(acme: Organisation, root: User) -> None:
    wallets.credit(
        organisation=acme,
        amount_nano=7 * NANO,
        kind=Kind.GRANT,
        idempotency_key="gift",
        actor=None,
        reason="Gift",
        terms=wallets.Terms(expires_at=clock.now() + timedelta(days=1)),
    )
    wallets.freeze(organisation=acme, actor=root, reason="Looks odd")
    with clock.shifted(2 * 86_400):
        assert expiry.sweep() == 0
        assert wallet_of(acme).balance_nano == 107 * NANO
        wallets.thaw(organisation=acme, actor=root, reason="All is well")
        assert expiry.sweep() == 1
    assert wallet_of(acme).balance_nano == 100 * NANO


@pytest.mark.req("BIL-20")
@pytest.mark.django_db(transaction=True)
def test_nothing_of_a_frozen_wallet_can_be_spent(acme: Organisation, redis: Redis) -> None:
    calls.warm(acme)
    assert bank.till_state(acme.pk).available_nano == 100 * NANO
    switch(acme, on=False)
    assert bank.till_state(acme.pk).available_nano == 0
    switch(acme, on=True)
    assert bank.till_state(acme.pk).available_nano == 100 * NANO


@pytest.mark.req("BIL-20", "GW-28")
def test_switching_an_organisation_off_freezes_its_wallet_and_on_again_thaws_it(
    acme: Organisation, globex: Organisation
) -> None:
    switch(acme, on=False)
    assert (is_frozen(acme), is_frozen(globex)) == (True, False)
    since = wallet_of(acme).frozen_at
    acme.name = "Acme, formerly"
    acme.save()
    assert wallet_of(acme).frozen_at == since
    event = AuditEvent.objects.get(action="wallet.freeze")
    assert (event.organisation, event.actor, event.reason) == (acme, None, "The organisation was switched off")
    switch(acme, on=True)
    assert not is_frozen(acme)
    assert AuditEvent.objects.filter(action="wallet.thaw").count() == 1


def test_saving_anything_else_neither_freezes_nor_thaws(acme: Organisation, root: User) -> None:
    wallets.freeze(organisation=acme, actor=root, reason="Looks odd")
    acme.name = "Acme 2"
    acme.save()
    assert is_frozen(acme)
    wallets.thaw(organisation=acme, actor=root, reason="All is well")
    acme.is_active = False
    acme.save(update_fields=["name"])  # what is not written does not count
    assert not is_frozen(acme)


@pytest.mark.req("BIL-20")
def test_what_a_person_froze_stays_frozen_when_the_organisation_comes_back(acme: Organisation, root: User) -> None:
    wallets.freeze(organisation=acme, actor=root, reason="Fraud, case 17")
    switch(acme, on=False)
    switch(acme, on=True)
    assert is_frozen(acme)
    wallets.thaw(organisation=acme, actor=root, reason="Cleared")
    switch(acme, on=False)
    wallets.thaw(organisation=acme, actor=root, reason="To pay the rest back")
    wallets.debit(
        organisation=acme, amount_nano=100 * NANO, idempotency_key="rest", actor=root, reason="Paid the rest back"
    )
    switch(acme, on=True)
    assert not is_frozen(acme)


def test_an_organisation_without_a_wallet_is_frozen_all_the_same(ada: User) -> None:
    fresh = Organisation.objects.create(name="Fresh", slug="fresh", currency="USD")
    switch(fresh, on=False)
    with pytest.raises(WalletFrozen):
        wallets.credit(
            organisation=fresh, amount_nano=1, kind=Kind.TOP_UP, idempotency_key="t", actor=None, reason="Paid"
        )


@pytest.mark.req("BIL-20")
def test_debt_survives_termination(acme: Organisation, root: User, chat_model: Model) -> None:
    """130 were used of 100. The debt of 30 stays whatever is switched, and is paid first when money may come in."""
    booking.book([calls.answered(calls.line(acme, chat_model), costs=Costs(output=130 * NANO))])
    switch(acme, on=False)
    assert (wallet_of(acme).owed_nano, in_account(acme, "receivable")) == (30 * NANO, -30 * NANO)
    top_up = movements(acme)["top-up"]
    with pytest.raises(WalletFrozen):
        top_up()
    with clock.shifted(400 * 86_400):
        expiry.sweep()
    assert wallet_of(acme).owed_nano == 30 * NANO
    switch(acme, on=True)
    wallets.credit(
        organisation=acme, amount_nano=40 * NANO, kind=Kind.TOP_UP, idempotency_key="paid", actor=root, reason="Paid"
    )
    assert (wallet_of(acme).owed_nano, wallet_of(acme).balance_nano) == (0, 10 * NANO)


@pytest.mark.req("BIL-20")
def test_usage_that_was_under_way_is_still_charged_to_a_frozen_wallet(acme: Organisation, chat_model: Model) -> None:
    line = calls.line(acme, chat_model)
    switch(acme, on=False)
    booking.book([calls.answered(line, costs=Costs(output=30 * NANO))])
    assert (wallet_of(acme).balance_nano, wallet_of(acme).used_nano) == (70 * NANO, 30 * NANO)


@pytest.mark.req("GW-28", "BIL-20")
def test_new_top_ups_of_a_terminated_or_frozen_organisation_are_refused(
    acme: Organisation, ada: User, root: User
) -> None:
    provider = paying.provider()

    def order() -> TopUpOrder:
        return orders.place(
            organisation=acme,
            user=ada,
            provider=provider,
            amount_minor=2_500,
            purpose="compliant_service_fee",
            once=uuid.uuid4(),
        )

    wallets.freeze(organisation=acme, actor=root, reason="Looks odd")
    with pytest.raises(WalletFrozen):
        order()
    wallets.thaw(organisation=acme, actor=root, reason="All is well")
    switch(acme, on=False)
    with pytest.raises(ValidationError, match="closed"):
        order()
    assert not TopUpOrder.objects.exists()
    switch(acme, on=True)
    assert order().state == TopUpOrder.State.CREATED


@pytest.mark.req("BIL-20", "GW-28")
def test_an_operator_terminates_an_organisation_and_sees_what_stays(
    boss: Client, acme: Organisation, globex: Organisation, root: User, chat_model: Model
) -> None:
    booking.book([calls.answered(calls.line(globex, chat_model), costs=Costs(output=130 * NANO))])
    for organisation in (acme, globex):
        assert pages.send(boss, pages.change(organisation), is_active="").status_code == 302
    assert AuditEvent.objects.filter(action="organisation.change", actor=root, reason=pages.REASON).count() == 2
    for organisation, balance, debt in ((acme, "100.00 USD", "0.00 USD"), (globex, "0.00 USD", "30.00 USD")):
        for page in (pages.change(organisation), pages.change(wallet_of(organisation))):
            shown = pages.text(boss.get(page))
            assert "All frozen wallets" in shown
            assert "The organisation was switched off" in shown
            assert balance in shown
            assert debt in shown


@pytest.mark.req("BIL-20")
@pytest.mark.parametrize(
    ("standing", "found"),
    [
        ("frozen", {"Acme", "Globex"}),
        ("frozen_rest", {"Acme"}),
        ("owing", {"Globex"}),
        ("open", {"Initech"}),
        ("nonsense", {"Acme", "Globex", "Initech"}),
    ],
)
def test_frozen_wallets_and_debts_are_listed(
    boss: Client, acme: Organisation, globex: Organisation, gus: User, chat_model: Model, standing: str, found: set[str]
) -> None:
    cast.organisation("initech", owner=gus)
    booking.book([calls.answered(calls.line(globex, chat_model), costs=Costs(output=130 * NANO))])
    for organisation in (acme, globex):
        switch(organisation, on=False)
    listed = boss.get(f"{pages.list_of(Wallet)}?standing={standing}").context["cl"].queryset
    assert {wallet.organisation.name for wallet in listed} == found
