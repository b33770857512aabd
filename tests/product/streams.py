"""Streams of the running product as their callers see them, and customers to open them."""

import json
import threading
import time
from dataclasses import dataclass, field
from typing import Any

import requests

from tests.gateway.conditions import CHAT, chat_body
from tests.product.conftest import Product

LONG = chat_body(stream=True, max_tokens=2000, manners={"chunks": 2000, "chunk_delay_ms": 50, "reply_tokens": 2000})


@dataclass
class Stream:
    """A stream as its caller sees it."""

    url: str
    key: str
    body: bytes = b""
    request_id: str = ""
    ended: float = 0.0
    _thread: threading.Thread | None = field(default=None)

    def open(self) -> "Stream":
        """Read it beside the test."""
        self._thread = threading.Thread(target=self._read)
        self._thread.start()
        return self

    def _read(self) -> None:
        headers = {"Authorization": f"Bearer {self.key}"}
        with requests.post(f"{self.url}{CHAT}", data=LONG, headers=headers, stream=True, timeout=60) as answer:
            self.request_id = answer.headers["x-request-id"]
            for piece in answer.iter_content(None):
                self.body += piece
        self.ended = time.monotonic()

    def runs(self) -> bool:
        """Whether it has begun."""
        return self.body.count(b"data:") > 2

    def close(self) -> dict[str, Any]:
        """Wait for its end and return the error that it ended with."""
        assert self._thread is not None
        self._thread.join(timeout=60)
        assert self.ended and b"[DONE]" not in self.body
        last = [line for line in self.body.split(b"\n") if line.startswith(b"data:")][-1]
        return json.loads(last[5:])["error"]


def customer(product: Product, slug: str, **limits: Any) -> dict[str, Any]:
    """A customer of its own, so that nothing else is cut."""
    wanted = {slug: {"holder": "key", **limits}}
    made = f"__import__('tests.gateway.conditions', fromlist=['x']).customers(json.loads({json.dumps(wanted)!r}))"
    return product.ask(made)[slug]
