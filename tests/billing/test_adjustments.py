"""Bookings by hand: small ones at once, large ones by two people, each once, and none without a purpose."""

import uuid
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.conf import LazySettings
from django.db import IntegrityError, transaction

from accounts.models import AuditEvent, Notice, Organisation, User
from billing.errors import BalanceTooLow, BillingRefusal, IdempotencyConflict
from billing.models import Adjustment, Grant, LedgerTransaction
from billing.services import adjustments, wallets
from billing.services.grants import Terms
from newapi.kernel import clock, ids
from newapi.kernel.money import NANO
from tests import cast
from tests.billing import books, threads

Ask = Callable[..., Adjustment]


@pytest.fixture
def ask(acme: Organisation, root: User) -> Ask:
    """Root asks for something for Acme: 5 USD as a grant, unless said otherwise."""

    def ask_for(units: int = 5, **changed: Any) -> Adjustment:
        values: dict[str, Any] = {
            "wallet": acme.wallets.get(),
            "direction": "in",
            "kind": "grant",
            "purpose": "enterprise_client",
            "amount_nano": units * NANO,
            "terms": Terms(),
            "once": ids.uuid7(),
            "actor": root,
            "reason": "Contract 12",
        }
        return adjustments.request(**{**values, **changed})

    return ask_for


@pytest.fixture
def olga(db: None) -> User:
    """Somebody else."""
    return cast.olga()


def balance(organisation: Organisation) -> int:
    """In whole units."""
    return books.wallet_of(organisation).balance_nano // NANO


@pytest.mark.req("BIL-12")
def test_up_to_the_limit_it_is_posted_at_once(acme: Organisation, root: User, ask: Ask) -> None:
    made = ask(1000)
    assert (made.state, balance(acme)) == ("posted", 1100)
    assert made.transaction is not None
    assert (made.transaction.idempotency_key, made.transaction.actor) == (f"adjustment:{made.pk}", root)
    assert books.in_account(None, "promotion") == -1000 * NANO
    assert not Notice.objects.exists()


@pytest.mark.req("BIL-12")
def test_above_the_limit_it_waits_for_somebody_else(acme: Organisation, root: User, olga: User, ask: Ask) -> None:
    made = ask(1000, amount_nano=1000 * NANO + 1)
    assert (made.state, made.transaction, balance(acme)) == ("waiting", None, 100)
    notice = Notice.objects.get()
    assert notice.audience == "operators"
    assert "1,000.00 USD into the wallet of Acme waits for a second person" in notice.title
    for decide in (adjustments.approve, adjustments.reject):
        with pytest.raises(BillingRefusal, match="Somebody else has to decide"):
            decide(adjustment=made, actor=root, reason="Me too")
    assert (balance(acme), Adjustment.objects.get().state) == (100, "waiting")
    adjustments.approve(adjustment=made, actor=olga, reason="Read the contract")
    made.refresh_from_db()
    assert (made.state, made.decided_by, made.decision_reason) == ("posted", olga, "Read the contract")
    assert books.wallet_of(acme).balance_nano == 1100 * NANO + 1
    events = AuditEvent.objects.filter(object_type="billing.adjustment").order_by("pk")
    assert [(event.action, event.actor, event.organisation) for event in events] == [
        ("adjustment.request", root, acme),
        ("adjustment.approve", olga, acme),
    ]


def test_the_limit_can_be_set_to_everything(acme: Organisation, ask: Ask, settings: LazySettings) -> None:
    settings.ADJUSTMENT_SECOND_PERSON_ABOVE = 0
    assert ask(amount_nano=1).state == "waiting"


def test_what_was_rejected_is_not_booked_and_not_decided_again(acme: Organisation, olga: User, ask: Ask) -> None:
    made = ask(5000)
    adjustments.reject(adjustment=made, actor=olga, reason="No contract")
    assert (made.state, made.decision_reason, balance(acme)) == ("rejected", "No contract", 100)
    for decide in (adjustments.approve, adjustments.reject):
        with pytest.raises(BillingRefusal, match="decided already"):
            decide(adjustment=made, actor=olga, reason="Again")
    assert LedgerTransaction.objects.count() == 1


@pytest.mark.req("BIL-12")
def test_what_the_wallet_cannot_afford_any_more_stays_waiting(
    acme: Organisation, olga: User, ask: Ask, settings: LazySettings
) -> None:
    settings.ADJUSTMENT_SECOND_PERSON_ABOVE = 50
    made = ask(80, direction="out", kind="adjustment")
    wallets.debit(organisation=acme, amount_nano=30 * NANO, idempotency_key="x", actor=None, reason="Meanwhile")
    with pytest.raises(BalanceTooLow):
        adjustments.approve(adjustment=made, actor=olga, reason="Fine")
    made.refresh_from_db()
    assert (made.state, made.decided_by, balance(acme)) == ("waiting", None, 70)
    assert not AuditEvent.objects.filter(action="adjustment.approve").exists()
    ask(20)
    adjustments.approve(adjustment=made, actor=olga, reason="Fine")
    assert (made.state, balance(acme)) == ("posted", 10)
    assert books.in_account(None, "adjustment") == 110 * NANO


def test_a_grant_that_would_have_expired_meanwhile_stays_waiting(acme: Organisation, olga: User, ask: Ask) -> None:
    made = ask(2000, terms=Terms(expires_at=clock.now() + timedelta(days=1)))
    with clock.shifted(2 * 86_400), pytest.raises(BillingRefusal, match="expired already"):
        adjustments.approve(adjustment=made, actor=olga, reason="Fine")
    made.refresh_from_db()
    assert (made.state, balance(acme)) == ("waiting", 100)


@pytest.mark.req("BIL-12")
def test_an_adjusting_entry_leaves_what_it_corrects_untouched(acme: Organisation, ask: Ask) -> None:
    original = LedgerTransaction.objects.filter(pk=LedgerTransaction.objects.get().pk)
    before = [list(original.values()), list(original.get().transfers.values())]
    made = ask(40, direction="out", kind="adjustment", reason="Paid in excess; consent of 3 May")
    assert [list(original.values()), list(original.get().transfers.values())] == before
    assert made.transaction is not None
    assert (made.transaction.kind, made.transaction.reason) == ("adjustment", "Paid in excess; consent of 3 May")
    assert balance(acme) == 60


@pytest.mark.req("BIL-11")
def test_the_same_request_again_is_the_same_adjustment(acme: Organisation, ask: Ask) -> None:
    once = ids.uuid7()
    assert {ask(7, once=once).pk for _ in range(3)} == {Adjustment.objects.get().pk}
    assert balance(acme) == 107
    for changed in ({"units": 8}, {"units": 7, "kind": "top_up"}, {"units": 7, "purpose": "internal_settlement"}):
        with pytest.raises(IdempotencyConflict):
            ask(**changed, once=once)
    with pytest.raises(IdempotencyConflict):
        ask(7, once=once, terms=Terms(priority=3))
    assert (Adjustment.objects.count(), balance(acme)) == (1, 107)


@pytest.mark.django_db(transaction=True)
def test_of_many_who_decide_at_once_one_wins(acme: Organisation, root: User, olga: User, ask: Ask) -> None:
    made = ask(2000)

    def decide(service: Callable[..., Adjustment]) -> Callable[[], Adjustment]:
        return lambda: service(adjustment=Adjustment.objects.get(pk=made.pk), actor=olga, reason="Now")

    answers = threads.together(*map(decide, [adjustments.approve, adjustments.reject] * 3))
    refused = [answer for answer in answers if isinstance(answer, BillingRefusal)]
    assert len(refused) == 5, answers
    made.refresh_from_db()
    assert balance(acme) == (2100 if made.state == "posted" else 100)
    assert LedgerTransaction.objects.count() == (2 if made.state == "posted" else 1)


@pytest.mark.django_db(transaction=True)
def test_of_many_times_sent_at_once_one_is_booked(acme: Organisation, ask: Ask) -> None:
    once = ids.uuid7()
    answers = threads.together(*[lambda: ask(7, once=once)] * 6)
    assert {answer.pk for answer in answers} == {Adjustment.objects.get().pk}
    assert balance(acme) == 107


@pytest.mark.req("BIL-03")
def test_a_blank_purpose_is_refused_by_the_service_and_by_the_database(acme: Organisation, ask: Ask) -> None:
    for purpose in ("", "because"):
        with pytest.raises(BillingRefusal, match="what the money is for"):
            ask(purpose=purpose)
    values = {"wallet": acme.wallets.get(), "direction": "in", "kind": "grant", "amount_nano": 1, "reason": "x"}
    for purpose in ("", "because"):
        with pytest.raises(IntegrityError), transaction.atomic():
            Adjustment.objects.create(**values, purpose=purpose, once=uuid.uuid4())
    assert not Adjustment.objects.exists()


@pytest.mark.parametrize(
    ("changed", "complaint"),
    [
        ({"units": 0}, "more than zero"),
        ({"units": -5}, "more than zero"),
        ({"units": 10**10}, "at most one billion"),
        ({"kind": "usage"}, "does not go in"),
        ({"kind": "reversal"}, "does not go in"),
        ({"direction": "out"}, "does not go out"),
        ({"terms": Terms(priority=101)}, "Between 0 and 100"),
        ({"terms": Terms(expires_at=clock.now() - timedelta(days=1))}, "This moment is over"),
    ],
)
def test_what_cannot_be_is_refused_and_leaves_nothing(
    acme: Organisation, ask: Ask, changed: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(BillingRefusal, match=complaint):
        ask(**changed)
    assert (Adjustment.objects.count(), balance(acme)) == (0, 100)


def test_a_project_of_another_organisation_is_refused(acme: Organisation, globex: Organisation, ask: Ask) -> None:
    with pytest.raises(BillingRefusal, match="another organisation"):
        ask(terms=Terms(project=globex.projects.get()))
    assert not Adjustment.objects.exists()


@pytest.mark.parametrize(
    ("kind", "category", "booked"),
    [("grant", None, "promotional"), ("top_up", None, "paid"), ("adjustment", None, "paid"), ("grant", "paid", "paid")],
)
def test_the_grant_is_as_the_terms_say(
    acme: Organisation, ask: Ask, kind: str, category: str | None, booked: str
) -> None:
    until = clock.now() + timedelta(days=30)
    project = acme.projects.get()
    made = ask(kind=kind, terms=Terms(category=category, priority=7, expires_at=until, project=project))
    grant = Grant.objects.get(transaction=made.transaction)
    assert (grant.category, grant.priority, grant.expires_at) == (booked, 7, until)
    assert grant.purse is not None
    assert (grant.purse.project, grant.remaining_nano) == (project, 5 * NANO)


def test_a_frozen_wallet_takes_nothing_and_what_waits_goes_on_waiting(
    acme: Organisation, root: User, olga: User, ask: Ask
) -> None:
    made = ask(2000)
    wallets.freeze(organisation=acme, actor=root, reason="Terminated")
    with pytest.raises(BillingRefusal, match="frozen"):
        ask(5)
    with pytest.raises(BillingRefusal, match="frozen"):
        adjustments.approve(adjustment=made, actor=olga, reason="Fine")
    made.refresh_from_db()
    assert (made.state, balance(acme), Adjustment.objects.count()) == ("waiting", 100, 1)
