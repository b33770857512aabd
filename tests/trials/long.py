"""How much is tried: a little in every run of the tests, all of it by `make test-long`."""

import os

# Set by `make test-long`.
IS_LONG = os.environ.get("TEST_LONG") == "1"


def either(short: int, long: int) -> int:
    """The first number in an ordinary run, the second in a long one."""
    return long if IS_LONG else short
