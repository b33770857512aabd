"""Names of the Redis keys. Organisations are spread over a fixed number of shards, one hash tag each."""

# Fixed for the life of an installation: changing it would lose track of holds and unposted usage.
SHARDS = 16


def shard_of(organisation_id: int) -> int:
    """The shard of an organisation."""
    return organisation_id % SHARDS


def till(organisation_id: int) -> str:
    """Hash: posted, pending, acked, funded, version, epoch, born."""
    return f"{{s{organisation_id % SHARDS:02d}}}t:{organisation_id}"


def holds(shard: int) -> str:
    """Hash: request id → record of the hold."""
    return f"{{s{shard:02d}}}holds"


def due(shard: int) -> str:
    """Sorted set: request id by deadline in ms."""
    return f"{{s{shard:02d}}}due"


def marks(shard: int) -> str:
    """Hash: request id → output tokens seen so far."""
    return f"{{s{shard:02d}}}marks"


def usage(shard: int) -> str:
    """Stream of usage events that are not posted yet."""
    return f"{{s{shard:02d}}}usage"


def catalogue(shard: int) -> str:
    """The newest version of the catalogue."""
    return f"{{s{shard:02d}}}catalogue"


def meter(organisation_id: int, scope: str, name: str) -> str:
    """Hash: u (used), r (end of the window in ms). Scope is such as `key:17` or `org`."""
    return f"{{s{organisation_id % SHARDS:02d}}}m:{organisation_id}:{scope}:{name}"
