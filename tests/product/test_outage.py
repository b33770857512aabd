"""A part is away for some seconds under load: prompt refusals, never a 401, and afterwards nothing is missing."""

import contextlib
from collections.abc import Callable

import pytest

from tests.processes import MockUpstream
from tests.product import outages
from tests.product.conftest import Product
from tests.product.outages import PROMPT_S, Outage

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("product")]
AWAY_S = 4.0
RECOVERY_S = 60.0


def suffered(
    product: Product, upstream: MockUpstream, taken: Callable[[], contextlib.AbstractContextManager[None]]
) -> Outage:
    """The outage, with what holds whatever was away."""
    upstream.forget()
    outage = outages.suffer(product, upstream, taken, for_s=AWAY_S, recovery_s_max=RECOVERY_S)
    statuses = outage.statuses()
    assert 401 not in statuses["all"]
    assert 0 not in statuses["all"], "a call got no answer"
    assert outage.findings == []
    assert outage.unbilled() == 0
    # A hold that Redis placed after its worker had given up is undone: it is no call that reached the upstream.
    assert len(outage.rows) == outage.reached
    refused = [call for call in outage.load.known if call.status in (429, 503)]
    assert all(call.has_retry_after for call in refused)
    return outage


def test_without_redis_calls_are_refused_within_two_seconds_and_pass_again_unaided(
    product: Product, upstream: MockUpstream
) -> None:
    outage = suffered(product, upstream, lambda: outages.no_redis(product))
    statuses = outage.statuses()
    assert set(statuses["all"]) == {200, 503}
    assert set(statuses["meanwhile"]) == {503}
    assert set(statuses["strangers"]) <= {401, 503}
    assert outage.slowest_refusal_s() < PROMPT_S
    assert outage.recovered_s < 5


def test_without_the_database_known_keys_are_served_and_strangers_are_told_to_come_back(
    product: Product, upstream: MockUpstream
) -> None:
    outage = suffered(product, upstream, lambda: outages.no_database(product))
    statuses = outage.statuses()
    assert set(statuses["all"]) == {200}
    assert statuses["meanwhile"][200] > 20
    assert set(statuses["strangers"]) == {503}
    assert outage.slowest_refusal_s() < PROMPT_S


def test_calls_that_wait_for_a_hanging_upstream_are_answered_once_it_goes_on(
    product: Product, upstream: MockUpstream
) -> None:
    outage = suffered(product, upstream, lambda: outages.stopped(outages.pids_listening_for(upstream)))
    statuses = outage.statuses()
    assert set(statuses["all"]) == {200}
    assert set(statuses["strangers"]) == {401}
    assert outage.slowest_refusal_s() < PROMPT_S
