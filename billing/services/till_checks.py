"""What must be true of the tills in Redis, by what they say of themselves and what the database says of them."""

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import orjson
from django.db.models import F

from billing import funds
from billing.findings import Finding, differs
from billing.models import Wallet
from newapi.kernel import clock
from newapi.kernel.meters import bank, keys
from newapi.kernel.meters.funds import Funds

# A hold may outlive its deadline by this until the sweeper has been there.
HOLD_GRACE_MS = 60_000
# As many holds and unposted entries as are read at once. A shard with more has a backlog, which is said instead.
SHARD_MAX = 20_000


@dataclass(frozen=True, slots=True)
class Till:
    """The numbers of one till as Redis keeps them; None where it keeps none.

    `purses`: by id, what is pending on it, its funds and what is acked of it.
    """

    posted: int | None
    pending: int | None
    funded: int | None
    acked: int | None
    version: int | None
    purses: dict[str, tuple[int, int, int]]


# (organisation, purse): the purse is empty for money that any call may spend.
Place = tuple[int, str]


@dataclass(slots=True)
class Shard:
    """One shard at one moment: its tills, and by place what is held and what waits to be posted, in nano."""

    tills: dict[int, Till]
    pending: dict[Place, int] = field(default_factory=lambda: defaultdict(int))
    entries: dict[int, int] = field(default_factory=lambda: defaultdict(int))
    unreadable: list[str] = field(default_factory=list)
    without_deadline: int = 0


@dataclass(frozen=True, slots=True)
class Told:
    """What the database says a till must know, without what is in purses, and those."""

    funds: Funds
    version_published: int


def tills_are_right() -> Iterator[Finding]:
    """Of every till: pending = open holds + unposted entries, posted = funded - acked, and both as the books say."""
    for shard in range(keys.SHARDS):
        before = _told(shard)
        found = _read(shard, before.keys())
        if found is None:
            yield Finding(
                "backlog", None, f"shard {shard} has more than {SHARD_MAX} entries; its tills were not checked"
            )
            continue
        after = _told(shard)
        yield from _judge_shard(shard, found)
        for organisation_id, till in found.tills.items():
            yield from _judge(organisation_id, till, found, before[organisation_id], after[organisation_id])


def no_hold_is_overdue() -> Iterator[Finding]:
    """No hold stands past its deadline plus a minute."""
    latest_ms = clock.now_ms() - HOLD_GRACE_MS
    for shard in range(keys.SHARDS):
        for hold in bank.holds(shard=shard, due_before_ms=latest_ms):
            yield Finding("hold", None, f"the hold of {hold.request_id} is past its deadline")


CHECKS: tuple[Callable[[], Iterator[Finding]], ...] = (tills_are_right, no_hold_is_overdue)


def _judge_shard(shard: int, found: Shard) -> Iterator[Finding]:
    for request_id in found.unreadable:
        yield Finding("hold_unreadable", None, f"the hold of {request_id} does not say whose it is")
    if found.without_deadline:
        yield Finding("hold_deadline", None, f"{found.without_deadline} holds of shard {shard} have no deadline")


def _judge(organisation_id: int, till: Till, found: Shard, before: Told, after: Told) -> Iterator[Finding]:
    yield from _judge_pending(organisation_id, till, found)
    if till.posted is None:
        return  # cold: the next call loads it
    funded, acked = till.funded or 0, till.acked or 0
    if till.posted != funded - acked:
        yield differs(
            "till_posted", organisation_id, "tills", till.posted, "their funds less what is acked", funded - acked
        )
    # The books were read before and after, because they move on meanwhile.
    if acked > after.funds.used_nano or (acked < before.funds.used_nano and not found.entries[organisation_id]):
        yield differs("till_acked", organisation_id, "tills", acked, "wallets", after.funds.used_nano)
    if (till.version or 0) < before.version_published:
        yield Finding("till_behind", organisation_id, "the till does not know what it was told of its funds")
    if till.version == before.funds.version == after.funds.version:
        told = {str(purse.id): purse.funded_nano for purse in after.funds.purses}
        known = {purse: numbers[1] for purse, numbers in till.purses.items() if purse in told}
        if (funded, known) != (after.funds.funded_nano, told):
            yield differs(
                "till_funded", organisation_id, "tills", (funded, known), "wallets", (after.funds.funded_nano, told)
            )


def _judge_pending(organisation_id: int, till: Till, found: Shard) -> Iterator[Finding]:
    """What a purse cannot pay of its own pending is borne by the general funds."""
    counted = found.pending[organisation_id, ""]
    for purse, (pending, funded, used) in till.purses.items():
        of_purse = found.pending[organisation_id, purse]
        if pending != of_purse:
            yield differs("purse_pending", organisation_id, f"purse {purse}", pending, "holds and entries", of_purse)
        counted += max(0, of_purse - max(0, funded - used))
    counted += sum(
        nano
        for (owner, purse), nano in found.pending.items()
        if owner == organisation_id and purse and purse not in till.purses
    )
    if (till.pending or 0) != counted:
        yield differs("till_pending", organisation_id, "tills", till.pending, "holds and entries", counted)


def _told(shard: int) -> dict[int, Told]:
    """The wallets of a shard's organisations, each in the organisation's currency."""
    wallets = Wallet.objects.filter(currency=F("organisation__currency"))
    published = dict(
        wallets.annotate(shard=F("organisation_id") % keys.SHARDS)
        .filter(shard=shard)
        .values_list("organisation_id", "version_published")
    )
    known = funds.totals(published)
    return {pk: Told(funds.of_totals(pk, known[pk]), version) for pk, version in published.items() if pk in known}


def _read(shard: int, organisation_ids: Any) -> Shard | None:
    """A shard as it is at one moment; None when there is too much of it."""
    redis = bank.connection()
    names = (keys.holds(shard), keys.due(shard), keys.usage(shard))
    if redis.hlen(names[0]) + redis.xlen(names[2]) > SHARD_MAX:
        return None
    wanted = list(organisation_ids)
    with redis.pipeline(transaction=True) as pipeline:
        pipeline.hgetall(names[0])
        pipeline.zcard(names[1])
        pipeline.xrange(names[2])
        for organisation_id in wanted:
            pipeline.hgetall(keys.till(organisation_id))
        holds, deadlines, entries, *tills = pipeline.execute()
    found = Shard({organisation_id: _till(values) for organisation_id, values in zip(wanted, tills, strict=True)})
    found.without_deadline = len(holds) - deadlines
    for request_id, raw in holds.items():
        nano, purse, record = bank.held(raw)
        try:
            found.pending[int(orjson.loads(record)["organisation"]), purse] += nano
        except (ValueError, TypeError, KeyError):
            found.unreadable.append(request_id.decode())
    for _, fields in entries:
        found.pending[int(fields[b"o"]), fields.get(b"p", b"").decode()] += int(fields[b"c"])
        found.entries[int(fields[b"o"])] += 1
    return found


def _till(fields: dict[bytes, bytes]) -> Till:
    def number(name: str) -> int | None:
        value = fields.get(name.encode())
        return None if value is None else int(value)

    def of_purse(purse: str) -> tuple[int, int, int]:
        return number(f"p:{purse}") or 0, number(f"f:{purse}") or 0, number(f"u:{purse}") or 0

    return Till(
        posted=number("posted"),
        pending=number("pending"),
        funded=number("funded"),
        acked=number("acked"),
        version=number("version"),
        purses={name[2:].decode(): of_purse(name[2:].decode()) for name in fields if name.startswith(b"p:")},
    )
