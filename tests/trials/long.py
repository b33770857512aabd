"""How much is tried: a little in every run of the tests, all of it by `make test-long`.

`make test` runs on SQLite and on PostgreSQL, so that what is tried by chance is halved between them: each tries
other cases. `make test-long` tries all of them on both.
"""

import os
from collections.abc import Sequence
from typing import TypeVar

from django.db import connection

T = TypeVar("T")

# Set by `make test-long`.
IS_LONG = os.environ.get("TEST_LONG") == "1"


def either(short: int, long: int) -> int:
    """The first number in an ordinary run, the second in a long one."""
    return long if IS_LONG else short


def half(cases: Sequence[T]) -> Sequence[T]:
    """Of the cases of an ordinary run every other one, from the first on SQLite and from the second on PostgreSQL."""
    return cases if IS_LONG else cases[int(connection.vendor == "postgresql") :: 2]
