"""Every limit × whoever can hold it, with three workers: of many parallel calls exactly as many pass as it allows."""

import itertools
import json
import os
import signal
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.gateway.conditions import CHAT, HOLDERS, KEYS, MODELS, SHARED_BY, chat_body, exact_body, hold_nano
from tests.processes import MockUpstream, until
from tests.product.conftest import HOLD_DEADLINE_S, Product, descendants
from tests.product.workers import running_workers

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("product")]
PASS, ASK = 4, 12
BODY = exact_body()
SLOW_BODY = chat_body(manners={"latency_ms": 4000})
TOKENS = len(BODY) + 20
# Limits that let so many of these bodies pass, and the status of the others.
LIMITS: dict[str, tuple[dict[str, Any], bytes, int]] = {
    "requests_per_minute": ({"requests_per_minute": PASS}, BODY, 429),
    "requests_per_day": ({"requests_per_day": PASS}, BODY, 429),
    "tokens_per_minute": ({"tokens_per_minute": PASS * TOKENS + 9}, BODY, 429),
    "tokens_per_day": ({"tokens_per_day": PASS * TOKENS + 9}, BODY, 429),
    "in_flight": ({"in_flight_max": PASS}, SLOW_BODY, 429),
    **{
        f"budget_{window}": ({"budget_nano": PASS * hold_nano(BODY), "budget_window": window}, BODY, 402)
        for window in ("day", "week", "month", "total")
    },
}
CAPS: dict[str, Any] = {"body_bytes_max": 400, "output_tokens_max": 50}


@pytest.fixture(scope="module")
def workers(product: Product) -> Iterator[list[str]]:
    """Three web workers."""
    with running_workers(product) as urls:
        yield urls


@pytest.fixture(scope="module")
def customers(product: Product) -> dict[str, dict[str, Any]]:
    """A customer for each limit and holder, so that every meter begins anew; and one without limits."""
    wanted = {
        slug(name, holder): {"holder": holder, **limits}
        for name, (limits, _, _) in LIMITS.items()
        for holder in HOLDERS
    }
    wanted |= {slug("caps", holder): {"holder": holder, **CAPS} for holder in HOLDERS}
    wanted["free"] = {"holder": "key"}
    made = f"__import__('tests.gateway.conditions', fromlist=['x']).customers(json.loads({json.dumps(wanted)!r}))"
    return product.ask(made)


def slug(name: str, holder: str) -> str:
    """The name of the customer who has such a limit."""
    return f"{name}-{holder}".replace("_", "-")


def post(url: str, key: str, body: bytes) -> requests.Response:
    """One chat call."""
    return requests.post(f"{url}{CHAT}", data=body, headers={"Authorization": f"Bearer {key}"}, timeout=30)


@pytest.mark.req("GW-02", "GW-03", "GW-04", "GW-07")
@pytest.mark.parametrize("name", LIMITS)
def test_of_twelve_parallel_calls_over_three_workers_exactly_four_pass(
    product: Product,
    upstream: MockUpstream,
    workers: list[str],
    customers: dict[str, dict[str, Any]],
    name: str,
) -> None:
    upstream.forget()
    _, body, status = LIMITS[name]
    with ThreadPoolExecutor(len(HOLDERS) * ASK) as pool:
        for holder in HOLDERS:
            warm_up(workers, [customers[slug(name, holder)]["keys"][key] for key in SHARED_BY[holder]])
        asked = [
            (holder, pool.submit(post, url, customers[slug(name, holder)]["keys"][key], body))
            for holder in HOLDERS
            for url, key, _ in zip(
                itertools.cycle(workers), itertools.cycle(SHARED_BY[holder]), range(ASK), strict=False
            )
        ]
        answers = [(holder, answer.result()) for holder, answer in asked]
    counted = {
        holder: Counter(answer.status_code for other, answer in answers if other == holder) for holder in HOLDERS
    }
    assert counted == {holder: {200: PASS, status: ASK - PASS} for holder in HOLDERS}
    for holder, answer in answers:
        if answer.status_code == status:
            error = answer.json()["error"]
            assert (error["scope"], error["limit"]) == (holder, name)
    assert post(workers[0], customers["free"]["keys"]["main"], BODY).status_code == 200
    if name == "in_flight":
        return
    for holder in HOLDERS:
        for url, key in zip(itertools.cycle(workers), KEYS, strict=False):
            answer = post(url, customers[slug(name, holder)]["keys"][key], BODY)
            assert answer.status_code == (status if key in SHARED_BY[holder] else 200), (holder, key)
    mini = exact_body(model="mock-gpt-mini")
    for url in workers:
        assert post(url, customers[slug(name, "model")]["keys"]["main"], mini).status_code == 200


def warm_up(workers: list[str], keys: list[str]) -> None:
    """Let every worker know the keys, at no cost."""
    for url, key in itertools.product(workers, keys):
        answer = requests.get(f"{url}{MODELS}", headers={"Authorization": f"Bearer {key}"}, timeout=10)
        assert answer.status_code == 200


@pytest.mark.req("GW-02")
def test_what_the_headers_of_one_worker_say_is_what_the_others_do(
    product: Product, upstream: MockUpstream, workers: list[str]
) -> None:
    upstream.forget()
    wanted = {"told": {"holder": "organisation", "requests_per_minute": 6}}
    made = f"__import__('tests.gateway.conditions', fromlist=['x']).customers(json.loads({json.dumps(wanted)!r}))"
    key = product.ask(made)["told"]["keys"]["main"]
    answers = [post(url, key, BODY) for url, _ in zip(itertools.cycle(workers), range(8), strict=False)]
    assert [answer.status_code for answer in answers] == [200] * 6 + [429] * 2
    left = [int(answer.headers["x-ratelimit-remaining-requests"]) for answer in answers]
    assert left == [5, 4, 3, 2, 1, 0, 0, 0]
    assert 1 <= int(answers[-1].headers["Retry-After"]) <= 60


@pytest.mark.req("GW-07")
@pytest.mark.parametrize("holder", HOLDERS)
def test_every_worker_holds_a_call_to_its_size(
    upstream: MockUpstream, workers: list[str], customers: dict[str, dict[str, Any]], holder: str
) -> None:
    upstream.forget()
    keys = customers[slug("caps", holder)]["keys"]
    large = chat_body(content="x" * 400)
    for url in workers:
        assert post(url, keys["main"], chat_body(max_tokens=50)).status_code == 200
        refused = [post(url, keys["main"], body) for body in (large, chat_body(max_tokens=51))]
        assert [answer.status_code for answer in refused] == [413, 413]
        assert [answer.json()["error"]["code"] for answer in refused] == ["body_too_large", "max_tokens_exceeded"]
        for key in set(KEYS) - set(SHARED_BY[holder]):
            assert post(url, keys[key], large).status_code == 200


@pytest.mark.req("GW-07")
def test_what_a_killed_worker_had_in_flight_is_given_back(product: Product, upstream: MockUpstream) -> None:
    upstream.forget()
    wanted = {"interrupted": {"holder": "key", "in_flight_max": 2}}
    made = f"__import__('tests.gateway.conditions', fromlist=['x']).customers(json.loads({json.dumps(wanted)!r}))"
    key = product.ask(made)["interrupted"]["keys"]["main"]
    hanging = chat_body(manners={"latency_ms": 60_000})
    with running_workers(product, 1) as [url], ThreadPoolExecutor(2) as pool:
        calls = [pool.submit(post, url, key, hanging) for _ in range(2)]
        until(lambda: len(upstream.requests()) == 2, within_s=20, what="two calls are in flight")
        assert post(product.url, key, BODY).status_code == 429
        [worker] = [pid for pid in descendants(os.getpid()) if listens(pid, url)]
        os.kill(worker, signal.SIGKILL)
        assert all(isinstance(call.exception(), requests.ConnectionError) for call in calls)
    until(lambda: post(product.url, key, BODY).ok, within_s=HOLD_DEADLINE_S + 60, what="calls pass again")


def listens(pid: int, url: str) -> bool:
    """Whether a process is the worker at that address."""
    return f"--port\0{url.rpartition(':')[2]}\0".encode() in Path(f"/proc/{pid}/cmdline").read_bytes()


def test_afterwards_the_money_is_right(product: Product) -> None:
    assert product.findings() == []
