"""Numbers as people read them."""

from typing import Any

import pytest

from newapi.templatetags import portal


@pytest.mark.parametrize(
    ("filter_", "value", "text"),
    [
        (portal.compact, None, "–"),
        (portal.compact, 0, "0"),
        (portal.compact, 999, "999"),
        (portal.compact, 1_000, "1.00K"),
        (portal.compact, 9_999, "10.0K"),
        (portal.compact, 12_345, "12.3K"),
        (portal.compact, 999_949, "1.00M"),
        (portal.compact, 4_560_000, "4.56M"),
        (portal.duration, None, "–"),
        (portal.duration, 999, "999 ms"),
        (portal.duration, 3_249, "3.2 s"),
        (portal.duration, 125_000, "2 min 5 s"),
        (portal.percent, 0.0, "0.0 %"),
        (portal.percent, 0.00001, "< 0.1 %"),
        (portal.percent, 0.1234, "12.3 %"),
        (portal.percent, 0.9999, "> 99.9 %"),
        (portal.percent, 1.0, "100 %"),
        (portal.amount, 0, "0.00"),
        (portal.amount, 1_234_500_000_000, "1,234.50"),
        (portal.amount, -1, "-0.000000001"),
    ],
)
def test_figures_are_short_and_never_say_what_is_not_so(filter_: Any, value: Any, text: str) -> None:
    assert filter_(value) == text
