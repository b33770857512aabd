"""Counters for Prometheus, read at /metrics. Labels have few values; no key, organisation or model is one."""

import functools

from prometheus_client import Counter, Histogram

_CALLS = Counter("newapi_calls_total", "Answers to model calls.", ["endpoint", "status"])
_LATENCY = Histogram(
    "newapi_call_seconds",
    "Time until the answer began.",
    ["endpoint"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120),
)
_DOWN = Counter(
    "newapi_dependency_failures_total",
    "Calls answered 503 because a part was out of reach.",
    ["part", "kind"],
)
_UNSEEN = Counter("newapi_observations_dropped_total", "Calls that detectors never saw, because Redis was away.")


def answered(endpoint: str, status: int, latency_ms: int) -> None:
    """Count an answer."""
    _calls(endpoint, status).inc()
    _latency(endpoint).observe(latency_ms / 1000)


@functools.cache
def _calls(endpoint: str, status: int) -> Counter:
    return _CALLS.labels(endpoint, status)


@functools.cache
def _latency(endpoint: str) -> Histogram:
    return _LATENCY.labels(endpoint)


def dependency_down(part: str, kind: str) -> None:
    """Count a call that met a part that was down."""
    _DOWN.labels(part, kind).inc()


def observations_dropped(count: int) -> None:
    """Count what detectors will never see."""
    _UNSEEN.inc(count)
