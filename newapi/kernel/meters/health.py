"""The door of admins and jobs to the health of upstreams. Sync; workers have one of their own in `health_shared`.

Everything here raises redis' errors (RedisError, OSError) when Redis is away.
"""

from collections.abc import Iterable
from typing import Any

from newapi.kernel import clock
from newapi.kernel.meters import bank, keys, scripts
from newapi.kernel.meters.health_records import (
    KEYS,
    RETRY_AFTER_S_MAX,
    Known,
    Report,
    channel_target,
    key_target,
    out_of_quota,
    parse,
)


def read() -> Known:
    """What all workers know, a second old at most, with the sums of the last half minute."""
    return tell()


def tell(*reports: Report) -> Known:
    """Report what a job or an admin has seen (health_records makes reports), and return what all know then."""
    flat = [item for report in reports for item in report]
    script = bank.connection().register_script(scripts.HEALTH.source)
    answer: Any = script(keys=KEYS, args=[clock.now_ms(), "", "", *flat])
    return parse(answer)


def pause(*, account_id: int, upstream_model: str, retry_after_s: int | None) -> None:
    """Ask an account for a model no more for so long; None: as long as is usual when no time was named."""
    until_ms = None if retry_after_s is None else clock.now_ms() + min(retry_after_s, RETRY_AFTER_S_MAX) * 1_000
    tell(out_of_quota((account_id, upstream_model), until_ms=until_ms))


def may_ask(*, key_id: int, again_after_s: int) -> bool:
    """Whether nobody has asked with an upstream key for so long; whoever is told so is the one that asks now."""
    return bool(bank.connection().set(keys.asked(key_id), 1, nx=True, ex=again_after_s))


def reset(*, channel_ids: Iterable[int] = (), key_ids: Iterable[int] = (), account_ids: Iterable[int] = ()) -> None:
    """Forget what is held against them: rests, failures and pauses. Workers follow within a second."""
    redis = bank.connection()
    channels = list(channel_ids)
    targets = [*map(channel_target, channels), *map(key_target, key_ids)]
    accounts = {str(account_id).encode() for account_id in account_ids}
    places: Any = redis.hkeys(keys.quotas()) if accounts else []
    places = [place for place in places if place.partition(b" ")[0] in accounts]
    for key, fields in ((keys.breakers(), targets), (keys.flows(), channels), (keys.quotas(), places)):
        if fields:
            redis.hdel(key, *fields)
