"""Trouble and traffic for billing's tests."""

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import pytest
from django.conf import LazySettings
from django.db import connection

from newapi.kernel.meters import bank

InBackground = Callable[[Callable[[], object]], AbstractContextManager[Callable[[], int]]]


@pytest.fixture
def unreachable_redis(settings: LazySettings) -> Iterator[None]:
    """A Redis address at which nobody answers."""
    settings.REDIS_URL = f"unix://{settings.TEST_DIR}/nobody.sock"
    bank.connection.cache_clear()
    yield
    bank.connection.cache_clear()


@pytest.fixture
def in_background() -> InBackground:
    """Repeats some work in a thread while a block runs; gives the number of rounds done."""

    @contextmanager
    def repeat(work: Callable[[], object]) -> Iterator[Callable[[], int]]:
        stop = threading.Event()
        rounds = 0
        errors: list[Exception] = []

        def run() -> None:
            nonlocal rounds
            try:
                while not stop.is_set():
                    work()
                    rounds += 1
            except Exception as error:
                errors.append(error)
            finally:
                connection.close()

        thread = threading.Thread(target=run)
        thread.start()
        try:
            yield lambda: rounds
        finally:
            stop.set()
            thread.join()
        assert not errors, errors

    return repeat
