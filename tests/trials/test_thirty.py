"""Which test shows which of the thirty edge tests of billing.md's fourth chapter: by the number in its name."""

import ast
import re
from collections import defaultdict
from functools import cache
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parent.parent

# What each number is about, and what a test's name must say of it.
THIRTY = {
    1: "hundred_threads",
    2: "held_for_once",
    3: "sweep",
    4: "settled_twice",
    5: "owed",
    6: "killed",
    7: "killed",
    8: "inbox",
    9: "database_down",
    10: "leaves",
    11: "without_usage",
    12: "huge",
    13: "beyond",
    14: "even",
    15: "events",
    17: "stream",
    18: "published_at_once",
    19: "unknown",
    20: "expires_while",
    21: "one_order",
    22: "max_1",
    23: "swapped",
    24: "expires",
    25: "empty_webhook_secret",
    26: "0_01_for_500",
    27: "then_expired",
    28: "gap",
    29: "clock",
}
# Numbers about what is not built here, with the reason.
ELSEWHERE = {
    16: "cents of invoice lines: there are no invoices yet",
    30: "finalizing an invoice beside a late batch: there are no invoices yet",
}


@cache
def shown() -> dict[int, list[str]]:
    """The tests of the whole suite whose names begin with a number, by that number."""
    found: dict[int, list[str]] = defaultdict(list)
    for path in sorted(TESTS.rglob("test_*.py")):
        for node in ast.parse(path.read_text()).body:
            is_test = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
            if is_test and (match := re.match(r"test_(\d\d)_", node.name)):
                found[int(match[1])].append(f"{path.relative_to(TESTS)}::{node.name}")
    return found


def test_the_thirty_are_all_accounted_for() -> None:
    assert sorted(THIRTY | ELSEWHERE) == list(range(1, 31))
    assert not THIRTY.keys() & ELSEWHERE.keys()
    assert set(shown()) <= set(THIRTY), "a number that no edge test has"


@pytest.mark.parametrize("number", THIRTY)
def test_a_test_of_the_suite_carries_the_number(number: int) -> None:
    names = shown()[number]
    assert names, f"no test is called test_{number:02}_…"
    assert any(THIRTY[number] in name for name in names), names
