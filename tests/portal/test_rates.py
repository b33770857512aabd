"""The public prices: exactly the price table, whoever looks; nothing of upstreams, and nothing that others agreed."""

import csv
import io
from collections.abc import Iterator
from datetime import datetime, timedelta
from html.parser import HTMLParser
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from accounts.models import Organisation, User
from billing.models import PriceVersion
from billing.services import prices
from channels.models import Channel, Model, Route
from newapi.kernel import clock
from newapi.kernel.money import NANO
from tests import cast
from tests.billing.test_prices_oracle import in_tier
from tests.portal.conftest import LogIn

pytestmark = [pytest.mark.django_db, pytest.mark.req("BIL-23")]

Amounts = dict[tuple[str, str, str, str, str, str], str]  # model, currency, region, service, above, bucket → amount


def publish(model: Model, **fields: Any) -> PriceVersion:
    fields = {"currency": "USD", "input_nano": 2 * NANO, "output_nano": 8 * NANO, **fields}
    return prices.publish(model=model, actor=None, reason="Test set-up", **fields)


@pytest.fixture
def table(mock_channel: Channel) -> dict[str, Model]:
    """Prices of every kind: odd numbers, rare buckets, tiers, regions, currencies, groups, to come, withdrawn."""
    names = ("odd", "rich", "free", "gone", "soon", "ending", "partners", "unsold", "retired", "thousands")
    made = {name: cast.model(name, on=mock_channel, priced=False) for name in names}
    publish(made["odd"], input_nano=3 * NANO, region="DE")
    publish(made["odd"], input_nano=546_875_001, cached_input_nano=0, output_nano=1)
    publish(made["odd"], currency="EUR", input_nano=NANO)
    publish(
        made["rich"],
        cached_input_nano=NANO,
        cache_write_nano=3 * NANO,
        reasoning_nano=9 * NANO,
        per_call_nano=5_000_000,
        extra_rates={"cache_write_1h": 4 * NANO, "input_audio": 40 * NANO, "tool:web_search": 10_000_000},
        tiers=[
            {"service": "", "above_tokens": 200_000, "rates": {"input": 4 * NANO, "output": 12 * NANO}},
            {"service": "batch", "above_tokens": 0, "rates": {"input": NANO, "output_audio": 7 * NANO}},
        ],
    )
    publish(made["free"], input_nano=0, output_nano=0, is_free=True)
    publish(made["thousands"], per_units=1000, input_nano=12_345, output_nano=67)
    publish(made["gone"])
    publish(made["partners"], price_group="partners")
    publish(made["unsold"])
    publish(made["retired"])
    publish(made["ending"])
    Model.objects.filter(name="unsold").update(is_active=False)
    Model.objects.filter(name="retired").update(retires_at=clock.now() - timedelta(days=1))
    later = clock.now() + timedelta(days=60)
    publish(made["soon"], effective_from=later)
    publish(made["odd"], effective_from=later, input_nano=2 * NANO)
    for name in ("ending", "gone"):
        prices.publish(
            model=made[name],
            currency="USD",
            effective_from=later if name == "ending" else clock.now() + timedelta(days=30),
            actor=None,
            reason="Test set-up",
            is_withdrawn=True,
        )
    return made


def expected(at: datetime) -> Amounts:
    """What the price table says is in force, column by column, worked out here once more."""
    found: Amounts = {}
    newest: dict[tuple[int, str, str], PriceVersion] = {}
    for version in PriceVersion.objects.filter(price_group="default", effective_from__lte=at).order_by(
        "effective_from"
    ):
        newest[version.model_id, version.currency, version.region] = version
    for version in newest.values():
        model = version.model
        if version.is_withdrawn or not model.is_active or (model.retires_at and model.retires_at <= at):
            continue
        place = (model.name, version.currency, version.region)
        own = {
            "input": version.input_nano,
            "output": version.output_nano,
            "cached_input": version.cached_input_nano,
            "cache_write": version.cache_write_nano,
            "reasoning": version.reasoning_nano,
        }
        for bucket, instead in (("cached_input", "input"), ("cache_write", "input"), ("reasoning", "output")):
            own[bucket] = own[instead] if own[bucket] is None else own[bucket]
        told = [("", 0, own), ("", 0, version.extra_rates)]
        plain = own | {name: nano for name, nano in version.extra_rates.items() if not name.startswith("tool:")}
        for tier in version.tiers:
            # Nobody is to work out what follows from what was typed: whatever a call pays otherwise is said.
            follows = {bucket: in_tier(version, tier, bucket) for bucket in plain}
            told_by_it = {bucket: nano for bucket, nano in follows.items() if nano != plain[bucket]} | tier["rates"]
            told.append((tier["service"], tier["above_tokens"], told_by_it))
        for service, above, rates in told:
            for bucket, nano in rates.items():
                factor = 1 if bucket.startswith("tool:") else 1_000_000 // version.per_units
                found[(*place, service, str(above), bucket)] = exact(nano * factor)
        if version.per_call_nano:
            found[(*place, "", "0", "per_call")] = exact(version.per_call_nano)
    return found


def exact(nano: int) -> str:
    """With at least two decimals and as many as it has."""
    text = f"{nano // NANO}.{nano % NANO:09d}".rstrip("0")
    return text + "0" * max(0, 2 - len(text.partition(".")[2]))


class Page(HTMLParser):
    """The amounts that people see, by what they are for."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: Amounts = {}
        self._place: tuple[str, ...] = ()
        self._line: tuple[str, ...] | None = None
        self.feed(html)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        given = dict(attributes)
        if "data-rate" in given:
            self._place = tuple((given["data-rate"] or "").split(" "))
        self._line = tuple((given["data-line"] or "").split("|")) if "data-line" in given else None

    def handle_data(self, data: str) -> None:
        if self._line is not None:
            self.found[(*self._place, *self._line)] = data  # type: ignore[index]
            self._line = None


def on_the_page() -> Amounts:
    found: Amounts = {}
    for number in (1, 2, 3):
        found |= Page(Client().get("/rates", {"page": number}).content.decode()).found
    return found


def told_by_json() -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    for price in Client().get("/rates.json").json()["prices"]:
        if price["in_force"]:
            yield price, price["in_force"]


def in_json() -> Amounts:
    return {
        (
            price["model"],
            price["currency"],
            price["region"],
            rate["service"],
            str(rate["above_tokens"]),
            rate["bucket"],
        ): (rate["amount"])
        for price, version in told_by_json()
        for rate in version["rates"]
    }


def rows() -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(Client().get("/rates.csv").content.decode())))


def in_csv() -> Amounts:
    return {
        (row["model"], row["currency"], row["region"], row["service"], row["above_tokens"], row["bucket"]): row[
            "amount"
        ]
        for row in rows()
        if row["state"] == "in force"
    }


@pytest.mark.parametrize("days", [0, 31, 61], ids=["now", "in a month", "in two months"])
def test_page_csv_and_json_are_the_price_table_field_by_field(table: dict[str, Model], days: int) -> None:
    with clock.shifted(days * 86_400):
        wanted = expected(clock.now())
        assert ("odd", "USD", "DE", "", "0", "input") in wanted
        assert wanted["rich", "USD", "", "batch", "0", "output_audio"] == "7.00"
        assert wanted["thousands", "USD", "", "", "0", "input"] == "0.012345"
        assert on_the_page() == wanted
        assert in_json() == wanted
        assert in_csv() == wanted


def test_every_version_says_since_when_it_holds(table: dict[str, Model]) -> None:
    for price, told in told_by_json():
        version = PriceVersion.objects.filter(
            model__name=price["model"], currency=price["currency"], region=price["region"], price_group="default"
        ).earliest("effective_from")
        assert datetime.fromisoformat(told["effective_from"]) == version.effective_from
        assert (told["is_free"], told["is_withdrawn"]) == (version.is_free, False)


@pytest.mark.req("BIL-09")
def test_what_changes_later_is_told_with_its_moment(table: dict[str, Model]) -> None:
    html = Client().get("/rates").content.decode()
    assert "no longer sold" in html
    assert "0.546875001 → <strong>2.00</strong>" in html
    told = {price["model"]: price for price in Client().get("/rates.json").json()["prices"] if not price["region"]}
    assert told["soon"]["in_force"] is None
    assert [version["is_withdrawn"] for version in told["ending"]["scheduled"]] == [True]
    later = [row for row in rows() if row["state"] == "scheduled" and row["model"] == "soon"]
    assert {row["bucket"]: row["amount"] for row in later}["input"] == "2.00"
    ending = [row for row in rows() if row["model"] == "ending"]
    assert ending[0]["until"] == ending[-1]["effective_from"]
    assert ending[-1]["state"] == "withdrawn"


def test_where_a_model_is_sold_no_longer_is_told_though_it_is_sold_elsewhere(table: dict[str, Model]) -> None:
    def told(region: str) -> dict[str, Any]:
        prices_told = Client().get("/rates.json").json()["prices"]
        return next(price for price in prices_told if (price["model"], price["region"]) == ("rich", region))

    withdrawal = {"currency": "USD", "region": "FR", "actor": None, "reason": "Test set-up", "is_withdrawn": True}
    prices.publish(model=table["rich"], effective_from=clock.now() + timedelta(days=40), **withdrawal)
    assert told("FR")["in_force"] is None
    assert [version["is_withdrawn"] for version in told("FR")["scheduled"]] == [True]
    with clock.shifted(41 * 86_400):
        assert (told("FR")["in_force"]["is_withdrawn"], told("FR")["scheduled"]) == (True, [])
        assert told("")["in_force"]["is_withdrawn"] is False
        html = Client().get("/rates", {"q": "rich"}).content.decode()
        assert "Not sold there" in html[html.index('data-rate="rich USD FR"') :]
        assert {row["state"] for row in rows() if row["model"] == "rich" and row["region"] == "FR"} == {"withdrawn"}
        assert on_the_page() == expected(clock.now())


def test_amounts_are_texts_and_say_what_they_are_for(table: dict[str, Model]) -> None:
    for _, version in told_by_json():
        for rate in version["rates"]:
            assert isinstance(rate["amount"], str)
            per = {"per_call": "call"}.get(rate["bucket"], "use" if ":" in rate["bucket"] else "1000000 tokens")
            assert rate["per"] == per


def test_nothing_that_is_not_for_everybody(table: dict[str, Model], mock_channel: Channel) -> None:
    Route.objects.update(cost_input_nano=1_230_000_000, upstream_name="upstream-canary")
    Channel.objects.filter(pk=mock_channel.pk).update(name="channel-canary")
    for path in ("/rates", "/rates.csv", "/rates.json"):
        text = Client().get(path).content.decode()
        for secret in ("partners", "unsold", "retired", "canary", "1.23", "Mock provider", cast.UPSTREAM_SECRET):
            assert secret not in text, (path, secret)


def test_strangers_and_members_see_the_same(
    table: dict[str, Model], acme: Organisation, ben: User, log_in: LogIn
) -> None:
    Organisation.objects.filter(pk=acme.pk).update(price_group="partners")
    stranger = Client().get("/rates").content.decode()
    member = log_in(ben).get("/rates").content.decode()
    assert Page(stranger).found == Page(member).found
    assert 'href="/accounts/login/"' in stranger
    assert ">Dashboard<" in member


def test_it_can_be_narrowed(table: dict[str, Model]) -> None:
    def models(**asked: str) -> set[tuple[str, str]]:
        return {key[:2] for key in Page(Client().get("/rates", asked).content.decode()).found}

    assert models(currency="EUR") == {("odd", "EUR")}
    assert models(q="RIC") == {("rich", "USD")}
    assert models(currency="XXX", q="odd") == {("odd", "USD"), ("odd", "EUR")}
    assert "No model fits" in Client().get("/rates", {"q": "zzz"}).content.decode()


def test_it_opens_with_no_price_at_all() -> None:
    assert "No prices yet" in Client().get("/rates").content.decode()
    assert Client().get("/rates.json").json()["prices"] == []
    assert rows() == []


def test_it_is_linked_from_every_page(acme: Organisation, ben: User, log_in: LogIn) -> None:
    for page in (Client().get("/"), Client().get("/policy"), log_in(ben).get("/o/acme/")):
        assert 'href="/rates"' in page.content.decode()
    assert Client().post("/rates").status_code == 405


def test_names_are_text(mock_channel: Channel) -> None:
    """A spreadsheet runs no formula, and a browser no tag."""
    with pytest.raises(ValidationError):
        Model(name="=1+1").full_clean()
    Model.objects.bulk_create([Model(name="=1+1"), Model(name="<script>x")])
    for model in Model.objects.all():
        publish(model)
    assert {row["model"] for row in rows()} == {"'=1+1", "<script>x"}
    html = Client().get("/rates").content.decode()
    assert "<script>x" not in html


def test_it_asks_the_database_as_often_for_many_prices(mock_channel: Channel) -> None:
    def queries() -> int:
        with CaptureQueriesContext(connection) as asked:
            assert Client().get("/rates").status_code == 200
        return len(asked)

    cast.model("first", on=mock_channel)
    few = queries()
    for number in range(8):
        cast.model(f"model-{number}", on=mock_channel)
    assert queries() == few
