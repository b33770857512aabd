"""The door of everything that is not a model call: services after commit, Celery jobs, commands. Sync."""

import functools
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from redis import Redis
from redis.exceptions import NoScriptError

from newapi.kernel import clock
from newapi.kernel.meters import keys, scripts
from newapi.kernel.meters.funds import Funds, PurseFunds
from newapi.kernel.meters.scripts import Script


@functools.cache
def connection() -> Redis:
    """This process' connection pool. Waits at most two seconds for anything."""
    return Redis.from_url(settings.REDIS_URL, socket_connect_timeout=1, socket_timeout=2)


def _run(script: Script, names: list[str], *args: Any) -> Any:
    try:
        return connection().evalsha(script.sha, len(names), *names, *args)
    except NoScriptError:
        return connection().eval(script.source, len(names), *names, *args)


def publish_epoch(*, organisation_id: int, epoch: int) -> None:
    """Make every worker reload what it knows of an organisation before its next call."""
    nothing_new = Funds(organisation_id, epoch, funded_nano=0, used_nano=0, version=0)
    _run(scripts.LOAD, [keys.till(organisation_id)], *nothing_new.args("news"))


def publish_funds(funds: Funds) -> None:
    """Tell a till that stands how much has come in; a cold one is left to load on its next call."""
    _run(scripts.LOAD, [keys.till(funds.organisation_id)], *funds.args("news"))


def publish_catalogue(version: int) -> None:
    """Make every worker reload the catalogue before its next call."""
    for shard in range(keys.SHARDS):
        _run(scripts.PUBLISH, [keys.catalogue(shard)], version)


@dataclass(frozen=True, slots=True)
class Entry:
    """A usage event in the stream that waits to be posted. `event` is JSON; `purse` its purse's id, or empty."""

    shard: int
    entry_id: bytes
    organisation_id: int
    cost_nano: int
    event: bytes
    purse: str = ""


def unposted(*, shard: int, limit: int) -> list[Entry]:
    """The oldest entries of a shard's stream."""
    rows: Any = connection().xrange(keys.usage(shard), count=limit)
    return [
        # Entries of a version without purses do not name one.
        Entry(shard, entry_id, int(told[b"o"]), int(told[b"c"]), told[b"e"], told.get(b"p", b"").decode())
        for entry_id, told in rows
    ]


def posted(*, organisation_id: int, used_nano: int, entries: Iterable[Entry], purses: Iterable[PurseFunds] = ()) -> int:
    """After commit: take entries of one organisation out of the stream and out of pending. Returns how many were.

    `used_nano` is the organisation's total posted usage in the database without what purses paid, read after the
    commit; `purses` are those that the organisation has.
    """
    told = [item for purse in purses for item in (purse.id, purse.used_nano)]
    flat: list[Any] = [item for entry in entries for item in (entry.entry_id, entry.cost_nano, entry.purse)]
    names = [keys.till(organisation_id), keys.usage(keys.shard_of(organisation_id))]
    return _run(scripts.POST, names, used_nano, len(told) // 2, *told, *flat)


@dataclass(frozen=True, slots=True)
class Hold:
    """A hold as the till keeps it. `record` is the JSON that its worker left for a sweeper."""

    shard: int
    request_id: str
    nano: int
    granted_tokens: int
    charges: tuple[str, ...]
    record: bytes
    seen_tokens: int | None
    deadline_ms: int
    purse: str = ""


def holds(*, shard: int, due_before_ms: int | None = None, limit: int = 200) -> list[Hold]:
    """Holds of a shard, soonest deadline first; only those past `due_before_ms` when given."""
    redis = connection()
    most: Any = "+inf" if due_before_ms is None else due_before_ms
    found: Any = redis.zrange(keys.due(shard), "-inf", most, byscore=True, withscores=True, offset=0, num=limit)
    if not found:
        return []
    names = [name for name, _ in found]
    records: Any = redis.hmget(keys.holds(shard), names)
    marks: Any = redis.hmget(keys.marks(shard), names)
    result = []
    for (name, deadline), raw, mark in zip(found, records, marks, strict=True):
        if raw is None:
            continue
        nano, purse, record = held(raw)
        _, granted, charges, _ = raw.split(b"|", 3)
        charged = tuple(charge.split(" ")[0] for charge in charges.decode().split(",") if charge)
        seen = None if mark is None else int(mark)
        result.append(Hold(shard, name.decode(), nano, int(granted), charged, record, seen, int(deadline), purse))
    return result


def held(raw: bytes) -> tuple[int, str, bytes]:
    """Of a hold as the till keeps it: its nano, its purse (or empty), and its record."""
    nano, _, _, rest = raw.split(b"|", 3)
    purse, bar, record = rest.partition(b"|")
    if not bar or (purse and not purse.isdigit()):
        # A hold of a version without purses goes on with its record at once.
        purse, record = b"", rest
    return int(nano), purse.decode(), record


def sweep(*, hold: Hold, organisation_id: int, cost_nano: int, tokens: int, event: bytes) -> bool:
    """Settle a hold whose worker is gone. False when someone else was first or the worker came back."""
    names = [keys.till(organisation_id), keys.holds(hold.shard), keys.due(hold.shard), keys.marks(hold.shard)]
    names += [keys.usage(hold.shard), *hold.charges]
    now_ms = clock.now_ms()
    answer = _run(
        scripts.SETTLE,
        names,
        hold.request_id,
        cost_nano,
        tokens,
        event,
        "sweep",
        now_ms,
        "",
        organisation_id,
        hold.purse,
    )
    return answer == b"OK"


@dataclass(frozen=True, slots=True)
class TillState:
    """What Redis holds for one organisation, in nano. Numbers are of money that any call may spend.

    `purses`: by id, what is pending on it and what is left of it, pending or not.
    """

    posted_nano: int
    pending_nano: int
    funded_nano: int
    acked_nano: int
    epoch: int
    purses: dict[int, tuple[int, int]]

    @property
    def available_nano(self) -> int:
        """What any call can spend now."""
        return self.posted_nano - self.pending_nano

    @property
    def scoped_nano(self) -> int:
        """What is free in purses, for the calls that may spend them."""
        return sum(max(0, left - pending) for pending, left in self.purses.values())

    @property
    def pending_in_purses_nano(self) -> int:
        """What is pending and will be paid by purses."""
        return sum(min(pending, max(0, left)) for pending, left in self.purses.values())


def till_state(organisation_id: int) -> TillState | None:
    """Read an organisation's till; None when it is cold."""
    told: Any = connection().hgetall(keys.till(organisation_id))
    if b"posted" not in told:
        return None
    of_purse = {
        int(name[2:]): (int(value), int(told.get(b"f:" + name[2:], 0)) - int(told.get(b"u:" + name[2:], 0)))
        for name, value in told.items()
        if name.startswith(b"p:")
    }
    return TillState(
        posted_nano=int(told[b"posted"]),
        pending_nano=int(told.get(b"pending", 0)),
        funded_nano=int(told.get(b"funded", 0)),
        acked_nano=int(told.get(b"acked", 0)),
        epoch=int(told.get(b"epoch", 0)),
        purses=of_purse,
    )


def meter_used(key: str) -> int:
    """What a meter counts in its current window; 0 when it has none."""
    found: Any = connection().hmget(key, ["u", "r"])
    used, reset = found
    if used is None or (int(reset) and int(reset) <= clock.now_ms()):
        return 0
    return int(used)
