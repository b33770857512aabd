"""Nothing gets dearer without notice, and nothing that was used is priced anew."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.conf import LazySettings
from django.core.exceptions import ValidationError

from billing.models import PriceVersion, UsageEvent
from billing.price_sheets import rates_of
from billing.services import posting, prices
from channels.models import Model
from newapi.kernel import clock
from newapi.kernel.money import NANO
from tests import cast
from tests.billing import calls
from tests.billing.threads import together

DAY_S = 86_400
PLAIN = {"input_nano": 2 * NANO, "output_nano": 8 * NANO}
Publish = Callable[..., PriceVersion]


@pytest.fixture
def publish(chat_model: Model) -> Publish:
    """Publishes for the model that costs 2 in and 8 out, from now unless said otherwise."""

    def act(*, days: float | None = None, **options: Any) -> PriceVersion:
        starts = None if days is None else clock.now() + timedelta(days=days)
        options = {"currency": "USD", "effective_from": starts, **options}
        return prices.publish(model=chat_model, actor=None, reason="Notice", **options)

    return act


def refusal(publish: Publish, **options: Any) -> str:
    with pytest.raises(ValidationError) as caught:
        publish(**options)
    [message] = caught.value.message_dict["effective_from"]
    return message


@pytest.mark.req("BIL-09")
@pytest.mark.parametrize(
    ("rates", "what"),
    [
        ({"input_nano": 2 * NANO + 1, "output_nano": 8 * NANO}, "raises input"),
        ({"input_nano": NANO, "output_nano": 9 * NANO}, "raises output"),
        ({**PLAIN, "cached_input_nano": 3 * NANO}, "raises cached input"),
        ({**PLAIN, "cache_write_nano": 3 * NANO}, "raises cache write"),
        ({**PLAIN, "reasoning_nano": 9 * NANO}, "raises reasoning"),
        ({**PLAIN, "per_call_nano": 1}, "raises per call"),
        ({**PLAIN, "extra_rates": {"input_audio": 3 * NANO}}, "raises input audio"),
        ({**PLAIN, "extra_rates": {"cache_write_1h": 3 * NANO}}, "raises cache write 1h"),
        ({**PLAIN, "per_units": 1_000}, "raises input"),
        ({"input_nano": 2_000_001, "output_nano": 1, "per_units": 1_000}, "raises input"),
        (
            {**PLAIN, "tiers": [{"service": "", "above_tokens": 200_000, "rates": {"input": 4 * NANO}}]},
            "raises input (above 200,000 tokens)",
        ),
        (
            {**PLAIN, "tiers": [{"service": "priority", "above_tokens": 0, "rates": {"output": 9 * NANO}}]},
            "raises output (priority)",
        ),
        ({"is_withdrawn": True}, "The model is withdrawn"),
    ],
)
def test_a_price_cannot_take_effect_before_its_notice(publish: Publish, rates: dict[str, Any], what: str) -> None:
    for days in (None, 1, 13.99):
        assert what in refusal(publish, days=days, **rates)
    assert PriceVersion.objects.count() == 1
    assert publish(days=14.001, **rates).effective_from > clock.now() + timedelta(days=14)


@pytest.mark.req("BIL-09")
def test_the_refusal_names_the_first_moment_that_would_do(publish: Publish) -> None:
    moment = clock.now().replace(month=3, day=1, hour=10, minute=20, second=0, microsecond=0) + timedelta(days=365)
    with clock.shifted((moment - clock.now()).total_seconds()):
        expected = (moment + timedelta(days=14)).replace(hour=11, minute=0)
        assert f"14 days of notice: in force from {expected:%Y-%m-%d %H:%M} UTC at the earliest" in refusal(
            publish, input_nano=3 * NANO, output_nano=8 * NANO
        )
        published = publish(effective_from=expected, input_nano=3 * NANO, output_nano=8 * NANO)
    assert published.effective_from == expected


@pytest.mark.req("BIL-09")
@pytest.mark.parametrize(
    "rates",
    [
        PLAIN,
        {"input_nano": NANO, "output_nano": 8 * NANO},
        {**PLAIN, "cached_input_nano": NANO, "extra_rates": {"input_audio": 1}},
        {"input_nano": 2_000_000, "output_nano": 8_000_000, "per_units": 1_000},
        {"is_free": True},
        {**PLAIN, "extra_rates": {"tool:web_search": 10**7}},
        {**PLAIN, "tiers": [{"service": "batch", "above_tokens": 0, "rates": {"input": NANO, "output": 4 * NANO}}]},
    ],
)
def test_what_gets_no_dearer_holds_at_once(publish: Publish, rates: dict[str, Any]) -> None:
    """Also a tool that was not sold before, and a tier that is cheaper."""
    assert publish(**rates).effective_from <= clock.now()


@pytest.mark.req("BIL-09")
def test_first_prices_hold_at_once(publish: Publish) -> None:
    dear = {"input_nano": 99 * NANO, "output_nano": 99 * NANO}
    publish(currency="EUR", **dear)
    publish(price_group="partners", **dear)
    publish(region="DE", input_nano=NANO, output_nano=NANO)


@pytest.mark.req("BIL-09", "BIL-10")
def test_the_first_price_of_a_place_is_judged_by_what_held_there_before(publish: Publish) -> None:
    """Callers in Germany paid the price of no place until then."""
    assert "raises input" in refusal(publish, region="DE", input_nano=3 * NANO, output_nano=8 * NANO)
    assert "withdrawn" in refusal(publish, region="DE", is_withdrawn=True)
    publish(region="DE", input_nano=NANO, output_nano=NANO)
    assert "raises input" in refusal(publish, region="DE", **PLAIN)
    publish(region="FR", **PLAIN)


@pytest.mark.req("BIL-09")
def test_what_was_free_becomes_paid_only_after_notice(publish: Publish) -> None:
    publish(is_free=True)
    assert "raises input, output" in refusal(publish, **PLAIN)
    publish(days=15, **PLAIN)


@pytest.mark.req("BIL-09")
def test_what_was_withdrawn_is_sold_again_at_once(publish: Publish) -> None:
    publish(days=15, is_withdrawn=True)
    with clock.shifted(16 * DAY_S):
        publish(input_nano=9 * NANO, output_nano=9 * NANO)


@pytest.mark.req("BIL-09")
def test_taking_a_cut_back_is_a_raise_too(publish: Publish) -> None:
    publish(days=3, input_nano=NANO, output_nano=NANO)
    assert "raises" in refusal(publish, days=3.5, **PLAIN)
    publish(days=2, **PLAIN)
    publish(days=15, **PLAIN)


@pytest.mark.req("BIL-09")
@pytest.mark.parametrize(
    "now",
    [{**PLAIN, "extra_rates": {}}, {**PLAIN, "extra_rates": {"tool:web_search": 10**7 + 1}}],
    ids=["no longer sold", "dearer"],
)
def test_tools_need_notice_to_get_dearer_or_to_go(publish: Publish, now: dict[str, Any]) -> None:
    publish(**PLAIN, extra_rates={"tool:web_search": 10**7})
    assert "raises tool:web search" in refusal(publish, **now)


@pytest.mark.req("BIL-09")
def test_a_tier_that_goes_raises_what_it_made_cheaper(publish: Publish) -> None:
    publish(**PLAIN, tiers=[{"service": "flex", "above_tokens": 0, "rates": {"input": NANO}}])
    assert "raises input (flex)" in refusal(publish, **PLAIN)


@pytest.mark.req("BIL-09")
def test_a_dearer_tier_that_goes_needs_notice_because_calls_that_ask_for_it_are_refused(publish: Publish) -> None:
    tier = {"above_tokens": 0, "rates": {"input": 4 * NANO, "output": 16 * NANO}}
    publish(days=15, **PLAIN, tiers=[{"service": service, **tier} for service in ("priority", "batch")])
    with clock.shifted(16 * DAY_S):
        assert refusal(publish, **PLAIN).startswith("This raises the tier priority.")
        publish(days=15, **PLAIN)


@pytest.mark.req("BIL-09")
def test_what_is_put_before_a_version_must_not_make_that_one_a_raise_without_notice(publish: Publish) -> None:
    """Three days ahead a cut needs no notice; behind a deeper cut from now on it would be a raise."""
    cut = publish(days=3, input_nano=NANO, output_nano=8 * NANO)
    words = f"The version from {cut.effective_from:%Y-%m-%d %H:%M} UTC on would raise what this one lowers"
    assert words in refusal(publish, input_nano=NANO // 2, output_nano=NANO)
    assert PriceVersion.objects.count() == 2
    publish(days=4, input_nano=NANO // 2, output_nano=NANO)
    publish(days=2, input_nano=NANO, output_nano=8 * NANO)


@pytest.mark.req("BIL-09", "BIL-10")
def test_a_cut_everywhere_must_not_make_the_first_price_of_a_place_a_raise_without_notice(publish: Publish) -> None:
    publish(days=3, region="DE", input_nano=NANO, output_nano=8 * NANO)
    assert "would raise what this one lowers" in refusal(publish, days=1, is_free=True)
    publish(days=1, region="FR", is_free=True)
    publish(days=15, region="IT", input_nano=3 * NANO, output_nano=8 * NANO)
    publish(days=4, is_free=True)


@pytest.mark.req("BIL-09")
@pytest.mark.parametrize("days", [0, 30])
def test_how_long_the_notice_is_can_be_set(publish: Publish, settings: LazySettings, days: int) -> None:
    settings.PRICE_NOTICE_DAYS = days
    if days:
        assert f"{days} days of notice" in refusal(publish, days=days - 0.01, input_nano=3 * NANO)
    publish(days=days + 0.01 if days else None, input_nano=3 * NANO)


@pytest.mark.req("BIL-09")
def test_no_price_changes_what_past_usage_cost(
    publish: Publish, acme: Any, chat_model: Model, settings: LazySettings
) -> None:
    calls.warm(acme)
    calls.serve([calls.answered(calls.line(acme, chat_model))])
    posting.post()
    before = UsageEvent.objects.values().get()
    settings.PRICE_NOTICE_DAYS = 0
    publish(input_nano=50 * NANO, output_nano=50 * NANO)
    publish(is_withdrawn=True)
    posting.post()
    assert UsageEvent.objects.values().get() == before


@pytest.mark.req("BIL-09")
@pytest.mark.django_db(transaction=True)
def test_of_two_who_publish_at_once_the_second_sees_the_first(publish: Publish) -> None:
    """A cut and the old price, both from now: whoever comes second must not take back what holds already."""
    results = together(
        *[lambda: publish(input_nano=NANO, output_nano=NANO), lambda: publish(**PLAIN)] * 3,
    )
    assert all(isinstance(result, PriceVersion | ValidationError) for result in results)
    inputs = [rates_of(version).input for version in PriceVersion.objects.order_by("effective_from")]
    assert inputs == sorted(inputs, reverse=True)
    assert NANO in inputs


@pytest.mark.req("BIL-08")
@pytest.mark.parametrize(
    ("rates", "field", "complaint"),
    [
        ({"extra_rates": {"smell": 1}}, "extra_rates", "no bucket “smell”"),
        ({"extra_rates": {"input": 1}}, "extra_rates", "no bucket “input”"),
        ({"extra_rates": {"tool:": 1}}, "extra_rates", "no bucket"),
        ({"extra_rates": {"tool:Web Search": 1}}, "extra_rates", "no bucket"),
        ({"extra_rates": {"claim:x": 1}}, "extra_rates", "no bucket"),
        ({"extra_rates": {"input_audio": -1}}, "extra_rates", "from 0 to"),
        ({"extra_rates": {"input_audio": 1.5}}, "extra_rates", "from 0 to"),
        ({"extra_rates": {"input_audio": True}}, "extra_rates", "from 0 to"),
        ({"extra_rates": {"input_audio": 2 * 10**14 + 1}}, "extra_rates", "from 0 to 200000.00"),
        ({"extra_rates": {"tool:web_search": 10**12 + 1}}, "extra_rates", "from 0 to 1000.00"),
        ({"extra_rates": []}, "extra_rates", "object"),
        ({"tiers": {"service": "flex"}}, "tiers", "list"),
        ({"tiers": [{"service": "flex"}]}, "tiers", "and nothing else"),
        ({"tiers": [{"service": "flex", "rates": {"input": 1}, "until": 9}]}, "tiers", "and nothing else"),
        ({"tiers": [{"service": "default", "rates": {"input": 1}}]}, "tiers", "no tier of it"),
        ({"tiers": [{"above_tokens": 0, "rates": {"input": 1}}]}, "tiers", "no tier of it"),
        ({"tiers": [{"service": "Flex", "rates": {"input": 1}}]}, "tiers", "small letters"),
        ({"tiers": [{"service": ["flex"], "rates": {"input": 1}}]}, "tiers", "small letters"),
        ({"tiers": [{"service": "flex", "above_tokens": -1, "rates": {"input": 1}}]}, "tiers", "whole number"),
        ({"tiers": [{"service": "flex", "above_tokens": "1", "rates": {"input": 1}}]}, "tiers", "whole number"),
        ({"tiers": [{"service": "flex", "rates": {}}]}, "tiers", "says nothing"),
        ({"tiers": [{"service": "flex", "rates": {"smell": 1}}]}, "tiers", "no bucket"),
        ({"tiers": [{"service": "flex", "rates": {"input": 1}}] * 2}, "tiers", "same calls"),
        ({"tiers": [{"service": f"t{n}", "rates": {"input": 1}} for n in range(33)]}, "tiers", "at most 32"),
        ({"is_free": True, "extra_rates": {"input_audio": 1}}, "__all__", "no rates"),
        ({"is_withdrawn": True, "tiers": [{"service": "flex", "rates": {"input": 1}}]}, "__all__", "no rates"),
        ({"input_nano": 0, "extra_rates": {"input_audio": 0}}, "__all__", "Every rate is zero"),
        ({"region": "Germany"}, "region", ""),
        ({"region": "de"}, "region", "Two capital letters"),
    ],
)
def test_a_price_that_cannot_be_meant_is_refused(
    publish: Publish, rates: dict[str, Any], field: str, complaint: str
) -> None:
    rates = rates if "is_free" in rates or "is_withdrawn" in rates else {"input_nano": 1, **rates}
    with pytest.raises(ValidationError) as caught:
        publish(currency="EUR", **rates)
    assert complaint in " ".join(caught.value.message_dict[field])
    assert PriceVersion.objects.count() == 1


@pytest.mark.req("BIL-08")
def test_a_price_of_rare_buckets_alone_is_one(publish: Publish) -> None:
    version = publish(currency="EUR", extra_rates={"output_image": 40 * NANO, "tool:web_search": 10**7})
    rates = rates_of(PriceVersion.objects.get(pk=version.pk))
    assert (rates.rate("output_image"), rates.output, rates.rate("output_audio")) == (40 * NANO, 0, 0)
    assert rates.sells("tool:web_search")
    assert not rates.sells("tool:file_search")


def test_a_price_says_what_it_would_raise_before_it_is_published(chat_model: Model) -> None:
    cast.price(chat_model, **PLAIN)
    draft = PriceVersion(model=chat_model, currency="USD", input_nano=3 * NANO, output_nano=8 * NANO)
    draft.effective_from = clock.now() + timedelta(seconds=1)
    assert prices.dearer(draft)[0] == "input"
    assert "output" not in prices.dearer(draft)
