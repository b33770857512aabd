"""Topping up in the portal: one order for each form, followed in words until it is credited, by the right people."""

import re
import uuid
from datetime import timedelta
from typing import Any

import pytest
from django.conf import LazySettings
from django.http import HttpResponse
from django.test import Client

from accounts.models import AuditEvent, Organisation, User
from billing.models import AutoTopUp, PaymentProvider, Promotion, RechargeAcceptance, RechargeAgreement, TopUpOrder
from billing.services import agreements, kept_methods, orders, payment_providers, wallets
from billing.services.orders.placing import LIFE
from newapi.kernel import clock
from newapi.kernel.money import NANO
from newapi.portal import top_ups
from tests import cast, paying
from tests.portal.conftest import LogIn

State = TopUpOrder.State
FORM = "/o/acme/top-up"


@pytest.fixture
def stripe(db: None) -> PaymentProvider:
    """Takes 5 to 10,000 USD."""
    return paying.provider()


@pytest.fixture
def browser_of_ada(acme: Organisation, ada: User, log_in: LogIn) -> Client:
    return log_in(ada)


def form(provider: PaymentProvider, /, **changed: Any) -> dict[str, Any]:
    """What the form sends."""
    asked = {"provider": provider.pk, "amount": "25.50", "purpose": "enterprise_client", "once": uuid.uuid4()}
    return {**asked, **changed}


def text(answer: HttpResponse) -> str:
    return " ".join(answer.content.decode().replace("&#x27;", "'").split())


def publish(version: str) -> RechargeAgreement:
    return agreements.publish(version=version, text=f"Terms of {version}.", actor=None, reason="Test set-up")


def test_the_form_leads_to_an_order_and_its_page(browser_of_ada: Client, stripe: PaymentProvider, ada: User) -> None:
    html = text(browser_of_ada.get(FORM))
    assert "Stripe takes 5.00 to 10,000.00 USD." in html
    assert 'value="25.00"' in html, "an amount is suggested"
    answer = browser_of_ada.post(FORM, form(stripe))
    order = TopUpOrder.objects.get()
    assert (answer.status_code, answer.url) == (302, f"/o/acme/top-ups/{order.reference}")
    assert (order.amount_minor, order.currency, order.purpose) == (2550, "USD", "enterprise_client")
    assert (order.user, order.kind, order.state) == (ada, "checkout", State.CREATED)
    page = text(browser_of_ada.get(answer.url))
    assert "Preparing the payment" in page
    assert "25.50 USD" in page


def test_a_form_that_is_sent_again_orders_nothing_more(browser_of_ada: Client, stripe: PaymentProvider) -> None:
    sent = form(stripe)
    answers = [browser_of_ada.post(FORM, sent) for _ in range(3)]
    assert {answer.url for answer in answers} == {f"/o/acme/top-ups/{TopUpOrder.objects.get().reference}"}


@pytest.mark.parametrize(
    ("wrong", "complaint"),
    [
        ({"amount": "4.99"}, "Stripe takes 5.00 to 10,000.00 USD."),
        ({"amount": "10000.01"}, "Stripe takes 5.00 to 10,000.00 USD."),
        ({"amount": "25.505"}, "USD has 2 decimals"),
        ({"amount": "-25"}, "Stripe takes 5.00"),
        ({"amount": "1e2"}, "plain decimal number"),
        ({"amount": "25,50"}, "plain decimal number"),
        ({"amount": "9999999999"}, "too large"),
        ({"amount": ""}, "This field is required"),
        ({"purpose": ""}, "This field is required"),
        ({"purpose": "party"}, "Select a valid choice"),
        ({"provider": "0"}, "Select a valid choice"),
        ({"once": "twice"}, "Enter a valid UUID"),
    ],
)
def test_wrong_input_is_explained_and_orders_nothing(
    browser_of_ada: Client, stripe: PaymentProvider, wrong: dict[str, str], complaint: str
) -> None:
    answer = browser_of_ada.post(FORM, form(stripe, **wrong))
    assert answer.status_code == 400
    page = text(answer)
    assert complaint in page
    for described in re.findall(r'aria-describedby="([^"]*)"', page):
        for name in described.split():
            assert f'id="{name}"' in page, "what a field is described by is there"
    if "purpose" in wrong:
        assert '<fieldset class="field" aria-describedby="id_purpose_error">' in page
    assert not TopUpOrder.objects.exists()


def test_amounts_follow_the_decimals_of_the_currency(ada: User, log_in: LogIn) -> None:
    cast.organisation("tokyo", owner=ada, funds_nano=0)
    Organisation.objects.filter(slug="tokyo").update(currency="JPY")
    provider = paying.provider("Yen", currency="JPY", least_minor=500, most_minor=1_000_000)
    client = log_in(ada)
    assert "USD" not in text(client.get("/o/tokyo/top-up")).replace("USD wallet", "")
    refused = client.post("/o/tokyo/top-up", form(provider, amount="500.5"))
    assert "JPY has 0 decimals" in text(refused)
    assert client.post("/o/tokyo/top-up", form(provider, amount="1500")).status_code == 302
    assert TopUpOrder.objects.get().amount_minor == 1500


def test_suggestions_are_round_and_within_the_range() -> None:
    def suggested(least: int, most: int, currency: str = "USD") -> list[str]:
        return top_ups.suggestions_for(PaymentProvider(least_minor=least, most_minor=most, currency=currency))

    assert suggested(500, 1_000_000) == ["10.00", "25.00", "50.00", "100.00", "250.00"]
    assert suggested(500, 3000) == ["10.00", "25.00"]
    assert suggested(700, 800) == ["7.00"]
    assert suggested(500, 100_000, "JPY") == ["1000", "2500", "5000", "10000", "25000"]


def test_of_several_providers_one_is_chosen(browser_of_ada: Client, stripe: PaymentProvider) -> None:
    other = paying.provider("Second", least_minor=100, most_minor=2000)
    paying.provider("Euro", currency="EUR")
    html = text(browser_of_ada.get(FORM))
    assert "1.00 to 20.00 USD" in html
    assert "Euro" not in html
    assert "Second takes 1.00 to 20.00 USD." in text(browser_of_ada.post(FORM, form(other)))
    assert browser_of_ada.post(FORM, form(other, amount="20")).status_code == 302
    assert TopUpOrder.objects.get().provider == other


# The recharge agreement


@pytest.mark.req("BIL-18")
def test_without_the_agreement_an_order_is_answered_409_and_told_what_to_do(
    browser_of_ada: Client, stripe: PaymentProvider, acme: Organisation, ada: User
) -> None:
    agreement = publish("2026-11")
    assert "Terms of 2026-11." in text(browser_of_ada.get(FORM))
    for lacking in ({}, {"agreement": agreement.pk}, {"is_agreed": "on"}, {"agreement": "0", "is_agreed": "on"}):
        answer = browser_of_ada.post(FORM, form(stripe, **lacking))
        assert answer.status_code == 409, lacking
        assert "Nothing was ordered: the recharge agreement is not accepted yet." in text(answer)
        assert 'value="25.50"' in text(answer), "what was filled in is kept"
    assert not TopUpOrder.objects.exists()
    assert not RechargeAcceptance.objects.exists()

    sent = form(stripe, agreement=agreement.pk, is_agreed="on")
    assert browser_of_ada.post(FORM, sent).status_code == 302
    accepted = RechargeAcceptance.objects.get()
    assert (accepted.agreement, accepted.organisation, accepted.user) == (agreement, acme, ada)
    assert accepted.address == "127.0.0.1"
    assert TopUpOrder.objects.get().agreement == accepted
    assert AuditEvent.objects.filter(action="recharge_agreement.accept", actor=ada).count() == 1


@pytest.mark.req("BIL-18")
def test_a_newer_version_is_accepted_anew_and_only_as_it_was_shown(
    browser_of_ada: Client, stripe: PaymentProvider
) -> None:
    first = publish("1")
    browser_of_ada.post(FORM, form(stripe, agreement=first.pk, is_agreed="on"))
    assert "I have read it" not in text(browser_of_ada.get(FORM))
    assert browser_of_ada.post(FORM, form(stripe)).status_code == 302

    second = publish("2")
    stale = browser_of_ada.post(FORM, form(stripe, agreement=first.pk, is_agreed="on"))
    assert stale.status_code == 409
    assert "Read version 2 below" in text(stale)
    assert browser_of_ada.post(FORM, form(stripe, agreement=second.pk, is_agreed="on")).status_code == 302
    assert TopUpOrder.objects.count() == 3


@pytest.mark.req("BIL-18")
def test_what_one_person_accepted_another_accepts_too(
    browser_of_ada: Client, people: dict[str, User], stripe: PaymentProvider, log_in: LogIn
) -> None:
    agreement = publish("1")
    browser_of_ada.post(FORM, form(stripe, agreement=agreement.pk, is_agreed="on"))
    assert log_in(people["billing"]).post(FORM, form(stripe)).status_code == 409


# What stands in the way


def test_without_a_provider_the_page_says_so(browser_of_ada: Client) -> None:
    for path in (FORM, "/o/acme/top-ups"):
        assert "No payment provider is set up" in text(browser_of_ada.get(path))
    paying.provider("Euro", currency="EUR")
    assert "Nobody takes payments in USD yet" in text(browser_of_ada.get(FORM))


def test_a_provider_that_was_switched_off_takes_nothing_more(browser_of_ada: Client, stripe: PaymentProvider) -> None:
    payment_providers.disable(provider=stripe, actor=None, reason="Test")
    answer = browser_of_ada.post(FORM, form(stripe))
    assert answer.status_code == 409
    assert "No payment provider is set up" in text(answer)
    assert not TopUpOrder.objects.exists()


@pytest.mark.req("BIL-20")
def test_a_frozen_wallet_takes_nothing_in(browser_of_ada: Client, stripe: PaymentProvider, acme: Organisation) -> None:
    wallets.freeze(organisation=acme, actor=None, reason="Contract ended")
    assert "The wallet is frozen" in text(browser_of_ada.get(FORM))
    assert browser_of_ada.post(FORM, form(stripe)).status_code == 409
    assert not TopUpOrder.objects.exists()


@pytest.mark.req("BIL-04")
def test_an_internal_platform_sells_nothing(
    browser_of_ada: Client, stripe: PaymentProvider, settings: LazySettings
) -> None:
    settings.TOP_UPS_INTERNAL = True
    assert "Nothing is sold here" in text(browser_of_ada.get(FORM))
    assert browser_of_ada.post(FORM, form(stripe)).status_code == 409
    assert not TopUpOrder.objects.exists()


def test_the_twenty_first_order_within_an_hour_is_refused(browser_of_ada: Client, stripe: PaymentProvider) -> None:
    wrong = form(stripe, amount="none")
    answers = [browser_of_ada.post(FORM, wrong).status_code for _ in range(21)]
    assert answers == [400] * 20 + [429]
    assert browser_of_ada.get(FORM).status_code == 200


@pytest.mark.req("BIL-15")
def test_the_sixth_order_within_an_hour_waits_for_a_person_and_the_page_says_so(
    browser_of_ada: Client, stripe: PaymentProvider
) -> None:
    answers = [browser_of_ada.post(FORM, form(stripe)) for _ in range(6)]
    states = list(TopUpOrder.objects.order_by("pk").values_list("state", flat=True))
    assert states == [State.CREATED] * 5 + [State.HELD]
    page = text(browser_of_ada.get(answers[-1].url))
    assert "A person looks at it first" in page
    assert "Nothing has been paid yet" in page
    with clock.shifted(86_400):
        orders.release(order=TopUpOrder.objects.get(state=State.HELD), actor=None, reason="Known")
        assert "Preparing the payment" in text(browser_of_ada.get(answers[-1].url)), "it counts from the release"
    with clock.shifted(86_400 + 120):
        assert "Taking longer than usual" in text(browser_of_ada.get(answers[-1].url))


# Promotions


def test_a_bonus_that_runs_is_shown_and_ordered_with(
    browser_of_ada: Client, stripe: PaymentProvider, root: User
) -> None:
    promotion = Promotion.objects.create(
        name="Autumn",
        kind=Promotion.Kind.TOP_UP,
        currency="USD",
        starts_at=clock.now() - timedelta(days=1),
        ends_at=clock.now() + timedelta(days=1),
        bonus_percent=10,
        budget_nano=100 * NANO,
        reviewed_by=root,
        reviewed_at=clock.now(),
        review_document="Opinion 7",
    )
    assert "10 % more with “Autumn”" in text(browser_of_ada.get(FORM))
    browser_of_ada.post(FORM, form(stripe))
    assert TopUpOrder.objects.get().promotion == promotion
    Promotion.objects.update(ends_at=clock.now())
    assert "Autumn" not in text(browser_of_ada.get(FORM))


# The order's page


STATES = {
    State.HELD: ("A person looks at it first", "There is nothing to do"),
    State.REJECTED: ("Not accepted", "Ask the platform's administrators"),
    State.CREATED: ("Preparing the payment", "That takes a few seconds"),
    State.OPEN: ("Waiting for your payment", "Do not pay twice"),
    State.EXPIRED: ("Expired", "Order again"),
    State.FAILED: ("The payment failed", "Try again"),
    State.MISMATCH: ("Paid otherwise than ordered", "Do not pay again"),
    State.CREDITED: ("Paid and credited", "from the next call on"),
}


@pytest.mark.parametrize("state", STATES)
def test_every_state_is_explained_with_what_to_do(
    browser_of_ada: Client, acme: Organisation, ada: User, stripe: PaymentProvider, state: str
) -> None:
    order = paying.order(acme, stripe, ada, state=state, expires_at=clock.now() + LIFE)
    page = text(browser_of_ada.get(f"/o/acme/top-ups/{order.reference}"))
    for words in STATES[State(state)]:
        assert words in page
    moves = state in (State.HELD, State.CREATED, State.OPEN)
    assert ("data-watch" in page, "top_up.js" in page, "Look again" in page) == (moves, moves, moves)
    assert ("Order again</a>" in page) == (state in (State.EXPIRED, State.FAILED))
    assert ("https://pay.example/s/1" in page) == (state == State.OPEN)


def test_a_credited_order_shows_the_new_balance_and_a_receipt(
    browser_of_ada: Client, acme: Organisation, ada: User, stripe: PaymentProvider
) -> None:
    order = paying.order(acme, stripe, ada, state=State.CREDITED)
    page = text(browser_of_ada.get(f"/o/acme/top-ups/{order.reference}"))
    assert "125.00" in page
    for number in (order.reference, str(order.transaction_id), order.payment_reference):
        assert number in page


def test_what_went_back_is_told(browser_of_ada: Client, acme: Organisation, ada: User, stripe: PaymentProvider) -> None:
    refunded = paying.order(acme, stripe, ada, state=State.CREDITED, refunded_minor=500)
    disputed = paying.order(acme, stripe, ada, state=State.CREDITED, is_disputed=True)
    assert "5.00 USD of it went back" in text(browser_of_ada.get(f"/o/acme/top-ups/{refunded.reference}"))
    assert "Paid, and disputed" in text(browser_of_ada.get(f"/o/acme/top-ups/{disputed.reference}"))
    assert "5.00 USD went back" in text(browser_of_ada.get("/o/acme/top-ups"))


@pytest.mark.parametrize("url", ["javascript:alert(1)", "data:text/html,x", "//pay.example", ""])
def test_only_addresses_of_the_web_are_led_to(
    browser_of_ada: Client, acme: Organisation, ada: User, stripe: PaymentProvider, url: str
) -> None:
    order = paying.order(acme, stripe, ada, pay_url=url)
    page = text(browser_of_ada.get(f"/o/acme/top-ups/{order.reference}"))
    assert "data-pay" not in page
    assert not url or url not in page


def test_the_script_is_told_whether_the_page_would_say_something_else(
    browser_of_ada: Client, acme: Organisation, ada: User, stripe: PaymentProvider
) -> None:
    order = paying.order(acme, stripe, ada, state=State.CREATED, expires_at=clock.now() + LIFE)
    path = f"/o/acme/top-ups/{order.reference}"
    page = text(browser_of_ada.get(path))
    assert f'data-watch="{path}/state"' in page
    answer = browser_of_ada.get(f"{path}/state")
    assert "no-store" in answer["Cache-Control"]
    assert answer.json()["state"] == "created"
    assert f'data-seen="{answer.json()["fingerprint"]}"' in page
    assert browser_of_ada.get(f"{path}/state").json() == answer.json()
    with clock.shifted(120):
        slow = browser_of_ada.get(f"{path}/state").json()
        assert slow["fingerprint"] != answer.json()["fingerprint"]
        assert "Taking longer than usual" in text(browser_of_ada.get(path))
    TopUpOrder.objects.update(state=State.OPEN, pay_url="https://pay.example/s/1")
    opened = browser_of_ada.get(f"{path}/state").json()
    assert len({one["fingerprint"] for one in (answer.json(), slow, opened)}) == 3
    assert "pay.example" not in str(opened)


def test_an_automatic_order_is_being_charged_until_it_is_paid(
    browser_of_ada: Client, acme: Organisation, ada: User, stripe: PaymentProvider
) -> None:
    for state in (State.CREATED, State.OPEN):
        order = paying.order(acme, stripe, ada, state=state, kind="automatic", pay_url="")
        page = browser_of_ada.get(f"/o/acme/top-ups/{order.reference}")
        assert page.context["steps"][:3] == [("Ordered", "done"), ("Being charged", "now"), ("Paid", "later")]
        assert "Waiting for your payment" not in text(page)


def test_a_list_that_cannot_grow_says_why(
    browser_of_ada: Client, acme: Organisation, ada: User, stripe: PaymentProvider
) -> None:
    order = paying.order(acme, stripe, ada, state=State.CREDITED)
    wallets.freeze(organisation=acme, actor=None, reason="Contract ended")
    page = text(browser_of_ada.get("/o/acme/top-ups"))
    assert "The wallet is frozen" in page
    assert order.reference in page


def test_orders_are_listed_newest_first_and_paged(
    browser_of_ada: Client, acme: Organisation, ada: User, stripe: PaymentProvider
) -> None:
    assert "Nothing was topped up yet" in text(browser_of_ada.get("/o/acme/top-ups"))
    paid = paying.order(acme, stripe, ada, state=State.CREDITED)
    for _ in range(50):
        paying.order(acme, stripe, ada, state=State.EXPIRED)
    newest = browser_of_ada.get("/o/acme/top-ups")
    older = browser_of_ada.get("/o/acme/top-ups?page=2")
    assert (len(newest.context["rows"]), len(older.context["rows"])) == (50, 1)
    assert str(paid.transaction_id) in text(older)
    assert "Paid and credited" in text(older)


# Who may


@pytest.mark.req("ACC-17", "ACC-38")
def test_only_the_right_roles_top_up(
    people: dict[str, User], acme: Organisation, ada: User, stripe: PaymentProvider, log_in: LogIn
) -> None:
    order = paying.order(acme, stripe, ada)
    kept_methods.keep(order=order, customer_reference="cus_1", method_reference="pm_1")
    allowed = {"owner": 200, "admin": 200, "billing": 200, "member": 403, "viewer": 403, "stranger": 404}
    followed = f"/o/acme/top-ups/{order.reference}"
    automatic = "/o/acme/top-ups/automatic"
    for path in (FORM, "/o/acme/top-ups", followed, f"{followed}/state", automatic, f"{automatic}/off"):
        answers = {role: log_in(user).get(path).status_code for role, user in people.items()}
        assert answers == allowed, path
        assert Client().get(path).status_code == 302
    for role in ("member", "viewer", "stranger"):
        client = log_in(people[role])
        assert client.post(FORM, form(stripe)).status_code == allowed[role]
        assert client.post(f"{automatic}/off").status_code == allowed[role]
    assert TopUpOrder.objects.count() == 1
    html = {role: text(log_in(people[role]).get("/o/acme/")) for role in ("billing", "member")}
    assert ["/o/acme/top-ups" in html[role] for role in html] == [True, False]


@pytest.mark.req("ACC-38")
def test_orders_of_another_organisation_do_not_exist(
    browser_of_ada: Client, globex: Organisation, gus: User, stripe: PaymentProvider
) -> None:
    foreign = paying.order(globex, stripe, gus)
    for path in (f"/o/acme/top-ups/{foreign.reference}", f"/o/acme/top-ups/{foreign.reference}/state"):
        assert browser_of_ada.get(path).status_code == 404
    assert foreign.reference not in text(browser_of_ada.get("/o/acme/top-ups"))


def test_nothing_is_ordered_without_the_csrf_token(acme: Organisation, ada: User, stripe: PaymentProvider) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(ada, backend="django.contrib.auth.backends.ModelBackend")
    assert client.post(FORM, form(stripe)).status_code == 403
    assert not TopUpOrder.objects.exists()


# Automatic top-ups


AUTOMATIC = "/o/acme/top-ups/automatic"
SETTINGS = {"threshold": "20", "amount": "50", "most_a_month": "3"}


@pytest.fixture
def kept(acme: Organisation, ada: User, stripe: PaymentProvider) -> AutoTopUp:
    """A card that was kept with a checkout."""
    order = paying.order(acme, stripe, ada, state=State.CREDITED, saves_method=True)
    names = {"customer_reference": "cus_1", "method_reference": "pm_1", "method_text": "visa •••• 4242"}
    return kept_methods.keep(order=order, **names)


def test_a_method_is_kept_only_when_asked_for(browser_of_ada: Client, stripe: PaymentProvider) -> None:
    browser_of_ada.post(FORM, form(stripe))
    browser_of_ada.post(FORM, form(stripe, saves_method="on"))
    assert list(TopUpOrder.objects.order_by("pk").values_list("saves_method", flat=True)) == [False, True]


def test_without_a_kept_method_the_page_says_how_to_keep_one(browser_of_ada: Client, stripe: PaymentProvider) -> None:
    assert "No means of payment is kept" in text(browser_of_ada.get(AUTOMATIC))
    assert browser_of_ada.post(AUTOMATIC, SETTINGS).status_code == 409
    assert browser_of_ada.get(f"{AUTOMATIC}/off").status_code == 404


def test_a_kept_method_charges_nothing_before_a_threshold_is_set(
    browser_of_ada: Client, kept: AutoTopUp, ada: User
) -> None:
    assert not kept.is_active
    page = text(browser_of_ada.get(AUTOMATIC))
    assert "visa •••• 4242" in page
    assert "Switch on" in page
    answer = browser_of_ada.post(AUTOMATIC, SETTINGS, follow=True)
    assert "Automatic top-ups are on." in text(answer)
    kept.refresh_from_db()
    assert (kept.is_active, kept.threshold_nano, kept.amount_minor, kept.most_a_month) == (True, 20 * NANO, 5000, 3)
    event = AuditEvent.objects.get(action="auto_top_up.set_up")
    assert (event.actor, event.address) == (ada, "127.0.0.1")
    assert 'value="20.00"' in text(browser_of_ada.get(AUTOMATIC))


@pytest.mark.parametrize(
    ("wrong", "complaint"),
    [
        ({"threshold": "0"}, "More than 0"),
        ({"threshold": "-1"}, "More than 0"),
        ({"threshold": "9999999999"}, "too large"),
        ({"amount": "1"}, "Stripe takes 5.00"),
        ({"amount": "50.001"}, "USD has 2 decimals"),
        ({"most_a_month": "0"}, "greater than or equal to 1"),
        ({"most_a_month": "101"}, "less than or equal to 100"),
    ],
)
def test_wrong_settings_are_explained_and_change_nothing(
    browser_of_ada: Client, kept: AutoTopUp, wrong: dict[str, str], complaint: str
) -> None:
    answer = browser_of_ada.post(AUTOMATIC, {**SETTINGS, **wrong})
    assert answer.status_code == 400
    assert complaint in text(answer)
    kept.refresh_from_db()
    assert not kept.is_active


@pytest.mark.req("BIL-18")
def test_automatic_top_ups_need_the_agreement_too(browser_of_ada: Client, kept: AutoTopUp) -> None:
    agreement = publish("1")
    assert "Terms of 1." in text(browser_of_ada.get(AUTOMATIC))
    refused = browser_of_ada.post(AUTOMATIC, SETTINGS)
    assert refused.status_code == 409
    assert "Nothing was saved: the recharge agreement is not accepted yet." in text(refused)
    kept.refresh_from_db()
    assert not kept.is_active
    assert browser_of_ada.post(AUTOMATIC, {**SETTINGS, "agreement": agreement.pk, "is_agreed": "on"}).status_code == 302
    kept.refresh_from_db()
    assert kept.is_active


def test_they_are_switched_off_after_asking(browser_of_ada: Client, kept: AutoTopUp) -> None:
    browser_of_ada.post(AUTOMATIC, SETTINGS)
    assert "visa •••• 4242 is not charged any more" in text(browser_of_ada.get(f"{AUTOMATIC}/off"))
    kept.refresh_from_db()
    assert kept.is_active, "asking changes nothing"
    answer = browser_of_ada.post(f"{AUTOMATIC}/off", {"note": "Too eager"}, follow=True)
    assert "Automatic top-ups are off." in text(answer)
    kept.refresh_from_db()
    assert not kept.is_active
    assert AuditEvent.objects.get(action="auto_top_up.switch_off").reason == "By the member in the portal: Too eager"
    assert re.search(r"Automatic top-ups: Off", text(browser_of_ada.get("/o/acme/top-ups")))
