"""The health of upstreams as jobs and admins tell and read it."""

from datetime import UTC, datetime
from typing import Any

import pytest

from newapi.kernel import clock
from newapi.kernel.meters import health, health_records, keys
from newapi.kernel.meters.health_records import retry_after_s

PLACE = (3, "gpt-4o")


def fail(times: int = 1, *, channel_id: int = 17, failures_max: int = 5) -> None:
    """So many failures in a row, as probes tell them."""
    for _ in range(times):
        report = health_records.failed(
            channel_id, failures_max=failures_max, error_percent=50, open_ms=15_000, what="status 500 to a test"
        )
        health.tell(report)


def test_a_failed_probe_counts_like_any_call() -> None:
    fail(4)
    assert health.read().rests == {}
    fail()
    known = health.read()
    assert known.rests["c:17"].reason == "5 failures in a row, the last: status 500 to a test"
    assert (known.flows[17].calls, known.flows[17].errors) == (5, 5)


def test_a_probe_that_succeeds_closes_a_breaker_before_its_rest_is_over_and_a_call_does_not() -> None:
    fail(5)
    health.tell(health_records.worked("c:17", first_byte_ms=80))
    assert health.read().rests["c:17"].until_ms > clock.now_ms()
    health.tell(health_records.worked("c:17", first_byte_ms=80, is_probe=True))
    known = health.read()
    assert known.rests == {}
    assert (known.flows[17].calls, known.flows[17].errors, known.flows[17].latency_ms) == (1, 0, 80)


def test_a_pause_counts_for_the_hour_at_most_and_for_its_place_alone() -> None:
    health.pause(account_id=3, upstream_model="gpt-4o", retry_after_s=7)
    health.pause(account_id=3, upstream_model="o9", retry_after_s=9_999)
    quotas = health.read().quotas
    assert set(quotas) == {PLACE, (3, "o9")}
    assert round((quotas[PLACE] - clock.now_ms()) / 1_000) == 7
    assert round((quotas[3, "o9"] - clock.now_ms()) / 1_000) == 3_600


def test_a_reset_takes_what_was_named_and_leaves_the_rest() -> None:
    fail(5)
    fail(5, channel_id=18)
    health.tell(health_records.refused(9, status=401, open_ms=15_000))
    health.pause(account_id=3, upstream_model="gpt-4o", retry_after_s=7)
    health.pause(account_id=33, upstream_model="gpt-4o", retry_after_s=7)
    health.reset(channel_ids=[17], key_ids=[9], account_ids=[3])
    known = health.read()
    assert (set(known.rests), set(known.flows), set(known.quotas)) == ({"c:18"}, {18}, {(33, "gpt-4o")})


def test_resetting_what_nobody_knows_is_harmless() -> None:
    health.reset(channel_ids=[1], key_ids=[2], account_ids=[3])
    health.reset()
    assert health.read() == health_records.Known()


def test_all_of_it_lies_on_one_node_of_a_cluster_and_goes_when_nobody_uses_it(redis: Any) -> None:
    assert {name.partition("}")[0] for name in health_records.KEYS} == {"{health"}
    fail(5)
    health.pause(account_id=3, upstream_model="gpt-4o", retry_after_s=7)
    assert all(0 < redis.ttl(name) <= 86_400 for name in redis.keys("{health}*"))
    assert len(redis.keys("{health}*")) == 3


@pytest.mark.parametrize(
    ("key", "hours"),
    [(keys.breakers(), 24.1), (keys.flows(), 1.1), (keys.quotas(), 1.1)],
)
def test_what_has_outlived_its_use_is_dropped_by_the_next_reading(redis: Any, key: str, hours: float) -> None:
    fail(5)
    health.pause(account_id=3, upstream_model="gpt-4o", retry_after_s=3_600)
    with clock.shifted((hours - 0.2) * 3_600):
        health.read()
        assert redis.hlen(key) == 1
    with clock.shifted(hours * 3_600):
        health.read()
        assert redis.hlen(key) == 0


NOON = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("", None),
        ("7", 7),
        (" 7 ", 7),
        ("0", 0),
        ("99999999999999999999", 3_600),
        ("-3", None),
        ("1.5", None),
        ("soon", None),
        ("٧", None),
        ("Sat, 21 Nov 2026 12:00:30 GMT", 30),
        ("Sat, 21 Nov 2026 11:00:00 GMT", 0),
        ("Sun, 22 Nov 2026 12:00:00 GMT", 3_600),
    ],
)
def test_retry_after_is_read_as_seconds_or_as_a_date_and_never_believed_beyond_an_hour(
    header: str | None, seconds: int | None
) -> None:
    with clock.at(NOON):
        found = retry_after_s(header)
    assert found == seconds
