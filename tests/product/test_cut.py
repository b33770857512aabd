"""Streams on three workers: ended by a restriction of level L1, by a limit on their length, by a caller that leaves."""

import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.processes import MockUpstream, until
from tests.product.conftest import Product
from tests.product.streams import Stream, customer
from tests.product.workers import running_workers

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("product")]


@pytest.fixture(scope="module")
def workers(product: Product) -> Iterator[list[str]]:
    """Three web workers."""
    with running_workers(product) as urls:
        yield urls


def impose(product: Product, organisation_id: int, code: str) -> float:
    """Restrict an organisation by a process of its own; returns a moment at which that had been decided."""
    product.ask(
        f"restrictions.impose(organisation=Organisation.objects.get(pk={organisation_id}), scope='organisation', "
        f"category=m.PolicyCategory.objects.get(code='{code}'), reason='Test', actor=None).pk "
        "if (restrictions := __import__('moderation.services.restrictions', fromlist=['x'])) "
        "and (m := __import__('moderation.models', fromlist=['x'])) else None"
    )
    return time.monotonic()


def rows_of(product: Product, streams: list[Stream]) -> list[Any]:
    """(outcome, cost, output tokens) of each stream's usage row, once all are posted."""
    ids = [stream.request_id for stream in streams]
    code = f"list(UsageEvent.objects.filter(id__in={ids!r}).values_list('outcome', 'cost_nano', 'output_tokens'))"
    until(lambda: len(product.ask(code)) == len(ids), within_s=60, what="every stream has its usage row")
    return product.ask(code)


HOLDS = (
    "sum(len(bank.holds(shard=s)) for s in range(16)) "
    "if (bank := __import__('newapi.kernel.meters.bank', fromlist=['x'])) else None"
)


@pytest.mark.req("GW-26")
def test_a_restriction_of_level_1_cuts_the_streams_of_every_worker_within_two_seconds(
    product: Product, upstream: MockUpstream, workers: list[str]
) -> None:
    upstream.forget()
    who, other = customer(product, "cut"), customer(product, "uncut")
    streams = [Stream(url, who["keys"][key]).open() for url in workers for key in ("main", "colleague")]
    bystander = Stream(workers[0], other["keys"]["main"]).open()
    until(lambda: all(stream.runs() for stream in [*streams, bystander]), within_s=20, what="all streams run")
    impose(product, other["id"], "PA-RATE")
    assert not bystander.ended
    decided = impose(product, who["id"], "TE-TERROR")
    errors = [stream.close() for stream in streams]
    assert max(stream.ended for stream in streams) - decided < 2
    assert {(error["code"], error["policy_code"]) for error in errors} == {("restricted", "TE-TERROR")}
    # A lower level refuses new calls and lets running streams end.
    assert not bystander.ended
    seen = len(bystander.body)
    until(lambda: len(bystander.body) > seen, within_s=5, what="the other customer's stream goes on")
    assert {row[0] for row in rows_of(product, streams)} == {"cut"}
    assert all(row[1] > 0 and 0 < row[2] < 2000 for row in rows_of(product, streams))
    impose(product, other["id"], "TE-TERROR")
    bystander.close()
    until(lambda: product.ask(HOLDS) == 0, within_s=20, what="no hold is left")
    assert product.findings() == []


@pytest.mark.req("GW-07")
def test_a_stream_is_ended_after_the_seconds_that_its_key_allows(
    product: Product, upstream: MockUpstream, workers: list[str]
) -> None:
    upstream.forget()
    who = customer(product, "brief", stream_seconds_max=2)
    began = time.monotonic()
    streams = [Stream(url, who["keys"]["main"]).open() for url in workers]
    assert {stream.close()["code"] for stream in streams} == {"stream_too_long"}
    assert all(1.9 < stream.ended - began < 6 for stream in streams)
    for outcome, cost_nano, output_tokens in rows_of(product, streams):
        assert outcome == "cut" and cost_nano > 0
        assert 0 < output_tokens < 200
