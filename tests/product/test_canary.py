"""No content is kept by the product as a whole (GW-16): in its files, its logs, its tables, its Redis."""

import contextlib
import threading
from pathlib import Path

import pytest
import requests

from tests.gateway import canary
from tests.gateway.conditions import CHAT, EMBEDDINGS, chat_body
from tests.processes import MockUpstream, until
from tests.product.conftest import HOLD_DEADLINE_S, Product

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("product")]
WORD = "canaryproduct83b6aa"


@pytest.mark.req("GW-16")
def test_no_word_of_a_prompt_is_in_any_file_log_table_or_queue_though_a_worker_is_killed(
    product: Product, upstream: MockUpstream
) -> None:
    upstream.forget()
    headers = {"Authorization": f"Bearer {product.demo['api_key']}"}

    def post(path: str, body: bytes) -> int:
        with contextlib.suppress(requests.RequestException):
            return requests.post(f"{product.url}{path}", data=body, headers=headers, timeout=30).status_code
        return 0

    text = f"Say {WORD}."
    assert post(CHAT, chat_body(content=text, user=WORD)) == 200
    assert post(CHAT, chat_body(content=text, stream=True)) == 200
    assert post(EMBEDDINGS, f'{{"model": "mock-embed", "input": ["{text}"]}}'.encode()) == 200
    for status, seen in (("400", 400), ("500", 502)):
        assert post(CHAT, chat_body(content=text, manners={"status": status})) == seen
    assert post(CHAT, chat_body(content=text, manners={"garbage": "1"})) == 502
    assert post(CHAT, chat_body(WORD, content=text)) == 404
    assert post(CHAT, f'{{"{WORD}": '.encode()) == 400
    assert post(f"/v1/{WORD}", b"{}") == 404
    slow = chat_body(
        content=text, stream=True, max_tokens=200, manners={"chunks": 200, "chunk_delay_ms": 100, "reply_tokens": 200}
    )
    upstream.forget()
    streams = [threading.Thread(target=post, args=(CHAT, slow)) for _ in range(3)]
    for stream in streams:
        stream.start()
    until(lambda: len(upstream.requests()) == 3, within_s=20, what="the streams reached the upstream")
    product.kill("uvicorn")
    for stream in streams:
        stream.join(timeout=40)
    product.ready()
    until(lambda: lost(product) >= 3, within_s=HOLD_DEADLINE_S + 60, what="the sweeper settled the streams")
    looked = f"c.in_tables(['{WORD}']) + c.in_redis(['{WORD}'])"
    assert product.ask(f"{looked} if (c := __import__('tests.gateway.canary', fromlist=['x'])) else None") == []
    files = [path for path in product.log.parent.rglob("*") if path.is_file()]
    assert {"serve.log"} < {path.name for path in files}
    assert [path.name for path in files if canary.is_in(contents(path), [WORD])] == []


def lost(product: Product) -> int:
    """How many calls lost their worker."""
    return product.ask("UsageEvent.objects.filter(outcome='lost').count()")


def contents(path: Path) -> bytes:
    """The bytes of a file; nothing when it is gone meanwhile."""
    with contextlib.suppress(FileNotFoundError):
        return path.read_bytes()
    return b""
