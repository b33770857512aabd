"""Observations: they travel as they are, are told from rubbish, and say nothing of the text that they are of."""

import pytest
from django.conf import settings

from newapi.kernel import observations
from newapi.kernel.observations import Observation, address_hash, keyed_hash


def observation(**changes: object) -> Observation:
    """One with a value in every field."""
    plain: dict[str, object] = {
        "at_ms": 1_800_000_000_000,
        "request_id": "01920000-0000-7000-8000-000000000001",
        "organisation": 1,
        "project": 2,
        "user": 3,
        "api_key": 4,
        "model": 5,
        "verdict": "rate_limit_exceeded",
        "country": "DE",
        "asn": 3320,
        "address": 2**64 - 1,
        "prompt": 2**63,
        "shape": 1,
        "is_refused": True,
        "wants_logprobs": True,
        "output_tokens": 10**9,
        "rules": (7, 8),
        "categories": ("HT-HATE",),
    }
    return Observation(**{**plain, **changes})  # type: ignore[arg-type]


def test_a_batch_arrives_as_it_was_sent() -> None:
    batch = [observation(api_key=number, rules=(), verdict="ok") for number in range(200)] + [observation()]
    assert observations.decode(observations.encode(batch)) == batch
    assert observations.decode(observations.encode([])) == []


def test_a_full_batch_takes_no_more_room_than_the_bound_of_the_stream_allows_for() -> None:
    largest = len(observations.encode([observation()] * observations.BATCH_MAX))
    assert largest * observations.STREAM_BATCHES_MAX < 300_000_000


@pytest.mark.parametrize(
    "raw", [b"", b"{", b"{}", b"[]", b"7", b"[2]", b"[1,{}]", b"[1,[1,2,3]]", b"\xff\xfe", b'["1"]', b"null"]
)
def test_what_is_no_batch_of_this_format_is_refused(raw: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        observations.decode(raw)


def test_rows_that_are_no_observations_are_refused() -> None:
    good = observations.encode([observation()])
    for old, new in ((b'["HT-HATE"]', b"7"), (b"[7,8]", b"null"), (b'"DE"', b'"DE",1')):
        with pytest.raises(ValueError, match="not an observation"):
            observations.decode(good.replace(old, new))


@pytest.mark.req("GW-09", "GW-16")
def test_hashes_are_the_same_everywhere_and_mean_nothing_without_the_pepper(settings_pepper: bytes) -> None:
    before = keyed_hash(b"Hello"), address_hash("192.0.2.7")
    assert (keyed_hash(b"Hello"), address_hash("192.0.2.7")) == before
    assert all(0 < value < 2**64 for value in before)
    assert keyed_hash(b"Hello ") != before[0]
    assert address_hash("") == 0
    _forget()
    assert (keyed_hash(b"Hello"), address_hash("192.0.2.7")) == before
    settings.API_KEY_PEPPER = b"another pepper that is long enough"
    _forget()
    after = keyed_hash(b"Hello"), address_hash("192.0.2.7")
    assert after[0] != before[0]
    assert after[1] != before[1]


@pytest.fixture
def settings_pepper(settings: object) -> object:
    """The deployment's pepper, put back at the end; nothing remembers the other one."""
    yield settings.API_KEY_PEPPER  # type: ignore[attr-defined]
    _forget()


def _forget() -> None:
    """As a new process would."""
    observations._keyed.cache_clear()
    observations.address_hash.cache_clear()
