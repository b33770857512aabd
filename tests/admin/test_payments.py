"""Payments in the admin: secrets go in and never come out, nothing is enabled without evidence, orders are followed."""

from collections.abc import Callable
from html import unescape

import pytest
from django.db import connection
from django.db.models import Model
from django.test import Client
from django.test.utils import CaptureQueriesContext

from accounts.models import AuditEvent, Organisation, User
from billing.models import AutoTopUp, MoneyBack, PaymentEvent, PaymentProvider, RechargeAgreement, TopUpOrder
from channels.models import AuthorisationEvidence
from tests import cast, paying
from tests.admin import house_of_payments, pages

State = TopUpOrder.State
TYPED = {
    "name": "Stripe",
    "slug": "stripe",
    "protocol": "stripe",
    "base_url": "https://api.stripe.com",
    "account": "",
    "currency": "USD",
    "position": "0",
    "least": "5",
    "most": "10000",
}


@pytest.fixture
def order(acme: Organisation, ada: User) -> TopUpOrder:
    """A credited order of Acme's, with its news and a refund."""
    return house_of_payments.fill(organisation=acme, user=ada)


def said(response: object) -> str:
    return unescape(pages.text(response))  # type: ignore[arg-type]


def test_a_provider_is_added_with_amounts_as_people_write_them(boss: Client, root: User) -> None:
    assert boss.post(pages.add(PaymentProvider), {**TYPED, "reason": pages.REASON}).status_code == 302
    made = PaymentProvider.objects.get()
    assert (made.least_minor, made.most_minor, made.is_active) == (500, 1_000_000, False)
    event = AuditEvent.objects.get(action="payment_provider.save")
    assert (event.actor, event.reason) == (root, pages.REASON)
    page = pages.fields(boss, pages.change(made))
    assert (page["least"], page["most"]) == ("5.00", "10000.00")


@pytest.mark.parametrize(
    ("wrong", "complaint"),
    [
        ({"least": "5.001"}, "USD has 2 decimals"),
        ({"currency": "JPY", "least": "5.50"}, "JPY has 0 decimals"),
        ({"least": "20000"}, "not less than the smallest"),
        ({"least": "0"}, "More than nothing"),
        ({"base_url": "http://user:pass@api.example.com"}, "https://"),
        ({"currency": "usd"}, "Three capital letters"),
        ({"protocol": "epay"}, "its pid"),
        ({"reason": ""}, "This field is required"),
    ],
)
def test_a_wrong_provider_is_explained_and_not_added(boss: Client, wrong: dict[str, str], complaint: str) -> None:
    response = boss.post(pages.add(PaymentProvider), {**TYPED, "reason": pages.REASON, **wrong}, follow=True)
    assert complaint in said(response)
    assert not PaymentProvider.objects.exists()


def test_a_secret_is_typed_once_and_shown_nowhere(boss: Client) -> None:
    provider = paying.provider(enabled=False)
    page = pages.act(provider, "set_secret")
    assert pages.send(boss, page, secret="sk_live_canary_7").status_code == 302
    assert pages.send(boss, pages.act(provider, "add_webhook_secret"), secret="whsec_canary_8").status_code == 302
    provider.refresh_from_db()
    assert provider.secret() == "sk_live_canary_7"
    assert provider.webhook_secrets() == ["whsec_canary_8", paying.WEBHOOK_SECRET]
    wrong = pages.send(boss, page, secret="two words_canary_9")
    assert "printable ASCII" in said(wrong)
    seen = [wrong, boss.get(pages.list_of(PaymentProvider)), boss.get(pages.change(provider)), boss.get(page)]
    assert not any("canary" in pages.text(response) for response in seen)
    assert "webhook: 2 valid" in said(seen[2])
    rows = AuditEvent.objects.filter(object_type="billing.paymentprovider")
    assert {"payment_provider.set_secret", "payment_provider.add_webhook_secret"} <= {row.action for row in rows}
    assert "canary" not in str(list(rows.values()))


def test_old_webhook_secrets_are_dropped(boss: Client) -> None:
    provider = paying.provider(enabled=False)
    assert "drop_old_secrets" not in pages.text(boss.get(pages.change(provider)))
    pages.send(boss, pages.act(provider, "add_webhook_secret"), secret="whsec_2")
    assert "drop_old_secrets" in pages.text(boss.get(pages.change(provider)))
    assert pages.send(boss, pages.act(provider, "drop_old_secrets")).status_code == 302
    provider.refresh_from_db()
    assert provider.webhook_secrets() == ["whsec_2"]


@pytest.mark.req("CHN-07")
def test_a_payment_provider_without_evidence_stays_disabled_and_says_where_to_hand_it_in(boss: Client) -> None:
    provider = paying.provider(evidence=False, enabled=False)
    refused = pages.send(boss, pages.act(provider, "enable"))
    assert refused.status_code == 200
    assert "No authorisation evidence is in force for the service “stripe”" in said(refused)
    where = f"{pages.add(AuthorisationEvidence)}?service=stripe"
    assert where in said(refused)
    assert where in said(boss.get(pages.change(provider)))
    assert pages.fields(boss, where)["service"] == "stripe"
    provider.refresh_from_db()
    assert not provider.is_active

    cast.evidence(service="stripe")
    pages.send(boss, pages.act(provider, "enable"))
    provider.refresh_from_db()
    assert not provider.is_active, "handed in is not approved"

    cast.approved_evidence(service="stripe")
    assert pages.send(boss, pages.act(provider, "enable")).status_code == 302
    provider.refresh_from_db()
    assert provider.is_active
    assert AuditEvent.objects.get(action="payment_provider.enable").reason == pages.REASON


def test_a_provider_is_disabled_again(boss: Client) -> None:
    provider = paying.provider()
    assert pages.send(boss, pages.act(provider, "disable")).status_code == 302
    provider.refresh_from_db()
    assert not provider.is_active


def test_the_webhooks_address_is_there_to_copy(boss: Client) -> None:
    provider = paying.provider()
    page = pages.text(boss.get(pages.change(provider)))
    assert 'value="http://testserver/' in page
    assert provider.slug in page


@pytest.mark.parametrize("action", ["enable", "disable", "set_secret", "add_webhook_secret", "drop_old_secrets"])
def test_acts_on_providers_need_the_right(staff: Callable[..., Client], action: str) -> None:
    provider = paying.provider(enabled=action == "disable")
    before = PaymentProvider.objects.values().get()
    viewer = staff("billing.view_paymentprovider")
    sent = {"secret": "sk_2", "reason": pages.REASON}
    assert viewer.get(pages.act(provider, action)).status_code == 403
    assert viewer.post(pages.act(provider, action), sent).status_code == 403
    assert PaymentProvider.objects.values().get() == before


def test_orders_are_listed_with_their_states_and_found_by_reference(
    boss: Client, acme: Organisation, ada: User
) -> None:
    provider = paying.provider()
    found = {state: paying.order(acme, provider, ada, state=state, why="Because.") for state in State}
    page = said(boss.get(pages.list_of(TopUpOrder)))
    for state in State:
        assert State(state).label in page
    one = found[State.CREDITED]
    for text in (one.reference, one.payment_reference):
        searched = said(boss.get(f"{pages.list_of(TopUpOrder)}?q={text}"))
        assert one.reference in searched
        assert found[State.HELD].reference not in searched
    held = said(boss.get(f"{pages.list_of(TopUpOrder)}?state__exact=held"))
    assert found[State.HELD].reference in held
    assert one.reference not in held


def test_an_order_is_followed_from_the_request_to_the_ledger_and_back(boss: Client, order: TopUpOrder) -> None:
    page = said(boss.get(pages.change(order)))
    told = ("Ordered", "Recharge agreement accepted", "News: checkout.session.completed", "Paid and credited", "Refund")
    assert [words for words in told if words not in page[page.index("From the request to the ledger") :]] == []
    assert f"25.00 USD at Stripe, by {order.user}" in page
    assert "Payments in clearing" in page
    for row in (order.transaction, order.events.get(), order.money_back.get()):
        assert pages.change(row) in page


def test_the_timeline_leads_only_where_the_person_may_go(staff: Callable[..., Client], order: TopUpOrder) -> None:
    viewer = staff("billing.view_topuporder")
    page = said(viewer.get(pages.change(order)))
    assert "Paid and credited" in page
    assert pages.change(order.transaction) not in page
    assert pages.change(order.events.get()) not in page


@pytest.mark.req("BIL-15")
@pytest.mark.parametrize(("action", "state"), [("release", State.CREATED), ("reject", State.REJECTED)])
def test_a_held_order_is_released_or_rejected_with_a_reason(
    boss: Client, root: User, acme: Organisation, ada: User, action: str, state: str
) -> None:
    held = paying.order(acme, paying.provider(), ada, state=State.HELD, why="Too many within an hour.")
    page = pages.act(held, action)
    assert "Too many within an hour." in said(boss.get(page))
    assert boss.post(page, {"reason": ""}).status_code == 200
    held.refresh_from_db()
    assert held.state == State.HELD
    assert pages.send(boss, page).status_code == 302
    held.refresh_from_db()
    assert held.state == state
    event = AuditEvent.objects.filter(object_type="billing.topuporder", object_id=str(held.pk)).get()
    assert (event.actor, event.reason, event.organisation) == (root, pages.REASON, acme)
    assert pages.REASON in said(boss.get(pages.change(held)))
    # Decided is decided.
    assert pages.act(held, action) not in pages.text(boss.get(pages.change(held)))


@pytest.mark.req("BIL-12")
def test_a_refund_without_consent_is_refused_and_changes_nothing(boss: Client, acme: Organisation, ada: User) -> None:
    paid = paying.order(acme, paying.provider(), ada, state=State.CREDITED)
    page = pages.act(paid, "refund")
    assert pages.fields(boss, page)["amount"] == "25.00"
    for wrong in ({}, {"ground": "consent"}, {"ground": "exception", "document": " "}, {"document": "Letter"}):
        refused = pages.send(boss, page, amount="10", is_checked="on", **wrong)
        assert refused.status_code == 403, wrong
        assert "A refund needs a ground" in said(refused) or "Name the document" in said(refused)
    assert not paid.money_back.exists()
    assert acme.wallets.get().balance_nano == 125 * 10**9


@pytest.mark.req("BIL-12")
def test_a_refund_with_consent_is_an_adjusting_entry_and_the_original_stays(
    boss: Client, root: User, acme: Organisation, ada: User
) -> None:
    paid = paying.order(acme, paying.provider(), ada, state=State.CREDITED)
    original = list(paid.transaction.transfers.values())
    sent = {"amount": "10", "ground": "consent", "document": "Letter of 1 May", "is_checked": "on"}
    assert pages.send(boss, pages.act(paid, "refund"), **sent).status_code == 302
    back = paid.money_back.get()
    assert (back.amount_minor, back.ground, back.document, back.requested_by) == (
        1000,
        "consent",
        "Letter of 1 May",
        root,
    )
    assert list(paid.transaction.transfers.values()) == original
    assert "Letter of 1 May" in said(boss.get(pages.change(back)))


@pytest.mark.req("BIL-16")
def test_a_consumer_may_withdraw_without_consent_and_a_business_may_not(
    boss: Client, acme: Organisation, globex: Organisation, ada: User, gus: User
) -> None:
    provider = paying.provider()
    Organisation.objects.filter(pk=acme.pk).update(is_consumer=True, country="DE")
    Organisation.objects.filter(pk=globex.pk).update(is_consumer=False, country="DE")
    consumer = paying.order(acme, provider, ada, state=State.CREDITED)
    business = paying.order(globex, provider, gus, state=State.CREDITED)
    sent = {"amount": "25", "ground": "withdrawal", "document": "Their letter", "is_checked": "on"}
    assert "A consumer in DE" in said(boss.get(pages.act(consumer, "refund")))
    assert pages.send(boss, pages.act(consumer, "refund"), **sent).status_code == 302
    assert pages.send(boss, pages.act(business, "refund"), **sent).status_code == 403
    assert consumer.money_back.exists()
    assert not business.money_back.exists()


def test_a_refund_page_that_is_sent_twice_refunds_once(boss: Client, acme: Organisation, ada: User) -> None:
    paid = paying.order(acme, paying.provider(), ada, state=State.CREDITED)
    page = pages.act(paid, "refund")
    right = {"amount": "10", "ground": "consent", "document": "Letter", "is_checked": "on", "reason": pages.REASON}
    sent = {**pages.fields(boss, page), **right}
    assert [boss.post(page, sent).status_code for _ in range(3)] == [302] * 3
    assert paid.money_back.count() == 1
    assert acme.wallets.get().balance_nano == 115 * 10**9


def test_what_was_paid_otherwise_is_credited_by_a_person(
    boss: Client, root: User, acme: Organisation, ada: User
) -> None:
    paid = {"paid_minor": 2400, "payment_reference": "pi_odd", "why": "24.00 USD were paid and 25.00 USD were ordered."}
    odd = paying.order(acme, paying.provider(), ada, state=State.MISMATCH, **paid)
    page = pages.act(odd, "accept_paid")
    assert "24.00 USD were paid" in said(boss.get(page))
    assert pages.send(boss, page).status_code == 302
    odd.refresh_from_db()
    assert odd.state == State.CREDITED
    assert acme.wallets.get().balance_nano == 124 * 10**9
    assert AuditEvent.objects.get(action="top_up_order.accept_paid").actor == root


@pytest.mark.parametrize(("action", "state", "balance"), [("went_back", "done", 115), ("did_not", "failed", 125)])
def test_a_person_says_what_became_of_a_refund_that_the_provider_does_not_tell(
    boss: Client, staff: Callable[..., Client], acme: Organisation, ada: User, action: str, state: str, balance: int
) -> None:
    paid = paying.order(acme, paying.provider(), ada, state=State.CREDITED)
    sent = {"amount": "10", "ground": "consent", "document": "Letter", "is_checked": "on"}
    pages.send(boss, pages.act(paid, "refund"), **sent)
    back = paid.money_back.get()
    assert pages.act(back, action) not in pages.text(boss.get(pages.change(back))), "the provider is still being asked"
    paid.money_back.update(next_try_at=None)
    viewer = staff("billing.view_moneyback")
    assert viewer.post(pages.act(back, action), {"reason": pages.REASON}).status_code == 403
    assert pages.send(boss, pages.act(back, action)).status_code == 302
    back.refresh_from_db()
    assert back.state == state
    assert acme.wallets.get().balance_nano == balance * 10**9


@pytest.mark.parametrize("amount", ["0", "-1", "25.01", "1.001", "much", ""])
def test_a_wrong_refund_changes_nothing(boss: Client, acme: Organisation, ada: User, amount: str) -> None:
    paid = paying.order(acme, paying.provider(), ada, state=State.CREDITED)
    sent = {"amount": amount, "ground": "consent", "document": "Letter", "is_checked": "on"}
    assert pages.send(boss, pages.act(paid, "refund"), **sent).status_code == 200
    assert not paid.money_back.exists()


@pytest.mark.parametrize("action", ["release", "reject", "refund", "ask_now", "accept_paid"])
def test_acts_on_orders_need_the_right(
    staff: Callable[..., Client], acme: Organisation, ada: User, action: str
) -> None:
    state = State.CREDITED if action in ("refund", "ask_now") else State.HELD
    there = paying.order(acme, paying.provider(), ada, state=state)
    before = TopUpOrder.objects.values().get()
    # Whoever may refund may not decide, and the other way round.
    viewer = staff(
        "billing.view_topuporder", "billing.change_topuporder" if action == "refund" else "billing.add_moneyback"
    )
    sent = {"amount": "1", "ground": "consent", "document": "x", "is_checked": "on", "reason": pages.REASON}
    assert viewer.get(pages.act(there, action)).status_code == 403
    assert viewer.post(pages.act(there, action), sent).status_code == 403
    assert TopUpOrder.objects.values().get() == before
    assert not there.money_back.exists()


def test_the_provider_is_asked_at_the_next_turn(boss: Client, acme: Organisation, ada: User) -> None:
    waiting = paying.order(acme, paying.provider(), ada, state=State.EXPIRED)
    assert waiting.poll_at is None
    assert pages.send(boss, pages.act(waiting, "ask_now")).status_code == 302
    waiting.refresh_from_db()
    assert waiting.poll_at is not None


def test_an_events_payload_is_shown_without_secrets(boss: Client, order: TopUpOrder) -> None:
    page = said(boss.get(pages.change(order.events.get())))
    assert '"amount_total": 2500' in page
    assert '"client_secret": "•••"' in page
    assert '"sign": "•••"' in page
    assert house_of_payments.SIGNATURE not in page


def test_an_events_payload_does_not_say_who_paid(boss: Client, order: TopUpOrder) -> None:
    who = {"name": "Ada Canary", "email": "canary@example.org", "phone": "+49 30 1", "address": {"city": "Canary"}}
    payload = {
        "customer_details": who,
        "individual_name": "Canary",
        "buyer": "canary",
        "ip": "203.0.113.9",
        "money": "1",
    }
    event = PaymentEvent.objects.create(provider=order.provider, event_id="who", kind="paid", payload=payload)
    page = said(boss.get(pages.change(event)))
    assert '"money": "1"' in page
    assert "canary" not in page.lower()
    assert "203.0.113.9" not in page


@pytest.mark.parametrize(("action", "state"), [("retry", "waiting"), ("set_aside", "done")])
def test_an_event_that_needs_a_person_is_tried_again_or_set_aside(
    boss: Client, root: User, order: TopUpOrder, action: str, state: str
) -> None:
    event = order.events.get()
    PaymentEvent.objects.filter(pk=event.pk).update(state="review", error="Nobody knows this payment.")
    assert "Nobody knows this payment." in said(boss.get(pages.change(event)))
    assert pages.send(boss, pages.act(event, action)).status_code == 302
    event.refresh_from_db()
    assert event.state == state
    row = AuditEvent.objects.get(object_type="billing.paymentevent")
    assert (row.actor, row.reason) == (root, pages.REASON)


@pytest.mark.parametrize("action", ["retry", "set_aside"])
def test_acts_on_events_need_the_right(staff: Callable[..., Client], order: TopUpOrder, action: str) -> None:
    event = order.events.get()
    PaymentEvent.objects.filter(pk=event.pk).update(state="review")
    viewer = staff("billing.view_paymentevent")
    assert viewer.get(pages.act(event, action)).status_code == 403
    assert viewer.post(pages.act(event, action), {"reason": pages.REASON}).status_code == 403
    event.refresh_from_db()
    assert event.state == "review"


@pytest.mark.req("BIL-18")
def test_a_version_of_the_agreement_is_published_and_stays_as_it_is(boss: Client, root: User) -> None:
    page = pages.add(RechargeAgreement)
    text = "You pay in advance.\n\nWhat is paid is spent on calls."
    assert pages.send(boss, page, version="1", text=text, is_checked="on").status_code == 302
    assert pages.send(boss, page, version="2", text="Newer", is_checked="on").status_code == 302
    again = pages.send(boss, page, version="2", text="Other", is_checked="on")
    assert again.status_code == 200
    first, second = RechargeAgreement.objects.order_by("pk")
    assert (first.version, second.version, second.published_by) == ("1", "2", root)
    assert boss.post(pages.change(first), {"text": "Rewritten", "reason": pages.REASON}).status_code == 403
    listed = said(boss.get(pages.list_of(RechargeAgreement)))
    assert ("In force" in listed, "Replaced" in listed) == (True, True)
    assert AuditEvent.objects.filter(action="recharge_agreement.publish", reason=pages.REASON).count() == 2


def test_publishing_needs_the_right_and_a_look(boss: Client, staff: Callable[..., Client]) -> None:
    sent = {"version": "1", "text": "We agree.", "is_checked": "on", "reason": pages.REASON}
    assert staff("billing.view_rechargeagreement").post(pages.add(RechargeAgreement), sent).status_code == 403
    assert boss.post(pages.add(RechargeAgreement), {**sent, "is_checked": ""}).status_code == 200
    assert not RechargeAgreement.objects.exists()


def test_automatic_top_ups_are_switched_off_with_a_reason(
    boss: Client, root: User, staff: Callable[..., Client], order: TopUpOrder
) -> None:
    kept = AutoTopUp.objects.get()
    viewer = staff("billing.view_autotopup")
    assert viewer.post(pages.act(kept, "switch_off"), {"reason": pages.REASON}).status_code == 403
    assert "visa •••• 4242" in said(boss.get(pages.change(kept)))
    assert pages.send(boss, pages.act(kept, "switch_off")).status_code == 302
    kept.refresh_from_db()
    assert not kept.is_active
    event = AuditEvent.objects.get(action="auto_top_up.switch_off")
    assert (event.actor, event.reason, event.organisation) == (root, pages.REASON, order.organisation)


def test_no_page_of_payments_says_a_secret(boss: Client, order: TopUpOrder) -> None:
    kept = AutoTopUp.objects.get()
    rows = (order, order.provider, order.events.get(), order.money_back.get(), kept)
    seen = [pages.text(boss.get(url)) for row in rows for url in (pages.list_of(type(row)), pages.change(row))]
    assert not any(secret in page for secret in house_of_payments.SECRETS for page in seen)


@pytest.mark.parametrize("model", [TopUpOrder, PaymentEvent, MoneyBack, AutoTopUp])
def test_lists_ask_as_often_for_many_rows_as_for_few(
    model: type[Model], boss: Client, order: TopUpOrder, globex: Organisation, gus: User
) -> None:
    def asked() -> int:
        with CaptureQueriesContext(connection) as queries:
            assert boss.get(pages.list_of(model)).status_code == 200
        return len(queries)

    asked()
    few = asked()
    for number in range(4):
        other = paying.order(globex, paying.provider(f"P{number}"), gus, state=State.CREDITED)
        PaymentEvent.objects.create(provider=other.provider, event_id="x", kind="x", payload={}, order=other)
        MoneyBack.objects.create(order=other, kind="refund", amount_minor=1, reference=f"other-{number}")
    names = {"customer_reference": "cus_2", "method_reference": "pm_2"}
    AutoTopUp.objects.create(organisation=globex, provider=other.provider, threshold_nano=1, amount_minor=1, **names)
    assert asked() == few
