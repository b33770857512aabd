"""Whatever is killed: nothing is lost, nothing charged twice, no hold remains."""

import os
import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import requests

from tests.processes import MockUpstream, until
from tests.product.conftest import HOLD_DEADLINE_S, Product

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("product")]
# The promise is the hold's deadline plus a minute.
RECOVERY_S = HOLD_DEADLINE_S + 60


def rows(product: Product) -> list[Any]:
    """(id, outcome, cost) of every usage row."""
    return product.ask("list(UsageEvent.objects.values_list('id', 'outcome', 'cost_nano'))")


def state(product: Product) -> list[int]:
    """[holds and unposted entries, usage rows, buckets still to be summed up]"""
    return product.ask(
        "[sum(len(bank.holds(shard=s)) + len(bank.unposted(shard=s, limit=9)) for s in range(16)), "
        "UsageEvent.objects.count(), RollupDirty.objects.count()] "
        "if (bank := __import__('newapi.kernel.meters.bank', fromlist=['x'])) else None"
    )


def settled(product: Product, expected: int) -> bool:
    """Whether there is a usage row for every call that reached the upstream, and no hold or entry is left."""
    return state(product) == [0, expected, 0]


def rows_before(product: Product) -> int:
    """How many usage rows there are once the calls of earlier tests are posted."""
    until(lambda: state(product)[0] == 0, within_s=RECOVERY_S, what="earlier calls are posted")
    return len(rows(product))


def test_a_killed_web_worker_loses_no_stream(product: Product, upstream: MockUpstream) -> None:
    before = rows_before(product)
    known = {row[0] for row in rows(product)}
    upstream.forget()
    upstream.behave(chunks="200", chunk_delay_ms="100", reply_tokens="200")
    broken = []

    def stream() -> None:
        try:
            with requests.post(
                f"{product.url}/v1/chat/completions",
                json={"model": "mock-gpt", "messages": [{"role": "user", "content": "Hello"}], "stream": True},
                headers={"Authorization": f"Bearer {product.demo['api_key']}"},
                stream=True,
                timeout=60,
            ) as response:
                for _ in response.iter_content(None):
                    pass
        except requests.RequestException:
            broken.append(True)

    threads = [threading.Thread(target=stream) for _ in range(20)]
    for thread in threads:
        thread.start()
    until(lambda: len(upstream.requests()) == 20, within_s=20, what="20 streams reached the upstream")
    product.kill("uvicorn")
    for thread in threads:
        thread.join(timeout=30)
    assert len(broken) == 20
    product.ready()
    until(lambda: settled(product, before + 20), within_s=RECOVERY_S, what="the sweeper settled 20 streams")
    lost = [row for row in rows(product) if row[1] == "lost" and row[0] not in known]
    assert len(lost) == 20
    assert all(row[2] > 0 for row in lost)
    assert product.findings() == []
    upstream.forget()
    assert product.call().status_code == 200


def test_a_killed_celery_worker_posts_everything_once(product: Product, upstream: MockUpstream) -> None:
    before = rows_before(product)
    upstream.forget()
    with ThreadPoolExecutor(16) as pool:
        calls = [pool.submit(product.call) for _ in range(300)]
        for _ in range(3):
            product.kill(" worker")
        answers = [call.result() for call in calls]
    assert [answer.status_code for answer in answers] == [200] * 300
    until(lambda: product.pids(" worker"), within_s=60, what="the worker is back")
    until(lambda: settled(product, before + 300), within_s=RECOVERY_S, what="300 calls were posted")
    assert {answer.headers["x-request-id"] for answer in answers} <= {row[0] for row in rows(product)}
    assert product.findings() == []


def test_a_killed_redis_loses_no_settled_call_and_recovers(product: Product, upstream: MockUpstream) -> None:
    if pid := product.env.get("TEST_REDIS_PID"):
        restart_own_redis(product, int(pid))
        return
    before = rows_before(product)
    upstream.forget()
    upstream.behave(latency_ms="50")
    with ThreadPoolExecutor(8) as pool:
        calls = [pool.submit(product.call) for _ in range(120)]
        product.kill("redis.sock")
        statuses = [call.result().status_code for call in calls]
    assert set(statuses) <= {200, 503}
    product.ready()
    until(lambda: settled(product, before + len(upstream.requests())), within_s=RECOVERY_S, what="all was posted")
    assert product.findings() == []
    until(lambda: product.call().status_code == 200, within_s=10, what="calls pass again")


def restart_own_redis(product: Product, pid: int) -> None:
    """The distributed size does not keep Redis itself: it is stopped for a while and goes on."""
    os.kill(pid, signal.SIGSTOP)
    try:
        answer = product.call()
        assert (answer.status_code, answer.elapsed.total_seconds() < 3) == (503, True)
        assert answer.headers["Retry-After"]
    finally:
        os.kill(pid, signal.SIGCONT)
    until(lambda: product.call().status_code == 200, within_s=10, what="calls pass again")
    assert product.findings() == []
