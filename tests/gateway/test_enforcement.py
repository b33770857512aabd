"""Every route × everything that can stand in a caller's way: one answer, no upstream asked, nothing charged."""

import asyncio
import itertools
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest
from pytest_django import Settings

from accounts.models import APIKey, Membership
from accounts.services import api_keys
from channels.models import Channel, Model, Provider, UpstreamTerms
from moderation.services import blocks, restrictions
from newapi.gateway import urls, views
from newapi.kernel import clock, places
from newapi.kernel.meters import bank
from newapi.kernel.secrets import mint_api_key
from tests import cast
from tests.gateway import conditions
from tests.gateway.conditions import Customer, category, limit
from tests.gateway.conftest import Gateway
from tests.gateway.doors import error_of, in_database, posted
from tests.gateway.test_outage import away
from tests.processes import MockUpstream


@dataclass(frozen=True)
class Condition:
    """Something that stands in the way of a customer's calls, and what every route answers then.

    reads: what GET routes do: `refused` alike, `hidden` (served, without the model) or `shown` (served).
    served: call routes that it does not concern. models: the chat and the embedding model to ask for.
    key: what is presented as the key, when not the customer's. says: members of the error object.
    """

    status: int
    code: str
    arrange: Callable[[Customer], object] = lambda who: None
    reads: str = "refused"
    served: tuple[str, ...] = ()
    models: tuple[str, str] = ("mock-gpt", "mock-embed")
    key: Callable[[], str | None] | None = None
    funds_nano: int = 100 * 10**9
    says: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Route:
    """A way into the gateway. kind: call, list, one or none."""

    method: str
    kind: str
    body: Callable[[str, str], dict[str, Any]] | None = None


def _chat(model: str, _: str) -> dict[str, Any]:
    return {"model": model, "messages": [{"role": "user", "content": "Say the FORBIDDEN words"}], "max_tokens": 40}


ROUTES: dict[tuple[str, str], Route] = {
    (conditions.CHAT, "whole"): Route("POST", "call", _chat),
    (conditions.CHAT, "streamed"): Route("POST", "call", lambda *models: {**_chat(*models), "stream": True}),
    (conditions.EMBEDDINGS, ""): Route(
        "POST", "call", lambda _, model: {"model": model, "input": "Say the FORBIDDEN words"}
    ),
    (conditions.MODELS, ""): Route("GET", "list"),
    (conditions.MODELS, "one"): Route("GET", "one"),
    ("/v1/nothing/here", ""): Route("POST", "none"),
}


def test_every_route_there_is_stands_in_the_table() -> None:
    paths = {path for path, _ in ROUTES}
    assert set(urls.EXACT) == paths - {"/v1/nothing/here"}, "a new route must be added to ROUTES"
    patterns = {str(pattern.pattern) for pattern in urls.urlpatterns}
    known = {path.lstrip("/") for path in urls.EXACT} | {f"{urls.MODEL_PREFIX.lstrip('/')}<path:name>", "^v1/"}
    assert patterns == known, "a new pattern must be added to ROUTES"
    for (path, _), route in ROUTES.items():
        if route.kind != "none":
            assert route.method in urls.EXACT[path].cls.methods
    served = {view.__name__ for view in views.CallView.__subclasses__()}
    assert served == {"ChatCompletions", "Embeddings", "Models", "Nothing"}, "a new view must be added to ROUTES"


def _change(row: Any, **fields: Any) -> None:
    for name, value in fields.items():
        setattr(row, name, value)
    row.save()


def _member(who: Customer) -> Membership:
    return who.organisation.memberships.get(user=who.key.user)


def _person_off(who: Customer) -> None:
    """A person of its own, so that no other customer loses Mia."""
    leaver = cast.person("leaver", is_active=False)
    cast.member(who.organisation, leaver)
    APIKey.objects.filter(pk=who.key_ids["main"]).update(user=leaver)


def _restrict(scope: str, target: Callable[[Customer], list[str]]) -> Callable[[Customer], None]:
    def impose(who: Customer) -> None:
        for one in target(who):
            restrictions.impose(
                organisation=who.organisation,
                scope=scope,
                target=one,
                category=category("PA-RATE"),
                reason="Test",
                actor=None,
            )

    return impose


def _block(kind: str, value: Callable[[Customer], str], purpose: str = "abuse") -> Callable[[Customer], None]:
    def add(who: Customer) -> None:
        own = None if kind in ("api_key", "organisation") else who.organisation
        blocks.add(kind=kind, value=value(who), purpose=purpose, organisation=own, reason="Test", actor=None)

    return add


def _limited(holder: str, **limits: Any) -> Callable[[Customer], None]:
    return lambda who: limit(who, holder, **limits)


def _revoked(who: Customer) -> None:
    api_keys.revoke(api_key=who.key, actor=None, reason="Test")


RESTRICTED = {"policy_code": "PA-RATE", "case": None, "until": None, "appeal": "mailto:abuse@localhost"}
NO_KEY: dict[str, Condition] = {
    "no key": Condition(401, "invalid_api_key", key=lambda: None),
    "an empty key": Condition(401, "invalid_api_key", key=lambda: ""),
    "a malformed key": Condition(401, "invalid_api_key", key=lambda: "nonsense"),
    "an unknown key": Condition(401, "invalid_api_key", key=mint_api_key),
    "a revoked key": Condition(401, "invalid_api_key", _revoked),
    "an expired key": Condition(
        401,
        "invalid_api_key",
        lambda who: APIKey.objects.filter(pk=who.key_ids["main"]).update(expires_at=clock.now() - timedelta(seconds=1)),
    ),
    "a member switched off": Condition(401, "invalid_api_key", lambda who: _change(_member(who), is_active=False)),
    "a member removed": Condition(401, "invalid_api_key", lambda who: _member(who).delete()),
    "a person switched off": Condition(401, "invalid_api_key", _person_off),
}
STANDING: dict[str, Condition] = {
    "an organisation switched off": Condition(403, "forbidden", lambda who: _change(who.organisation, is_active=False)),
    "a project switched off": Condition(403, "forbidden", lambda who: _change(who.project, is_active=False)),
    "an address not on the key's list": Condition(
        403, "address_not_allowed", lambda who: _change(who.key, addresses_allowed=["203.0.113.0/24"])
    ),
    "a suspended organisation": Condition(
        403,
        "restricted",
        _restrict("organisation", lambda who: [""]),
        says={**RESTRICTED, "scope": "organisation"},
    ),
    "a suspended project": Condition(
        403, "restricted", _restrict("project", lambda who: [str(who.project.pk)]), says=RESTRICTED
    ),
    "a suspended member": Condition(
        403, "restricted", _restrict("member", lambda who: [str(who.key.user_id)]), says=RESTRICTED
    ),
    "a suspended key": Condition(
        403,
        "restricted",
        _restrict("api_key", lambda who: [str(who.key_ids["main"])]),
        says={**RESTRICTED, "scope": "api_key"},
    ),
    "a restricted model": Condition(
        403,
        "restricted",
        _restrict("model", lambda who: ["mock-gpt", "mock-embed"]),
        reads="hidden",
        says={**RESTRICTED, "scope": "model"},
    ),
    "a restricted feature": Condition(
        403,
        "restricted",
        _restrict("feature", lambda who: ["chat", "embeddings"]),
        reads="hidden",
        says={**RESTRICTED, "scope": "feature"},
    ),
    "a blocked key": Condition(
        403,
        "blocked",
        _block("api_key", lambda who: str(who.key_ids["main"])),
        says={"policy_code": "PA-OTHER", "purpose": "abuse"},
    ),
    "a blocked organisation": Condition(403, "blocked", _block("organisation", lambda who: str(who.id))),
    "a blocked address": Condition(
        403, "blocked", _block("address", lambda who: "127.0.0.0/8", "security"), says={"policy_code": "CY-ATTACK"}
    ),
    "a blocked network": Condition(403, "blocked", _block("asn", lambda who: "AS64500")),
    "a blocked user agent": Condition(403, "blocked", _block("user_agent", lambda who: "AIOHTTP/")),
    "a sanctioned country, by address": Condition(
        403,
        "country_sanctioned",
        _block("country", lambda who: "FR", "sanctions"),
        says={"policy_code": "EC-SANCTION"},
    ),
    "a sanctioned country, as declared": Condition(
        403,
        "country_sanctioned",
        lambda who: (_change(who.organisation, country="KP"), _block("country", lambda _: "KP", "sanctions")(who)),
        says={"policy_code": "EC-SANCTION"},
    ),
    "a blocked phrase": Condition(
        403,
        "blocked",
        _block("phrase", lambda who: "the forbidden  words", "content"),
        reads="shown",
        says={"policy_code": "LG-ILLEGAL", "purpose": "content"},
    ),
}
MODELS: dict[str, Condition] = {
    "a model denied by the key": Condition(
        403, "model_not_allowed", lambda who: _change(who.key, models_allowed=["another"]), reads="hidden"
    ),
    "a model that does not exist": Condition(404, "model_not_found", reads="hidden", models=("nobody", "nobody")),
    "a model without a price": Condition(404, "model_not_found", reads="hidden", models=("unpriced", "unpriced-e")),
    "a model without a route": Condition(404, "model_not_found", reads="hidden", models=("unrouted", "unrouted-e")),
    "a retired model": Condition(
        410,
        "model_retired",
        reads="hidden",
        models=("retired", "retired-e"),
        says={"replacement": "mock-gpt", "retired_at": "2020-02-03"},
    ),
    "adult content not approved": Condition(
        403, "adult_not_approved", reads="hidden", models=("adult", "adult-e"), says={"policy_code": "SX-ADULT"}
    ),
    "an approval that is missing": Condition(
        403, "approval_required", reads="hidden", models=("gore", "gore-e"), says={"policy_code": "VI-GRAPHIC"}
    ),
    "a domain not approved": Condition(
        403,
        "domain_not_approved",
        lambda who: _change(who.project, restricted_domain="HD-MED"),
        reads="hidden",
        says={"policy_code": "HD-MED"},
    ),
    "export restricted": Condition(
        403, "export_restricted", reads="hidden", models=("german", "german-e"), says={"policy_code": "EC-SANCTION"}
    ),
    "the upstream's terms": Condition(
        403,
        "upstream_terms",
        lambda who: _change(who.organisation, is_external=True),
        reads="hidden",
        models=("own-use", "own-use-e"),
        says={"policy_code": "IP-UPSTREAM"},
    ),
}
# Money and rates are asked of calls alone: to look at what one could call costs nothing.
LIMITS: dict[str, Condition] = {
    "no funds": Condition(402, "insufficient_quota", reads="shown", funds_nano=0),
    "over budget": Condition(
        402,
        "budget_exceeded",
        _limited("organisation", budget_nano=0, budget_window="month"),
        reads="shown",
        says={"scope": "organisation", "limit": "budget_month"},
    ),
    "over requests a minute": Condition(
        429,
        "rate_limit_exceeded",
        _limited("key", requests_per_minute=0),
        reads="shown",
        says={"scope": "key", "limit": "requests_per_minute"},
    ),
    "over requests a day": Condition(
        429,
        "rate_limit_exceeded",
        _limited("member", requests_per_day=0),
        reads="shown",
        says={"scope": "member", "limit": "requests_per_day"},
    ),
    "over tokens a minute": Condition(
        429,
        "rate_limit_exceeded",
        _limited("project", tokens_per_minute=9),
        reads="shown",
        says={"scope": "project", "limit": "tokens_per_minute"},
    ),
    "over tokens a day": Condition(
        429,
        "rate_limit_exceeded",
        _limited("key", tokens_per_day=9),
        reads="shown",
        says={"scope": "key", "limit": "tokens_per_day"},
    ),
    "too many in flight": Condition(
        429,
        "rate_limit_exceeded",
        _limited("key", in_flight_max=0),
        reads="shown",
        says={"scope": "key", "limit": "in_flight"},
    ),
    "too large a body": Condition(413, "body_too_large", _limited("key", body_bytes_max=10), reads="shown"),
    # An embedding writes nothing, so no bound on output concerns it.
    "too much output": Condition(
        413,
        "max_tokens_exceeded",
        _limited("key", output_tokens_max=39),
        reads="shown",
        served=(conditions.EMBEDDINGS,),
    ),
}
CONDITIONS = {"keys": NO_KEY, "standing": STANDING, "models": MODELS, "limits": LIMITS}


@pytest.fixture(autouse=True)
def in_france(settings: Settings, tmp_path: Path) -> Iterator[None]:
    """The tests' own address lies in France, in network 64500."""
    settings.GEO_DATABASES = [conditions.address_database(tmp_path / "places.mmdb", {"127.0.0.0/8": ("FR", 64500)})]
    places.forget()
    yield
    settings.GEO_DATABASES = []
    places.forget()


def catalogue(channel: Channel) -> None:
    """The models that the conditions ask for, each as chat and as embedding model."""
    category("PA-RATE")  # seeds the taxonomy
    strict = cast.channel("Strict", base_url=channel.base_url)
    provider = Provider.objects.create(name="Strict provider")
    _change(strict.account, provider=provider)
    UpstreamTerms.objects.create(
        provider=provider, version="1", url="https://example.com/terms", no_external_clients=True
    )
    chat = Model.objects.get(name="mock-gpt")
    retired = clock.from_ms(1_580_688_000_000)
    traits: dict[str, dict[str, Any]] = {
        "retired": {"retires_at": retired, "replacement": chat},
        "adult": {"approval_category": "SX-ADULT"},
        "gore": {"approval_category": "VI-GRAPHIC"},
        "german": {"countries_allowed": ["DE"]},
        "unpriced": {"priced": False},
        "unrouted": {"on": None},
        "own-use": {"on": strict},
    }
    for name, fields in traits.items():
        cast.model(name, **{"on": channel, **fields})
        cast.model(f"{name}-e", kind="embedding", **{"on": channel, **fields})
    cast.model("mock-embed", on=channel, kind="embedding")


async def ask(gateway: Gateway, key: str | None, place: tuple[str, str], route: Route, models: tuple[str, str]) -> Any:
    """One request. key: None sends no Authorization at all."""
    path, variant = place
    headers = {} if key is None else {"Authorization": f"Bearer {key}"}
    if variant == "one":
        path = f"{path}/{models[0]}"
    body = {"json": route.body(*models)} if route.body else {}
    async with gateway.session.request(route.method, f"{gateway.url}{path}", headers=headers, **body) as response:
        await response.read()
        return response


def expected(place: tuple[str, str], route: Route, condition: Condition) -> tuple[int, str | None]:
    """Status and code that a route must answer under a condition; a code of None for a success."""
    if route.kind == "none":
        return 404, "route_not_found"
    if route.kind == "call":
        return (200, None) if place[0] in condition.served else (condition.status, condition.code)
    if condition.reads == "refused":
        return condition.status, condition.code
    if route.kind == "one" and condition.reads == "hidden":
        return 404, "model_not_found"
    return 200, None


def complaints(response: Any, route: Route, condition: Condition, wanted: tuple[int, str | None]) -> Iterator[str]:
    """What is wrong with an answer."""
    status, code = wanted
    if response.status != status:
        yield f"status {response.status} instead of {status}: {response._body[:200]!r}"
        return
    if uuid.UUID(response.headers["x-request-id"]).version != 7:
        yield "no request id"
    if ("Retry-After" in response.headers) != (status in (429, 503)):
        yield "Retry-After"
    if code is not None:
        yield from _complaints_of_error(response, route, condition, code)
    elif route.kind == "list":
        listed = [model["id"] for model in orjson.loads(response._body)["data"]]
        if (condition.models[0] in listed) != (condition.reads == "shown"):
            yield f"lists {listed}"


def _complaints_of_error(response: Any, route: Route, condition: Condition, code: str) -> Iterator[str]:
    error = error_of(response)
    if error["code"] != code or not error["message"] or not error["type"]:
        yield f"error {error}"
    if response.headers["Content-Type"] != "application/json":
        yield "is not JSON"
    if route.kind == "call" or condition.reads == "refused":
        for name, value in condition.says.items() if route.kind != "none" else ():
            if error.get(name, "absent") != value:
                yield f"{name} is {error.get(name, 'absent')!r} instead of {value!r}"


@pytest.mark.req(
    "GW-01",
    "GW-02",
    "GW-03",
    "GW-07",
    "GW-13",
    "GW-20",
    "GW-21",
    "GW-26",
    "GW-27",
    "GW-33",
    "GW-38",
    "CHN-13",
    "CHN-14",
)
@pytest.mark.parametrize("group", CONDITIONS)
async def test_every_route_answers_every_condition_alike_asks_no_upstream_and_charges_nothing(
    gateway: Gateway, mock: MockUpstream, mock_channel: Channel, group: str
) -> None:
    chosen = CONDITIONS[group]

    def arrange() -> dict[str, Customer]:
        catalogue(mock_channel)
        found = {}
        for number, (name, condition) in enumerate(chosen.items()):
            found[name] = conditions.customer(f"{group}-{number}", funds_nano=condition.funds_nano)
            condition.arrange(found[name])
        return found

    customers = await in_database(arrange)
    wrong, served = {}, 0
    for (name, condition), (place, route) in itertools.product(chosen.items(), ROUTES.items()):
        key = condition.key() if condition.key else customers[name].keys["main"]
        response = await ask(gateway, key, place, route, condition.models)
        wanted = expected(place, route, condition)
        served += wanted[1] is None and route.kind == "call"
        if found := list(complaints(response, route, condition, wanted)):
            wrong[f"{name}: {' '.join(place)}"] = found
    assert wrong == {}
    assert len(mock.requests()) == len(await posted()) == served
    assert not [hold for shard in range(16) for hold in bank.holds(shard=shard)]


async def test_a_customer_without_any_trouble_is_served_by_every_route(
    gateway: Gateway, mock: MockUpstream, mock_channel: Channel
) -> None:
    def arrange() -> Customer:
        catalogue(mock_channel)
        return conditions.customer("sound")

    sound = await in_database(arrange)
    models = ("mock-gpt", "mock-embed")
    for place, route in ROUTES.items():
        response = await ask(gateway, sound.keys["main"], place, route, models)
        assert response.status == (404 if route.kind == "none" else 200), (place, response._body)
    assert len(mock.requests()) == len(await posted()) == 3


@pytest.mark.outage
async def test_without_redis_every_route_says_so_within_two_seconds_and_never_401(
    gateway: Gateway, mock: MockUpstream, mock_channel: Channel, redis_server: subprocess.Popen[bytes]
) -> None:
    await in_database(lambda: catalogue(mock_channel))
    assert (await gateway.chat()).status == 200
    mock.forget()
    models = ("mock-gpt", "mock-embed")
    with away(redis_server):
        began = time.monotonic()
        answers = await asyncio.gather(
            *(ask(gateway, gateway.key, place, route, models) for place, route in ROUTES.items())
        )
        assert time.monotonic() - began < 2.5
    for route, answer in zip(ROUTES.values(), answers, strict=True):
        if route.kind == "none":
            assert answer.status == 404
            continue
        assert (answer.status, error_of(answer)["code"]) == (503, "unavailable")
        assert answer.headers["Retry-After"]
    assert mock.requests() == []
    assert (await gateway.chat()).status == 200


async def test_no_route_takes_a_method_that_is_not_its_own(gateway: Gateway, mock: MockUpstream) -> None:
    for path, view in urls.EXACT.items():
        for method in {"GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"} - view.cls.methods:
            async with gateway.session.request(
                method, f"{gateway.url}{path}", headers={"Authorization": f"Bearer {gateway.key}"}
            ) as response:
                await response.read()
                assert response.status == 405, (method, path)
                assert error_of(response)["code"] == "method_not_allowed"
    assert mock.requests() == []
