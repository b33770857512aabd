"""The models page: what the gateway would serve to the organisation, at the prices it would charge."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounts.models import Organisation, User
from billing.services import prices
from channels.models import Channel, Model, ModelAlias, Route
from channels.services import evidence
from moderation import policy
from moderation.models import Approval, PolicyCategory
from moderation.services import restrictions
from newapi.gateway import catalogue_loader, passports
from newapi.gateway.policy import callable_models
from newapi.kernel import clock
from newapi.kernel.money import NANO
from newapi.kernel.places import NOWHERE
from newapi.kernel.secrets import digest
from newapi.portal.offer import offers_to
from tests import cast
from tests.portal.conftest import LogIn


def offered(organisation: Organisation) -> list[str]:
    """The names on the page."""
    organisation.refresh_from_db()
    return [offer.model.name for offer in offers_to(organisation)]


def served(raw_key: str) -> list[str]:
    """The names, without aliases, that GET /v1/models gives to a key."""
    passport = passports.load(digest(raw_key))
    assert passport is not None
    found = callable_models(passport, catalogue_loader.load(), NOWHERE, now_ms=clock.now_ms())
    return sorted({entry.name for _, entry in found})


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
        effective_from=clock.now() + timedelta(days=15),
    )
    with clock.shifted(16 * 86_400):
        client = log_in(ben)
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
        effective_from=clock.now() + timedelta(days=15),
    )
    assert log_in(ben).get("/o/acme/models").context["offers"][0].rates.input == 2 * NANO
    with clock.shifted(15 * 86_400 + 1):
        client = log_in(ben)
        assert client.get("/o/acme/models").context["offers"][0].rates.input == 3 * NANO


@pytest.mark.req("BIL-10")
def test_the_price_shown_is_that_of_the_organisations_country(acme: Organisation, chat_model: Model) -> None:
    cast.price(chat_model, region="DE", input_nano=3 * NANO, output_nano=9 * NANO)
    cast.price(chat_model, region="FR", input_nano=4 * NANO, output_nano=9 * NANO)
    for country, nano in (("", 2 * NANO), ("US", 2 * NANO), ("DE", 3 * NANO)):
        acme.country = country
        acme.save()
        assert [offer.rates.input for offer in offers_to(acme)] == [nano], country


def test_no_model_yet_says_what_is_missing(acme: Organisation, ben: User, log_in: LogIn) -> None:
    assert "No model can be called yet" in log_in(ben).get("/o/acme/models").content.decode()


def _of_globex(channel: Channel, acme: Organisation, globex: Organisation) -> None:
    channel.organisations_allowed.add(globex)


def _of_a_price_group(channel: Channel, acme: Organisation, globex: Organisation) -> None:
    Channel.objects.filter(pk=channel.pk).update(price_groups_allowed=["partners"])


def _for_our_own_use(channel: Channel, acme: Organisation, globex: Organisation) -> None:
    cast.terms(channel, no_external_clients=True)
    Organisation.objects.update(is_external=True)


def _without_evidence(channel: Channel, acme: Organisation, globex: Organisation) -> None:
    evidence.withdraw(evidence=channel.evidence.get(), actor=None, reason="Cancelled")


def _with_evidence_to_come(channel: Channel, acme: Organisation, globex: Organisation) -> None:
    channel.evidence.update(valid_from=clock.today() + timedelta(days=1))


def _for_tests(channel: Channel, acme: Organisation, globex: Organisation) -> None:
    Channel.objects.filter(pk=channel.pk).update(is_test=True)


def _not_exported(channel: Channel, acme: Organisation, globex: Organisation) -> None:
    Channel.objects.filter(pk=channel.pk).update(countries_allowed=["FR"])
    Organisation.objects.update(country="DE")


def _denied_by_terms(channel: Channel, acme: Organisation, globex: Organisation) -> None:
    cast.terms(channel, countries_denied=["DE"])
    Organisation.objects.update(country="DE")


def _retired(channel: Channel, acme: Organisation, globex: Organisation) -> None:
    Model.objects.filter(name="closed").update(retires_at=clock.now())


def _not_exported_model(channel: Channel, acme: Organisation, globex: Organisation) -> None:
    Model.objects.filter(name="closed").update(countries_allowed=["FR"])
    Organisation.objects.update(country="DE")


@pytest.mark.req("CHN-13", "CHN-14", "CHN-15")
@pytest.mark.parametrize(
    "close",
    [
        _of_globex,
        _of_a_price_group,
        _for_our_own_use,
        _without_evidence,
        _with_evidence_to_come,
        _for_tests,
        _not_exported,
        _denied_by_terms,
        _retired,
        _not_exported_model,
    ],
)
def test_what_is_not_open_to_the_organisation_is_left_out_as_by_the_gateway(
    close: Callable[[Channel, Organisation, Organisation], None],
    acme: Organisation,
    globex: Organisation,
    raw_key: str,
    chat_model: Model,
) -> None:
    other = cast.channel("Other")
    other.account.provider = type(other.account.provider).objects.create(name="Other provider")
    other.account.save()
    closed = cast.model("closed", on=other)
    assert offered(acme) == served(raw_key) == ["closed", "mock-gpt"]
    close(other, acme, globex)
    assert offered(acme) == served(raw_key) == ["mock-gpt"]
    Model.objects.update(retires_at=None, countries_allowed=[])
    Route.objects.create(model=closed, channel=Channel.objects.get(name="Mock"))
    assert offered(acme) == served(raw_key) == ["closed", "mock-gpt"]


def test_what_is_open_to_one_is_not_shown_to_the_other(
    acme: Organisation, globex: Organisation, mock_channel: Channel, chat_model: Model
) -> None:
    mock_channel.organisations_allowed.add(globex)
    assert (offered(acme), offered(globex)) == ([], ["mock-gpt"])


@pytest.mark.req("CHN-15")
def test_models_of_test_channels_are_shown_to_those_who_have_a_test_key(
    acme: Organisation, ben: User, mock_channel: Channel, chat_model: Model, log_in: LogIn
) -> None:
    cast.model("lab", on=cast.channel("Lab", is_test=True))
    assert offered(acme) == ["mock-gpt"]
    test_key = cast.api_key(acme, ben, "Lab key", is_test=True)
    page = log_in(ben).get("/o/acme/models").content.decode()
    assert offered(acme) == ["lab", "mock-gpt"]
    assert served(test_key.raw) == ["lab"]
    assert page.count("Test keys only") == 1
    with clock.shifted(60):
        type(test_key.api_key).objects.filter(pk=test_key.api_key.pk).update(expires_at=clock.now())
        assert offered(acme) == ["mock-gpt"]


@pytest.mark.req("CHN-11")
def test_what_third_parties_serve_is_marked_with_their_names_and_the_risk(
    acme: Organisation, ben: User, mock_channel: Channel, chat_model: Model, log_in: LogIn
) -> None:
    cast.model("ours", on=cast.channel("Own", is_third_party=False))
    client = log_in(ben)
    page = client.get("/o/acme/models").content.decode()
    rows = {name: page.partition(f"<code>{name}</code>")[2].partition("</tr>")[0] for name in ("mock-gpt", "ours")}
    assert "Third party" in rows["mock-gpt"]
    assert "Served by a third party, Mock provider: own risk." in rows["mock-gpt"]
    assert "third party" not in rows["ours"].lower()
    assert "you use them at your own risk" in page
    Channel.objects.update(is_third_party=False)
    page = client.get("/o/acme/models").content.decode().lower()
    assert "third part" not in page
    assert "own risk" not in page


@pytest.mark.req("CHN-03")
def test_what_a_providers_terms_mean_for_members_is_said(
    acme: Organisation, ben: User, mock_channel: Channel, chat_model: Model, log_in: LogIn
) -> None:
    client = log_in(ben)
    assert "may learn" not in client.get("/o/acme/models").content.decode()
    cast.terms(mock_channel, trains_on_data=True, no_competing_models=True)
    page = client.get("/o/acme/models").content.decode()
    assert "Mock provider may learn from what you send." in page
    assert "Mock provider does not allow its answers to train competing models." in page


@pytest.mark.req("CHN-14")
def test_a_model_that_retires_says_when_and_what_replaces_it_until_it_is_gone(
    acme: Organisation, ben: User, raw_key: str, mock_channel: Channel, chat_model: Model, log_in: LogIn
) -> None:
    chat_model.replacement = cast.model("mock-gpt-2", on=mock_channel)
    chat_model.retires_at = clock.now() + timedelta(days=3)
    chat_model.save()
    client = log_in(ben)
    page = client.get("/o/acme/models").content.decode()
    assert f"Retires {chat_model.retires_at:%-d %b %Y}" in page
    assert "Use <code>mock-gpt-2</code> instead." in page
    with clock.shifted(3 * 86_400):
        assert offered(acme) == served(raw_key) == ["mock-gpt-2"]


def test_aliases_are_shown_beside_the_name(acme: Organisation, ben: User, chat_model: Model, log_in: LogIn) -> None:
    ModelAlias.objects.create(name="gpt-latest", model=chat_model)
    ModelAlias.objects.create(name="gpt", model=chat_model)
    page = log_in(ben).get("/o/acme/models").content.decode()
    assert "also called <code>gpt</code>, <code>gpt-latest</code>" in page


@pytest.mark.req("GW-20")
def test_a_model_that_needs_an_approval_says_so_until_there_is_one(
    acme: Organisation, ada: User, ben: User, raw_key: str, chat_model: Model, log_in: LogIn
) -> None:
    if not PolicyCategory.objects.exists():
        policy.seed(PolicyCategory)
    chat_model.approval_category = "SX-ADULT"
    chat_model.save()
    client = log_in(ben)
    page = client.get("/o/acme/models").content.decode()
    assert "Needs approval: SX-ADULT" in page
    assert "/o/acme/approvals/use-case" not in page  # Ben may not apply
    assert "/o/acme/approvals/use-case" in log_in(ada).get("/o/acme/models").content.decode()
    assert served(raw_key) == []
    granted = Approval.objects.create(
        organisation=acme,
        kind="use_case",
        category=PolicyCategory.objects.get(code="SX-ADULT"),
        models_allowed=["another"],
        purpose="Fiction for adults",
        state="approved",
        starts_at=clock.now(),
    )
    assert "Needs approval" in client.get("/o/acme/models").content.decode()
    Approval.objects.filter(pk=granted.pk).update(models_allowed=["mock-gpt"])
    assert "Needs approval" not in client.get("/o/acme/models").content.decode()
    assert served(raw_key) == offered(acme) == ["mock-gpt"]


def test_a_restricted_model_is_marked(acme: Organisation, ben: User, chat_model: Model, log_in: LogIn) -> None:
    client = log_in(ben)
    assert ">Restricted<" not in client.get("/o/acme/models").content.decode()
    restrictions.impose(organisation=acme, scope="model", target="mock-gpt", actor=None, reason="Because")
    assert ">Restricted<" in client.get("/o/acme/models").content.decode()


def test_many_models_are_asked_for_as_often_as_few(
    acme: Organisation, vera: User, mock_channel: Channel, chat_model: Model, log_in: LogIn
) -> None:
    client = log_in(vera)

    def queries() -> int:
        client.get("/o/acme/models")
        with CaptureQueriesContext(connection) as asked:
            assert client.get("/o/acme/models").status_code == 200
        return len(asked)

    few = queries()
    for number in range(5):
        made = cast.model(f"model-{number}", on=cast.channel(f"Channel {number}"))
        ModelAlias.objects.create(name=f"alias-{number}", model=made)
    assert queries() == few


def test_where_a_model_may_be_called_from_is_said(
    acme: Organisation, ben: User, chat_model: Model, log_in: LogIn
) -> None:
    Model.objects.update(countries_allowed=["DE", "FR"])
    assert "May be called from DE, FR only." in log_in(ben).get("/o/acme/models").content.decode()
