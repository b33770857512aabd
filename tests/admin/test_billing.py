"""Money in the admin: it moves by services, once, with a reason; nothing of it is a field."""

from collections.abc import Callable
from datetime import timedelta
from html import unescape

import pytest
from django.test import Client

from accounts.models import AuditEvent, Organisation, User
from billing.models import LedgerTransaction, PriceVersion, UsageEvent, Wallet
from channels.models import Model
from newapi.kernel import clock, ids, money
from tests import cast
from tests.admin import house as houses
from tests.admin import pages
from tests.admin.house import House

CREDIT = {"kind": "grant", "purpose": "enterprise_client", "priority": "50", "is_checked": "on"}
DEBIT = {"purpose": "enterprise_client", "is_checked": "on"}
PRICE = {"currency": "EUR", "input_nano": "2.50", "output_nano": "10", "per_units": "1000000", "price_group": "default"}


def test_a_wallet_is_credited_with_a_reason(boss: Client, root: User, acme: Organisation) -> None:
    wallet = acme.wallets.get()
    response = pages.send(boss, pages.act(wallet, "credit"), amount_nano="12.345", **CREDIT)
    assert response.status_code == 302
    wallet.refresh_from_db()
    assert wallet.balance_nano == 112_345_000_000
    booked = LedgerTransaction.objects.get(kind="grant")
    assert (booked.actor, booked.reason) == (root, pages.REASON)
    event = AuditEvent.objects.filter(action="wallet.credit").latest("pk")
    assert (event.actor, event.reason, event.organisation) == (root, pages.REASON, acme)


@pytest.mark.req("BIL-11")
def test_a_page_that_is_sent_twice_credits_once(boss: Client, acme: Organisation) -> None:
    wallet = acme.wallets.get()
    url = pages.act(wallet, "credit")
    page = {**pages.fields(boss, url), **CREDIT, "amount_nano": "5", "reason": pages.REASON}
    assert [boss.post(url, page).status_code for _ in range(3)] == [302, 302, 302]
    wallet.refresh_from_db()
    assert wallet.balance_nano == 105 * money.NANO
    again = boss.post(url, {**page, "amount_nano": "6"})
    assert "has been sent before, with another amount" in pages.text(again)
    wallet.refresh_from_db()
    assert wallet.balance_nano == 105 * money.NANO


@pytest.mark.parametrize(
    "wrong",
    [
        {"amount_nano": "0"},
        {"amount_nano": "-5"},
        {"amount_nano": "five"},
        {"amount_nano": "0.0000000001"},
        {"amount_nano": "1e3"},
        {"amount_nano": "99999999999"},
        {"reason": ""},
        {"is_checked": ""},
        {"kind": "usage"},
        {"once": "nonsense"},
        {"purpose": ""},
        {"purpose": "because"},
        {"priority": "101"},
    ],
)
def test_a_wrong_credit_changes_nothing(boss: Client, acme: Organisation, wrong: dict[str, str]) -> None:
    wallet = acme.wallets.get()
    sent = {**CREDIT, "amount_nano": "5", **wrong}
    assert pages.send(boss, pages.act(wallet, "credit"), **sent).status_code == 200
    wallet.refresh_from_db()
    assert wallet.balance_nano == 100 * money.NANO


def test_a_correction_takes_no_more_than_there_is(boss: Client, acme: Organisation) -> None:
    wallet = acme.wallets.get()
    short = pages.send(boss, pages.act(wallet, "debit"), amount_nano="100.01", **DEBIT)
    assert "are needed; balance and credit limit" in pages.text(short)
    assert pages.send(boss, pages.act(wallet, "debit"), amount_nano="40", **DEBIT).status_code == 302
    wallet.refresh_from_db()
    assert wallet.balance_nano == 60 * money.NANO


@pytest.mark.req("BIL-02")
def test_a_credit_limit_is_set(boss: Client, acme: Organisation) -> None:
    wallet = acme.wallets.get()
    assert pages.fields(boss, pages.act(wallet, "set_credit_limit"))["credit_limit_nano"] == "0.00"
    assert pages.send(boss, pages.act(wallet, "set_credit_limit"), credit_limit_nano="250").status_code == 302
    wallet.refresh_from_db()
    assert wallet.credit_limit_nano == 250 * money.NANO
    assert AuditEvent.objects.get(action="wallet.set_credit_limit").reason == pages.REASON


@pytest.mark.parametrize("action", ["credit", "debit", "set_credit_limit"])
def test_money_needs_the_right(staff: Callable[..., Client], acme: Organisation, action: str) -> None:
    wallet = acme.wallets.get()
    viewer = staff("billing.view_wallet", "accounts.view_organisation")
    sent = {**CREDIT, "amount_nano": "5", "credit_limit_nano": "9", "reason": pages.REASON}
    assert viewer.get(pages.act(wallet, action)).status_code == 403
    assert viewer.post(pages.act(wallet, action), {**sent, "once": str(ids.uuid7())}).status_code == 403
    before = wallet.version
    wallet.refresh_from_db()
    assert wallet.version == before
    assert "Credit wallet" not in pages.text(viewer.get(pages.change(acme)))


def test_the_organisations_page_leads_to_its_wallet(boss: Client, acme: Organisation) -> None:
    page = pages.text(boss.get(pages.change(acme)))
    assert "100.00 USD" in page
    assert pages.act(acme.wallets.get(), "credit") in page


def test_a_transaction_is_reversed_once(boss: Client, acme: Organisation) -> None:
    booked = LedgerTransaction.objects.get()
    assert pages.send(boss, pages.act(booked, "reverse")).status_code == 302
    pages.send(boss, pages.act(booked, "reverse"))
    assert acme.wallets.get().balance_nano == 0
    assert LedgerTransaction.objects.count() == 2


@pytest.mark.req("BIL-08")
def test_a_price_is_previewed_and_published(boss: Client, root: User, chat_model: Model) -> None:
    url = pages.add(PriceVersion)
    preview = pages.send(boss, url, model=chat_model.pk, **PRICE, _preview="")
    assert "12.50 EUR" in pages.text(preview)
    assert not PriceVersion.objects.filter(currency="EUR").exists()
    assert pages.send(boss, url, model=chat_model.pk, **PRICE).status_code == 302
    made = PriceVersion.objects.get(currency="EUR")
    assert (made.input_nano, made.output_nano, made.cached_input_nano) == (2_500_000_000, 10 * money.NANO, None)
    assert made.created_by == root
    assert AuditEvent.objects.filter(action="price.publish", reason=pages.REASON).exists()


@pytest.mark.parametrize(
    ("wrong", "complaint"),
    [
        ({"input_nano": "", "output_nano": ""}, "Every rate is zero"),
        ({"is_free": "on"}, "free or withdrawn version has no rates"),
        ({"effective_from_0": "2020-01-01", "effective_from_1": "00:00:00"}, "never applies to the past"),
        ({"input_nano": "-1"}, "At least 0"),
        ({"input_nano": "2000000"}, "At most 1000000"),
        ({"currency": "eur"}, "Three capital letters"),
        ({"per_units": "7"}, "not one of the available choices"),
    ],
)
def test_a_wrong_price_is_not_published(boss: Client, chat_model: Model, wrong: dict[str, str], complaint: str) -> None:
    response = pages.send(boss, pages.add(PriceVersion), model=chat_model.pk, **{**PRICE, **wrong})
    assert complaint in unescape(pages.text(response))
    assert not PriceVersion.objects.filter(currency="EUR").exists()


def test_publishing_needs_the_right(staff: Callable[..., Client], chat_model: Model) -> None:
    viewer = staff("billing.view_priceversion", "channels.view_model")
    assert viewer.get(pages.add(PriceVersion)).status_code == 403
    sent = {"model": chat_model.pk, **PRICE, "reason": pages.REASON}
    assert viewer.post(pages.add(PriceVersion), sent).status_code == 403
    assert PriceVersion.objects.count() == 1


@pytest.mark.req("BIL-08")
def test_the_list_tells_what_is_in_force_from_what_is_over_and_to_come(boss: Client, chat_model: Model) -> None:
    with clock.shifted(60):
        cast.price(chat_model, input_nano=3)
        later = clock.now() + timedelta(days=15)
        pages.send(
            boss,
            pages.add(PriceVersion),
            model=chat_model.pk,
            **{**PRICE, "currency": "USD"},
            effective_from_0=f"{later:%Y-%m-%d}",
            effective_from_1=f"{later:%H:%M:%S}",
        )
        listed = {
            state: pages.text(boss.get(f"{pages.list_of(PriceVersion)}?state={state}"))
            for state in ("in_force", "scheduled", "past")
        }
    assert "0.000000003 in" in listed["in_force"]
    assert "2.50 in" in listed["scheduled"]
    assert "2.00 in" in listed["past"]
    assert "2.00 in" not in listed["in_force"]


@pytest.mark.req("GW-14")
def test_calls_are_found_by_their_exact_request_id(boss: Client, house: House) -> None:
    other = houses.usage(house.api_key, house.model, house.channel, house.price)
    found = pages.text(boss.get(f"{pages.list_of(UsageEvent)}?q={other.pk}"))
    assert str(other.pk) in found
    assert str(house.usage.pk) not in found
    assert str(other.pk) not in pages.text(boss.get(f"{pages.list_of(UsageEvent)}?q={str(other.pk)[:8]}"))


def retried(house: House) -> UsageEvent:
    """A call of which two attempts failed, with images, from Germany, for which another model stood in."""
    return houses.usage(
        house.api_key,
        house.model,
        house.channel,
        house.price,
        attempts=3,
        failed_attempts=[
            {"channel": house.channel.pk, "key": 17, "status": 503, "outcome": "error", "ms": 1234},
            {"channel": 999_999, "key": 18, "status": None, "outcome": "timeout", "ms": 30_000},
        ],
        asked_model=house.model,
        country="DE",
        modality="image",
        source="api",
        domain="HD-MED",
        is_test=False,
    )


@pytest.mark.parametrize(
    ("query", "is_found"),
    [
        ("organisation__id__exact={organisation}", True),
        ("organisation__id__exact=999999", False),
        ("model__id__exact={model}", True),
        ("channel__id__exact={channel}", True),
        ("api_key__id__exact={api_key}", True),
        ("outcome__exact=ok", True),
        ("outcome__exact=lost", False),
        ("answer=ok", True),
        ("answer=server", False),
        ("since=1h", True),
        ("since=24h", True),
        ("country=DE", True),
        ("country=FR", False),
        ("modality__exact=image", True),
        ("modality__exact=text", False),
        ("source__exact=api", True),
        ("source__exact=playground", False),
        ("is_test__exact=1", False),
        ("is_test__exact=0", True),
        ("help=retried", True),
        ("help=stood_in", True),
    ],
)
@pytest.mark.req("GW-14")
def test_calls_are_filtered(boss: Client, house: House, query: str, is_found: bool) -> None:
    ids_of = {name: getattr(house, name).pk for name in ("organisation", "model", "channel", "api_key")}
    call = retried(house)
    page = pages.text(boss.get(f"{pages.list_of(UsageEvent)}?{query.format(**ids_of)}"))
    assert (str(call.pk) in page) is is_found


def test_old_calls_are_left_out_by_age(boss: Client, house: House) -> None:
    with clock.shifted(-3 * 86_400):
        old = houses.usage(house.api_key, house.model, house.channel, house.price)
    page = pages.text(boss.get(f"{pages.list_of(UsageEvent)}?since=24h"))
    assert str(old.pk) not in page
    assert str(old.pk) in pages.text(boss.get(f"{pages.list_of(UsageEvent)}?since=7d"))


def test_a_call_shows_its_cost_by_component(boss: Client, house: House) -> None:
    page = pages.text(boss.get(pages.change(house.usage)))
    assert "input: 1,000 tokens, 0.0020 USD" in page
    assert "output: 500 tokens, 0.0040 USD" in page
    assert "0.0060\u00a0USD" in page


@pytest.mark.req("GW-14", "GW-19")
def test_a_call_shows_what_it_was_and_every_attempt_that_failed(boss: Client, house: House) -> None:
    page = unescape(pages.text(boss.get(pages.change(retried(house)))))
    assert f"1. {house.channel.name} (key 17): 503, error, 1,234 ms" in page
    assert "2. a channel that is gone (key 18): no status, timeout, 30,000 ms" in page
    for told in ("With images", "API", "HD-MED", ">DE<"):
        assert told in page, told
    older = unescape(pages.text(boss.get(pages.change(house.usage))))
    assert "no status" not in older
    assert house.usage.failed_attempts is None


def test_nothing_of_a_call_can_be_written(boss: Client, house: House) -> None:
    call = retried(house)
    answer = boss.post(pages.change(call), {"country": "FR", "is_test": "on", "reason": pages.REASON})
    assert answer.status_code == 403
    call.refresh_from_db()
    assert (call.country, call.is_test) == ("DE", False)


def test_an_organisation_without_a_wallet_can_get_one(boss: Client, gus: User) -> None:
    poor = cast.organisation("poor", owner=gus, funds_nano=0)
    assert "none yet: calls are refused" in pages.text(boss.get(pages.change(poor)))
    assert pages.send(boss, pages.add(Wallet), organisation=poor.pk).status_code == 302
    assert "It has a wallet already" in pages.text(pages.send(boss, pages.add(Wallet), organisation=poor.pk))
    assert Wallet.objects.filter(organisation=poor).count() == 1
