"""The models page: what the gateway would serve to the organisation, at the prices it would charge."""

from datetime import timedelta

from accounts.models import Organisation, User
from billing.services import prices
from channels.models import Channel, Model, Route
from newapi.kernel import clock
from newapi.kernel.money import NANO
from tests import cast
from tests.portal.conftest import LogIn


def test_callable_models_are_listed_with_their_prices(
    acme: Organisation, ben: User, mock_channel: Channel, chat_model: Model, log_in: LogIn
) -> None:
    answer = log_in(ben).get("/models", follow=True)
    assert answer.redirect_chain == [("/o/acme/models", 302)]
    (offer,) = answer.context["offers"]
    assert offer.per_million == {
        "input": 2 * NANO,
        "cached_input": 2 * NANO,
        "cache_write": 2 * NANO,
        "output": 8 * NANO,
        "reasoning": 8 * NANO,
    }
    html = answer.content.decode()
    assert "<code>mock-gpt</code>" in html
    assert ">2.00<" in html
    assert ">8.00<" in html


def test_what_the_gateway_would_refuse_is_not_offered(
    acme: Organisation, ben: User, mock_channel: Channel, chat_model: Model, log_in: LogIn
) -> None:
    cast.model("unpriced", on=mock_channel, priced=False)
    cast.model("no-way-there")
    cast.price(cast.model("euro-only", on=mock_channel, priced=False), currency="EUR", input_nano=NANO)
    off = cast.model("switched-off", on=mock_channel)
    Model.objects.filter(pk=off.pk).update(is_active=False)
    unrouted = cast.model("unrouted", on=mock_channel)
    Route.objects.filter(model=unrouted).update(is_active=False)
    cast.model("closed", on=cast.channel("Closed", status=Channel.Status.DISABLED))
    withdrawn = cast.model("withdrawn", on=mock_channel)
    prices.publish(
        model=withdrawn,
        currency="USD",
        actor=None,
        reason="Gone",
        is_withdrawn=True,
        effective_from=clock.now() + timedelta(seconds=30),
    )
    client = log_in(ben)
    with clock.shifted(60):
        offers = client.get("/o/acme/models").context["offers"]
    assert [offer.model.name for offer in offers] == ["mock-gpt"]


def test_a_price_counts_from_the_moment_it_takes_effect(
    acme: Organisation, ben: User, chat_model: Model, log_in: LogIn
) -> None:
    prices.publish(
        model=chat_model,
        currency="USD",
        actor=None,
        reason="Dearer",
        input_nano=3 * NANO,
        output_nano=9 * NANO,
        effective_from=clock.now() + timedelta(hours=1),
    )
    client = log_in(ben)
    assert client.get("/o/acme/models").context["offers"][0].rates.input == 2 * NANO
    with clock.shifted(3601):
        assert client.get("/o/acme/models").context["offers"][0].rates.input == 3 * NANO


def test_no_model_yet_says_what_is_missing(acme: Organisation, ben: User, log_in: LogIn) -> None:
    assert "No model can be called yet" in log_in(ben).get("/o/acme/models").content.decode()
