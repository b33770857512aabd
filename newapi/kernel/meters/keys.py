"""Names of the Redis keys. Organisations are spread over a fixed number of shards, one hash tag each.

The health of upstreams is everybody's: it has a hash tag of its own.
"""

import functools

# Fixed for the life of an installation: changing it would lose track of holds and unposted usage.
SHARDS = 16


def shard_of(organisation_id: int) -> int:
    """The shard of an organisation."""
    return organisation_id % SHARDS


def till(organisation_id: int) -> str:
    """Hash: posted, pending, acked, funded, version, epoch, born, dry; of purse 7: f:7, u:7 (acked), p:7 (pending)."""
    return f"{{s{organisation_id % SHARDS:02d}}}t:{organisation_id}"


@functools.cache
def holds(shard: int) -> str:
    """Hash: request id → record of the hold."""
    return f"{{s{shard:02d}}}holds"


@functools.cache
def due(shard: int) -> str:
    """Sorted set: request id by deadline in ms."""
    return f"{{s{shard:02d}}}due"


@functools.cache
def marks(shard: int) -> str:
    """Hash: request id → output tokens seen so far."""
    return f"{{s{shard:02d}}}marks"


@functools.cache
def usage(shard: int) -> str:
    """Stream of usage events that are not posted yet."""
    return f"{{s{shard:02d}}}usage"


@functools.cache
def catalogue(shard: int) -> str:
    """The newest version of the catalogue."""
    return f"{{s{shard:02d}}}catalogue"


def meter(organisation_id: int, scope: str, name: str) -> str:
    """Hash: u (used), r (end of the window in ms). Scope is such as `key:17` or `org`."""
    return f"{{s{organisation_id % SHARDS:02d}}}m:{organisation_id}:{scope}:{name}"


# What all workers know of upstreams. One field each, so that one script sees everything and names its keys;
# scripts/health.lua drops fields that have outlived their use.


def breakers() -> str:
    """Hash: target (`c:17` a channel, `k:9` an upstream key) → `until_ms trips lease_ms reason`. Absent: closed."""
    return "{health}breakers"


def flows() -> str:
    """Hash: channel id → `failures_in_a_row ewma_ms seen_ms slot:calls:errors …`, the slots of half a minute."""
    return "{health}flows"


def gauges() -> str:
    """Hash: worker → `seen_ms channel count …`, its calls in flight."""
    return "{health}gauges"


def quotas() -> str:
    """Hash: `account_id upstream_model` → `until_ms times`, the pauses after a 429."""
    return "{health}quotas"


def asked(upstream_key_id: int) -> str:
    """Set for a while once we have asked ourselves whether an upstream takes a key."""
    return f"{{health}}asked:{upstream_key_id}"
