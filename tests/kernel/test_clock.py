"""The clock: milliseconds and datetimes say the same instant."""

from datetime import datetime, timedelta, timezone

from hypothesis import given
from hypothesis import strategies as st

from newapi.kernel import clock


@given(st.integers(min_value=0, max_value=253_402_300_799_999))
def test_a_millisecond_is_the_same_there_and_back(ms: int) -> None:
    assert clock.to_ms(clock.from_ms(ms)) == ms


def test_an_instant_is_the_same_in_every_time_zone() -> None:
    here = datetime(2026, 3, 29, 2, 30, 0, 1_000, tzinfo=timezone(timedelta(hours=5, minutes=45)))
    assert clock.from_ms(clock.to_ms(here)) == here


def test_a_clock_that_was_set_never_shows_a_moment_before() -> None:
    start = clock.now()
    for number in range(2_000):
        moment = start + timedelta(days=10, milliseconds=number * 37)
        with clock.at(moment):
            assert clock.now() >= moment
    assert clock.now() - start < timedelta(minutes=1)
