"""Prices in the admin: every bucket, tools, tiers and places; a preview of what calls cost and of what gets dearer."""

from collections.abc import Callable
from datetime import timedelta
from html import unescape
from typing import Any

import pytest
from django.test import Client

from accounts.models import Organisation
from billing.models import PriceVersion, UsageEvent
from billing.price_texts import read_tiers, read_tools, write_tiers, write_tools
from billing.pricing import Costs, Tokens
from billing.services import booking, prices
from channels.models import Model
from newapi.kernel import clock
from newapi.kernel.money import NANO
from tests import cast
from tests.admin import pages
from tests.billing import calls

WHOLE: dict[str, Any] = {
    "currency": "EUR",
    "price_group": "default",
    "region": "DE",
    "per_units": "1000000",
    "input_nano": "2",
    "cached_input_nano": "0.2",
    "output_nano": "8",
    "cache_write_1h": "3.5",
    "input_audio": "40",
    "output_audio": "80",
    "tools": "web_search 0.01\ncode_interpreter: 0.03",
    "tiers": "batch: input 1, output 4\nabove 200,000: input 4, output 12\npriority above 200000: input 8, output 24",
}
USD = {"currency": "USD", "price_group": "default", "per_units": "1000000"}


@pytest.mark.req("BIL-08", "BIL-10")
def test_a_price_with_every_kind_of_rate_is_previewed_and_published(boss: Client, chat_model: Model) -> None:
    url = pages.add(PriceVersion)
    preview = unescape(pages.text(pages.send(boss, url, model=chat_model.pk, **WHOLE, _preview="")))
    for call, cost in (
        ("A short question: 500 tokens in, 200 out", "0.0026 EUR"),
        ("A call of 200,001 tokens in, 1,000 out", "0.81 EUR"),
        ("The long document, served as batch", "0.054 EUR"),
        ("A call of 200,001 tokens in, 1,000 out, served as priority", "1.62 EUR"),
        ("Audio input: 10,000 tokens", "0.40 EUR"),
        ("A short question with one use of web search", "0.013 EUR"),
    ):
        assert call in preview
        assert cost in preview
    assert not PriceVersion.objects.filter(currency="EUR").exists()
    assert pages.send(boss, url, model=chat_model.pk, **WHOLE).status_code == 302
    made = PriceVersion.objects.get(currency="EUR")
    assert made.region == "DE"
    assert made.extra_rates == {
        "cache_write_1h": 3_500_000_000,
        "input_audio": 40 * NANO,
        "output_audio": 80 * NANO,
        "tool:web_search": 10_000_000,
        "tool:code_interpreter": 30_000_000,
    }
    assert made.tiers[1] == {"service": "", "above_tokens": 200_000, "rates": {"input": 4 * NANO, "output": 12 * NANO}}
    page = unescape(pages.text(boss.get(pages.change(made))))
    assert "Input (priority, above 200,000 tokens)" in page
    assert "Each use of web search" in page
    assert "2 tools, 3 tiers" in pages.text(boss.get(pages.list_of(PriceVersion)))


@pytest.mark.req("BIL-09")
def test_a_raise_without_notice_is_refused_and_the_preview_says_from_when_it_may_hold(
    boss: Client, chat_model: Model
) -> None:
    url, sent = pages.add(PriceVersion), {**USD, "model": chat_model.pk, "input_nano": "3", "output_nano": "8"}
    preview = unescape(pages.text(pages.send(boss, url, **sent, _preview="")))
    assert "This needs notice" in preview
    assert f"It can hold from {clock.now() + timedelta(days=14):%Y-%m-%d}" in preview
    refused = unescape(pages.text(pages.send(boss, url, **sent)))
    assert "This raises input" in refused
    assert "14 days of notice" in refused
    assert chat_model.prices.count() == 1
    later = clock.now() + timedelta(days=15)
    sent |= {"effective_from_0": f"{later:%Y-%m-%d}", "effective_from_1": f"{later:%H:%M:%S}"}
    assert "late enough" in pages.text(pages.send(boss, url, **sent, _preview=""))
    assert pages.send(boss, url, **sent).status_code == 302
    assert chat_model.prices.count() == 2


def test_the_next_version_begins_as_the_one_before_it(boss: Client, chat_model: Model) -> None:
    pages.send(boss, pages.add(PriceVersion), model=chat_model.pk, **WHOLE)
    made = PriceVersion.objects.get(currency="EUR")
    link = f"{pages.add(PriceVersion)}?like={made.pk}"
    assert link in unescape(pages.text(boss.get(pages.change(made))))
    form = boss.get(link).context["form"]
    shown = {name: form[name].value() for name in form.fields}
    assert (shown["region"], shown["input_nano"], shown["cache_write_nano"], shown["input_audio"]) == (
        "DE",
        "2.00",
        None,
        "40.00",
    )
    page = unescape(pages.text(boss.get(link)))
    assert "code_interpreter 0.03\nweb_search 0.01" in page
    assert "above 200000: input 4.00, output 12.00" in page
    assert boss.get(f"{pages.add(PriceVersion)}?like=999999").status_code == 200
    assert boss.get(f"{pages.add(PriceVersion)}?like=x").status_code == 200


@pytest.mark.parametrize(
    ("wrong", "complaint"),
    [
        ({"tools": "web_search"}, "a tool and what one use costs"),
        ({"tools": "web_search free"}, "Line 1: “free”: an amount is a plain decimal number"),
        ({"tools": "web_search 1\nweb_search 2"}, "Line 2: web_search is there twice"),
        ({"tools": "Web Search 1"}, "no bucket “tool:Web Search”"),
        ({"tools": "web_search 1001"}, "from 0 to 1000.00"),
        ({"tiers": "flex input 1"}, "Line 1: a tier, a colon and its rates"),
        ({"tiers": ": input 1"}, "a tier, a colon and its rates"),
        ({"tiers": "above: input 1"}, "a tier, a colon and its rates"),
        ({"tiers": "flex: input"}, "no bucket with its rate"),
        ({"tiers": "flex: input 1, input 2"}, "is there twice"),
        ({"tiers": "flex: input one"}, "Line 1: “one”"),
        ({"tiers": "flex: smell 1"}, "no bucket “smell”"),
        ({"tiers": "flex:"}, "A tier without rates says nothing"),
        ({"tiers": "default: input 1"}, "no tier of it"),
        ({"tiers": "flex: input 1\nflex: input 2"}, "Two tiers are for the same calls"),
        ({"tiers": "\n".join(["flex: input 1"] * 65)}, "At most 64 lines"),
        ({"region": "de"}, "Two capital letters"),
        ({"input_audio": "-1"}, "At least 0"),
    ],
)
def test_a_wrong_line_is_named_and_nothing_is_published(
    boss: Client, chat_model: Model, wrong: dict[str, str], complaint: str
) -> None:
    for button in ({"_preview": ""}, {}):
        response = pages.send(boss, pages.add(PriceVersion), model=chat_model.pk, **{**WHOLE, **wrong}, **button)
        assert complaint in unescape(pages.text(response))
    assert not PriceVersion.objects.filter(currency="EUR").exists()


def test_what_is_written_is_read_back() -> None:
    tiers = read_tiers("flex: input 1.5, per_call 0.001\n\n  priority  above 200_000: output 24, tool:web_search 0.02 ")
    assert tiers == [
        {"service": "flex", "above_tokens": 0, "rates": {"input": 1_500_000_000, "per_call": 1_000_000}},
        {
            "service": "priority",
            "above_tokens": 200_000,
            "rates": {"output": 24 * NANO, "tool:web_search": 20_000_000},
        },
    ]
    assert read_tiers(write_tiers(tiers)) == tiers
    tools = read_tools("web_search 0.01\nfile_search: 0.0025")
    assert tools == {"tool:web_search": 10_000_000, "tool:file_search": 2_500_000}
    assert read_tools(write_tools({**tools, "input_audio": 7})) == tools


@pytest.mark.req("BIL-10")
def test_a_call_shows_its_rare_buckets_its_place_its_tier_and_what_was_not_believed(
    boss: Client, acme: Organisation, chat_model: Model
) -> None:
    record = calls.answered(
        calls.line(acme, chat_model),
        tokens=Tokens(900, 0, 0, 100, 0, {"input_audio": 100, "tool:web_search": 2, "claim:cached_input": 40}),
        costs=Costs(1_800_000, 0, 0, 800_000, 0, 0, {"input_audio": 4_000_000, "tool:web_search": 20_000_000}),
        region="DE",
        price_basis="verified",
        service_tier="flex",
    )
    plain = calls.answered(calls.line(acme, chat_model))
    booking.book([record, plain])
    page = unescape(pages.text(boss.get(pages.change(UsageEvent.objects.get(pk=record.id)))))
    for text in (
        "input: 900 tokens, 0.0018 USD",
        "input audio: 100 tokens, 0.0040 USD",
        "web search: 2 uses, 0.020 USD",
        "DE: The organisation's country",
        "flex",
        "cached input: 40",
    ):
        assert text in page
    listed = boss.get(f"{pages.list_of(UsageEvent)}?claims=unbelieved").context["cl"].result_list
    assert [event.pk for event in listed] == [record.id]
    page = unescape(pages.text(boss.get(pages.change(UsageEvent.objects.get(pk=plain.id)))))
    assert "any place: No place was known, or it has no price of its own" in page


@pytest.mark.req("BIL-10")
def test_a_models_page_says_whose_callers_pay_which_price(boss: Client, chat_model: Model) -> None:
    local = {"region": "DE", "input_nano": NANO, "output_nano": NANO}
    prices.publish(model=chat_model, currency="USD", actor=None, reason="Cheaper there", **local)
    page = pages.text(boss.get(pages.change(chat_model)))
    assert "USD, default, callers in DE" in page
    assert page.count("USD, default") == 2


def test_only_who_may_publish_is_led_there(staff: Callable[..., Client], chat_model: Model) -> None:
    viewer = staff("billing.view_priceversion", "channels.view_model")
    page = pages.text(viewer.get(pages.change(chat_model.prices.get())))
    assert "Publish the next version" not in page
    cast.price(chat_model, input_nano=1)
