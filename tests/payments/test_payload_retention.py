"""What providers told us may name who paid: it is erased past its time, and what came of it stays on record."""

import hashlib
import json
from datetime import timedelta

import pytest
from django.test import Client

from accounts.models import AuditEvent, LogClass, Organisation, RetentionRule, User
from accounts.models.retention import seed
from accounts.services import retention
from accounts.tasks import purge_expired
from billing.models import PaymentEvent, PaymentProvider, TopUpOrder
from billing.services import inbox, retention_payloads
from newapi.kernel import clock
from tests.admin import pages
from tests.payments.conftest import Order
from tests.payments.fake_stripe import FakeStripe
from tests.payments.telling import USD, balance_of, fresh, heard, tell_stripe

DAYS = 760
PAYER = "ada@example.com"


@pytest.fixture(autouse=True)
def rules(db: None) -> None:
    """As the migration made them, also after a transactional test has emptied the tables; notices stay."""
    seed(RetentionRule)
    RetentionRule.objects.filter(log_class=LogClass.NOTICES).update(days=None)


@pytest.fixture
def paid(acme: Organisation, stripe: PaymentProvider, opened: Order, fake_of_stripe: FakeStripe) -> TopUpOrder:
    """500 USD, paid by Stripe, whose news names the payer."""
    placed = opened(stripe)
    heard(fake_of_stripe, fake_of_stripe.pay(placed.reference))
    assert PAYER in json.dumps(PaymentEvent.objects.get().payload)
    return fresh(placed)


def run(*, days: int = DAYS, minutes: int = 1) -> int:
    """The job, as it runs so long after now."""
    with clock.shifted(days * 86_400 + minutes * 60):
        return purge_expired()


@pytest.mark.req("GW-15")
def test_the_payload_goes_after_its_time_and_name_kind_digest_and_result_stay(
    acme: Organisation, paid: TopUpOrder
) -> None:
    before = PaymentEvent.objects.get()
    assert run(minutes=-1) == 0
    assert PaymentEvent.objects.get().payload == before.payload
    assert run() == 1
    event = PaymentEvent.objects.get()
    text = json.dumps(before.payload, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    assert event.payload.pop("erased_at")
    assert event.payload == {"sha256": hashlib.sha256(text.encode()).hexdigest()}
    for name in ("event_id", "kind", "state", "order_id", "received_at", "done_at", "tries"):
        assert getattr(event, name) == getattr(before, name)
    audited = AuditEvent.objects.get(action="retention.purge")
    assert audited.changes["payment news"] == [1, 0]
    assert PAYER not in json.dumps(audited.changes)
    assert run() == 0, "once"


def test_an_erased_event_is_shown_and_its_redelivery_books_nothing(
    acme: Organisation, paid: TopUpOrder, root: User, fake_of_stripe: FakeStripe
) -> None:
    event = PaymentEvent.objects.get()
    told = event.payload
    run()
    assert tell_stripe(fake_of_stripe, told).status_code == 200
    assert inbox.work() == 0
    assert balance_of(acme) == 600 * USD
    boss = Client()
    boss.force_login(root, backend="django.contrib.auth.backends.ModelBackend")
    shown = boss.get(pages.change(event)).content.decode()
    assert "erased_at" in shown
    assert "checkout.session.completed" in shown


@pytest.mark.parametrize("scope", ["everybody", "acme", "acme, another class"])
def test_nothing_of_an_organisation_under_legal_hold_is_erased(
    scope: str, acme: Organisation, paid: TopUpOrder, root: User
) -> None:
    hold = retention.impose(
        organisation=None if scope == "everybody" else acme,
        log_class=LogClass.NOTICES if "class" in scope else "",
        actor=root,
        reason="Lawsuit",
    )
    run()
    assert (PAYER in json.dumps(PaymentEvent.objects.get().payload)) == ("class" not in scope)
    retention.lift(hold=hold, actor=root, reason="Settled")
    run()
    assert PAYER not in json.dumps(PaymentEvent.objects.get().payload)


@pytest.mark.parametrize("state", ["waiting", "review"])
def test_news_that_still_waits_keeps_what_it_says_and_the_run_says_so(state: str, paid: TopUpOrder) -> None:
    PaymentEvent.objects.update(state=state)
    run()
    event = PaymentEvent.objects.get()
    assert PAYER in json.dumps(event.payload)
    left = RetentionRule.objects.get(log_class=LogClass.ACCESS).last_left
    assert left == "payment news: 1 not worked off yet; look at Payment events"


def test_a_run_erases_so_many_and_the_next_goes_on(
    paid: TopUpOrder, stripe: PaymentProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention_payloads, "EVENTS_MAX", 2)
    done = {"provider": stripe, "kind": "x", "state": "done", "payload": {"email": PAYER}}
    PaymentEvent.objects.bulk_create(PaymentEvent(event_id=f"evt_more_{number}", **done) for number in range(4))
    late = PaymentEvent.objects.create(event_id="evt_late", received_at=clock.now() + timedelta(days=9), **done)
    assert [run(), run(), run(), run()] == [2, 2, 1, 0]
    late.refresh_from_db()
    assert late.payload == {"email": PAYER}
