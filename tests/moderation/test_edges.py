"""Every edge case that moderation must stand has a test that names it."""

import re
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
EDGES = set(range(1, 45))


def test_each_of_the_44_edge_cases_is_shown_by_a_test() -> None:
    marks = (
        number
        for path in TESTS.rglob("test_*.py")
        for numbers in re.findall(r"pytest\.mark\.edge\(([0-9, ]+)\)", path.read_text())
        for number in numbers.split(",")
    )
    assert EDGES - {int(number) for number in marks} == set()
