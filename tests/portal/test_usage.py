"""What the dashboards say is what was used: by day, model, key, project, member; call by call."""

import json
import re
from dataclasses import replace
from datetime import timedelta

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from accounts.models import APIKey, Organisation, Project, User
from accounts.services import api_keys
from billing.models import UsageEvent
from billing.pricing import Costs, Tokens
from channels.models import Channel, Model
from newapi.kernel.money import NANO
from tests import cast
from tests.portal import traffic
from tests.portal.conftest import LogIn

# 1,000 input tokens at 2 USD and 500 output tokens at 8 USD a million.
CALL_NANO = 6_000_000


def chart(html: str, name: str) -> dict:
    """The data that a chart is drawn from."""
    found = re.search(rf'<script id="{name}" type="application/json">(.*?)</script>', html, re.DOTALL)
    assert found is not None
    return json.loads(found[1])


@pytest.mark.req("DSH-01")
def test_spend_tokens_and_calls_are_shown_by_day(
    acme: Organisation, ada: User, adas_key: APIKey, chat_model: Model, log_in: LogIn
) -> None:
    traffic.book(
        [
            traffic.record(adas_key, chat_model),
            traffic.record(adas_key, chat_model, tokens=Tokens(cached_input=300, reasoning=200)),
            traffic.record(adas_key, chat_model, ago=timedelta(days=2)),
            traffic.record(adas_key, chat_model, tokens=Tokens(), outcome=traffic.Outcome.UPSTREAM_ERROR),
            traffic.record(adas_key, chat_model, ago=timedelta(days=9)),
        ]
    )
    answer = log_in(ada).get("/o/acme/usage?days=7")
    html = answer.content.decode()
    spend, tokens, calls = (chart(html, f"{name}-by-day") for name in ("spend", "tokens", "calls"))
    assert len(spend["days"]) == 7
    # Today: 0.006 for the first call, 300 × 2 + 200 × 8 USD a million for the second.
    assert spend["series"][0]["values"] == [0, 0, 0, 0, 0.006, 0, 0.0082]
    series = {one["label"]: one["values"][-1] for one in tokens["series"]}
    assert series == {"Input": 1000, "Cached input": 300, "Output": 500, "Reasoning": 200}
    assert [one["values"][-1] for one in calls["series"]] == [2, 1]
    sums = answer.context["sums"]
    assert (sums.calls, sums.errors, sums.tokens) == (4, 1, 3500)
    assert sums.cost_nano == 2 * CALL_NANO + 2_200_000
    assert "137 % more than the 7 days before" in html


@pytest.mark.req("DSH-01", "BIL-01")
def test_usage_is_broken_down_by_model_key_project_and_member(
    acme: Organisation, ada: User, ben: User, adas_key: APIKey, mock_channel: Channel, chat_model: Model, log_in: LogIn
) -> None:
    small = cast.model("mock-small", on=mock_channel)
    side = Project.objects.create(organisation=acme, name="Side")
    bens = api_keys.create(project=side, user=ben, name="Ben's bot", actor=ben, reason="Test set-up").api_key
    traffic.book(
        [traffic.record(adas_key, chat_model) for _ in range(3)] + [traffic.record(bens, small, ago=timedelta(days=3))]
    )
    by = log_in(ada).get("/o/acme/usage").context["by"]

    def lines(of: str) -> list[tuple[str, int, int, int]]:
        return [(row.label, row.calls, row.tokens, row.cost_nano) for row in by[of]]

    def both(first: str, second: str) -> list[tuple[str, int, int, int]]:
        return [(first, 3, 4500, 3 * CALL_NANO), (second, 1, 1500, CALL_NANO)]

    assert lines("model") == both("mock-gpt", "mock-small")
    assert lines("key") == both("Ada's bot", "Ben's bot")
    assert lines("project") == both("Main", "Side")
    assert lines("member") == both("Ada", "Ben")
    assert [row.share for row in by["model"]] == [0.75, 0.25]
    # Whichever way it is cut, it adds up to what the ledger took from the wallet.
    assert {sum(row.cost_nano for row in rows) for rows in by.values()} == {acme.wallets.get().used_nano}


def test_members_get_no_link_to_keys_that_are_not_theirs(
    acme: Organisation, ben: User, adas_key: APIKey, bens_key: APIKey, chat_model: Model, log_in: LogIn
) -> None:
    traffic.book([traffic.record(adas_key, chat_model), traffic.record(bens_key, chat_model)])
    html = log_in(ben).get("/o/acme/usage").content.decode()
    assert f'href="/o/acme/keys/{bens_key.pk}"' in html
    assert f'href="/o/acme/keys/{adas_key.pk}"' not in html


def test_each_chart_has_its_numbers_as_a_table(
    acme: Organisation, ada: User, adas_key: APIKey, chat_model: Model, log_in: LogIn
) -> None:
    traffic.book([traffic.record(adas_key, chat_model)])
    html = log_in(ada).get("/o/acme/usage?days=7").content.decode()
    tables = re.findall(r'<details class="as-table">(.*?)</details>', html, re.DOTALL)
    assert len(tables) == html.count("<canvas") == 3
    assert all(table.count('<th scope="row"') == 7 for table in tables)
    assert "0.0060 USD" in tables[0]


@pytest.mark.parametrize("days", ["", "abc", "-1", "9999", "7;DROP", "٧"])
def test_an_unknown_period_means_the_default(days: str, acme: Organisation, ada: User, log_in: LogIn) -> None:
    answer = log_in(ada).get("/o/acme/usage", {"days": days})
    assert answer.status_code == 200
    assert answer.context["period"].days == 30


@pytest.mark.parametrize("page", ["", "usage", "calls", "keys"])
def test_queries_do_not_grow_with_the_rows(
    page: str, acme: Organisation, ada: User, mock_channel: Channel, log_in: LogIn
) -> None:
    client = log_in(ada)

    def grown(size: int) -> int:
        for number in range(size):
            model = cast.model(f"model-{size}-{number}", on=mock_channel)
            member = cast.person(f"person-{size}-{number}")
            cast.member(acme, member)
            project = Project.objects.create(organisation=acme, name=f"Project {size} {number}")
            limits = {"budget_nano": NANO}
            made = api_keys.create(project=project, user=member, name="k", actor=member, reason="Set-up", limits=limits)
            traffic.book([traffic.record(made.api_key, model)])
        client.get(f"/o/acme/{page}")
        with CaptureQueriesContext(
            connection,
        ) as queries:
            assert client.get(f"/o/acme/{page}").status_code == 200
        return len(queries)

    few, many = grown(2), grown(7)
    assert many == few
    assert few <= 26


@pytest.fixture
def sixty(adas_key: APIKey, bens_key: APIKey, chat_model: Model, mock_channel: Channel) -> list[str]:
    """Sixty calls, one a minute, newest first, by two keys and two models; every tenth failed."""
    small = cast.model("mock-small", on=mock_channel)
    records = [
        traffic.record(
            (adas_key, bens_key)[number % 2],
            (chat_model, small)[number % 3 == 0],
            ago=timedelta(minutes=number),
            outcome=traffic.Outcome.UPSTREAM_ERROR if number % 10 == 0 else traffic.Outcome.OK,
        )
        for number in range(60)
    ]
    return [str(one.id) for one in reversed(traffic.book(records))]


def shown(client: Client, url: str) -> list[str]:
    """The ids of the calls on a page, in order."""
    return [str(call.pk) for call in client.get(url).context["found"].calls]


@pytest.mark.req("DSH-01")
def test_calls_are_paged_newest_first_and_a_page_stays_when_new_ones_come(
    acme: Organisation, ada: User, adas_key: APIKey, chat_model: Model, sixty: list[str], log_in: LogIn
) -> None:
    client = log_in(ada)
    first = client.get("/o/acme/calls").context["found"]
    assert [str(call.pk) for call in first.calls] == sixty[:50]
    assert first.newer == ""
    assert shown(client, f"/o/acme/calls?{first.older}") == sixty[50:]
    traffic.book([traffic.record(adas_key, chat_model)])
    second = client.get(f"/o/acme/calls?{first.older}").context["found"]
    assert [str(call.pk) for call in second.calls] == sixty[50:]
    assert second.older == ""
    assert shown(client, f"/o/acme/calls?{second.newer}") == sixty[:50]


def test_calls_are_narrowed_by_key_model_and_status(
    acme: Organisation, ada: User, bens_key: APIKey, sixty: list[str], log_in: LogIn
) -> None:
    client = log_in(ada)
    assert shown(client, f"/o/acme/calls?key={bens_key.pk}") == sixty[1::2]
    assert shown(client, "/o/acme/calls?model=mock-small") == sixty[::3]
    assert shown(client, "/o/acme/calls?outcome=error") == sixty[::10]
    both = shown(client, "/o/acme/calls?outcome=error&model=mock-small")
    assert both == sixty[::30]
    html = client.get("/o/acme/calls?outcome=error").content.decode()
    assert '<option value="error" selected>' in html
    assert "No call fits" in client.get("/o/acme/calls?model=mock-none").content.decode()


@pytest.mark.parametrize(
    "query", ["before=x", "after=", "key=x", "key=99999999999999999999999", "key=-1", "before=%00"]
)
def test_odd_queries_break_nothing(query: str, acme: Organisation, ada: User, sixty: list[str], log_in: LogIn) -> None:
    assert log_in(ada).get(f"/o/acme/calls?{query}").status_code in (200, 404)


def test_a_call_says_what_it_is_made_of(
    acme: Organisation, ada: User, adas_key: APIKey, chat_model: Model, log_in: LogIn
) -> None:
    tokens = Tokens(input=1000, cached_input=10, output=500, reasoning=7)
    made = traffic.book([traffic.record(adas_key, chat_model, tokens=tokens, latency_ms=1840)])[0]
    answer = log_in(ada).get(f"/o/acme/calls/{made.id}")
    html = answer.content.decode()
    buckets = {one.label: (one.tokens, one.cost) for one in answer.context["buckets"]}
    assert buckets == {
        "Input": (1000, "0.002"),
        "Cached input": (10, "0.00002"),
        "Output": (500, "0.004"),
        "Reasoning": (7, "0.000056"),
        "In all": (1517, "0.006076"),
    }
    assert str(made.id) in html
    assert "1.8 s" in html
    assert UsageEvent.objects.get().cost_nano == 6_076_000


def test_a_call_says_how_it_came_to_its_answer_without_the_channels_behind_it(
    acme: Organisation, ada: User, adas_key: APIKey, chat_model: Model, mock_channel: Channel, log_in: LogIn
) -> None:
    asked = cast.model("asked-for")
    secret = cast.channel("Operators' own name")
    failed = {"channel": secret.pk, "key": 4711, "status": 503, "outcome": "overloaded", "ms": 98_765}
    record = replace(
        traffic.record(adas_key, chat_model),
        attempts=2,
        failed_attempts=[failed],
        asked_model=asked.pk,
        country="DE",
        modality="image",
        source="playground",
        domain="HD-MED",
    )
    traffic.book([record])
    html = log_in(ada).get(f"/o/acme/calls/{record.id}").content.decode()
    for told in ("asked-for", "the last one answered", "Playground", "With images", "<dd>DE</dd>", "HD-MED"):
        assert told in html, told
    for hidden in ("Operators", "Mock", "4711", "overloaded", "98,765", "98.8 s"):
        assert hidden not in html, hidden


def test_a_call_from_before_all_that_was_recorded_says_nothing_of_it(
    acme: Organisation, ada: User, adas_key: APIKey, chat_model: Model, log_in: LogIn
) -> None:
    made = traffic.book([traffic.record(adas_key, chat_model)])[0]
    html = log_in(ada).get(f"/o/acme/calls/{made.id}").content.decode()
    assert "Upstreams tried" in html
    for absent in ("Stood in for", "Restricted domain", "Test key", "the last one answered"):
        assert absent not in html, absent


@pytest.mark.req("CHN-15")
def test_a_call_with_a_test_key_is_listed_but_in_no_sum(
    acme: Organisation, ada: User, adas_key: APIKey, chat_model: Model, log_in: LogIn
) -> None:
    free = replace(traffic.record(adas_key, chat_model), costs=Costs(), is_test=True)
    traffic.book([free, traffic.record(adas_key, chat_model)])
    client = log_in(ada)
    assert "Free, and in no sum" in client.get(f"/o/acme/calls/{free.id}").content.decode()
    listed = client.get("/o/acme/calls").content.decode()
    assert str(free.id) in listed
    assert listed.count('<span class="badge warn">Test</span>') == 1
    assert client.get("/o/acme/usage").context["sums"].calls == 1


def test_a_stream_that_was_ended_by_us_says_so(
    acme: Organisation, ada: User, adas_key: APIKey, chat_model: Model, log_in: LogIn
) -> None:
    cut = replace(traffic.record(adas_key, chat_model), outcome="cut")
    traffic.book([cut])
    client = log_in(ada)
    for path in (f"/o/acme/calls/{cut.id}", "/o/acme/calls", "/o/acme/calls?outcome=cut"):
        assert '<span class="status warn">Ended by us</span>' in client.get(path).content.decode()


def test_a_new_organisation_is_told_how_to_make_its_first_call(
    acme: Organisation, ben: User, vera: User, chat_model: Model, log_in: LogIn
) -> None:
    html = log_in(ben).get("/o/acme/").content.decode()
    assert "Make your first call" in html
    assert "mock-gpt" in html
    assert 'href="/o/acme/keys/new"' in html
    assert "<canvas" not in html
    html = log_in(vera).get("/o/acme/").content.decode()
    assert "you cannot make keys; ask an owner or admin" in html
    assert 'href="/o/acme/keys/new"' not in html


def test_the_overview_shows_the_latest_calls_and_top_models(
    acme: Organisation, ada: User, adas_key: APIKey, chat_model: Model, log_in: LogIn
) -> None:
    made = traffic.book([traffic.record(adas_key, chat_model, ago=timedelta(minutes=one)) for one in range(12)])
    answer = log_in(ada).get("/o/acme/")
    assert [call.pk for call in answer.context["latest"]] == [one.id for one in reversed(made)][:8]
    assert [row.label for row in answer.context["by"]["model"]] == ["mock-gpt"]
