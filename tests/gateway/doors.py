"""Ways in and out of the gateway that its tests share."""

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar

import orjson
from django.db import close_old_connections

from billing.models import UsageEvent
from billing.services import posting

T = TypeVar("T")


async def in_database(work: Callable[[], T]) -> T:
    """Run ORM code beside the event loop, as another process would."""

    def run() -> T:
        try:
            return work()
        finally:
            close_old_connections()

    return await asyncio.to_thread(run)


async def posted() -> list[UsageEvent]:
    """Post what waits and return all usage rows, oldest first."""
    return await in_database(lambda: (posting.post(), list(UsageEvent.objects.order_by("id")))[1])


def error_of(response: Any) -> dict[str, Any]:
    """The error object of a response, after checking the envelope."""
    body = orjson.loads(response._body)
    assert set(body) == {"error"}
    assert {"message", "type", "param", "code"} <= set(body["error"])
    assert response.headers["x-request-id"]
    return body["error"]
