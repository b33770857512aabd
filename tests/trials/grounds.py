"""What every example of the money machine starts from."""

import asyncio
from collections.abc import Awaitable
from dataclasses import dataclass
from typing import TypeVar

from django.conf import settings
from redis import Redis

from accounts.models import Organisation
from newapi.kernel.meters.pipe import Pipe
from newapi.kernel.meters.till import Till
from tests.billing import calls

T = TypeVar("T")


class Worker:
    """One event loop and one connection to the till, for all examples."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.till = Till(Pipe(settings.REDIS_URL))

    def run(self, work: Awaitable[T]) -> T:
        """Wait for it."""
        return self.loop.run_until_complete(work)  # type: ignore[arg-type]

    def close(self) -> None:
        """Leave nothing open."""
        self.run(self.till.pipe.close())
        self.loop.close()


@dataclass
class Grounds:
    """Acme as it was made; each example is rolled back to that."""

    acme: Organisation
    line: calls.Line
    redis: Redis
    worker: Worker
    # Of 5 USD each, not redeemed yet.
    codes: list[str]
