"""The gateway's door to the meters: admit, settle, renew. Async, for one worker process."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from newapi.kernel import clock
from newapi.kernel.meters import keys, scripts, windows
from newapi.kernel.meters.funds import Funds
from newapi.kernel.meters.pipe import Down, Pipe
from newapi.kernel.meters.windows import Window

__all__ = ["Admission", "Admitted", "Down", "Funds", "Meter", "Refused", "Stale", "Till"]


@dataclass(frozen=True, slots=True)
class Meter:
    """A limit that a call is charged against.

    kind: c calls, t tokens, f in flight, n nano. scope: such as `key:17`; name: such as `tokens_per_day`.
    """

    key: str
    kind: str
    limit: int
    window: Window
    scope: str
    name: str


@dataclass(frozen=True, slots=True)
class MeterSet:
    """All meters of a key, from the narrowest holder to the widest, with what every ADMIT sends of them."""

    meters: tuple[Meter, ...]
    keys: tuple[str, ...]
    args: tuple[str | int, ...]
    # Index and limit of the meters that count calls, and of those that count tokens.
    of_calls: tuple[tuple[int, int], ...]
    of_tokens: tuple[tuple[int, int], ...]

    @classmethod
    def of(cls, meters: Sequence[Meter]) -> "MeterSet":
        """Prepare a set once, for all the calls of a key."""
        args = tuple(arg for meter in meters for arg in (meter.kind, meter.limit, meter.window.value))

        def counting(kind: str) -> tuple[tuple[int, int], ...]:
            return tuple((index, meter.limit) for index, meter in enumerate(meters) if meter.kind == kind)

        return cls(tuple(meters), tuple(meter.key for meter in meters), args, counting("c"), counting("t"))


# Made anew for every call, so not frozen: that would double what making one costs. Nothing changes them.


@dataclass(slots=True)
class Admission:
    """What a call asks of the meters. Tokens are upper bounds, money is nano."""

    organisation_id: int
    epoch: int
    catalogue_version: int
    request_id: str
    meters: MeterSet
    input_tokens: int
    output_tokens: int
    # How far the output may be lowered when money, or a token meter, is short.
    output_tokens_min_for_money: int
    output_tokens_min_for_meters: int
    input_nano: int
    output_token_nano: int
    # JSON from which a sweeper can write the usage event if the worker dies.
    record: bytes
    deadline_ms: int
    unposted_max: int
    # The purse whose money the call may spend before the general funds, by its id.
    purse: int | None = None


@dataclass(slots=True)
class Admitted:
    """The call may go. `left` is the script's: remaining and end of window (ms) of each meter, in turn, as digits."""

    output_tokens: int
    hold_nano: int
    born: str
    left: Sequence[bytes]

    def left_of(self, index: int) -> tuple[int, int]:
        """Remaining and end of window (ms) of one meter."""
        return int(self.left[2 * index]), int(self.left[2 * index + 1])


@dataclass(frozen=True, slots=True)
class Refused:
    """`meter` is the index of the one that is exhausted, or None when the wallet cannot afford the call."""

    meter: int | None = None
    used: int = 0
    reset_ms: int = 0
    available_nano: int = 0
    needed_nano: int = 0
    full: bool = False


@dataclass(frozen=True, slots=True)
class Stale:
    """Something must be brought up to date before asking again.

    `till`, `passport`, `catalogue`, `funds` (some have expired), or the meter of that index.
    """

    what: str
    meter: int = -1


class Till:
    """Methods raise one of `Down` when Redis is out of reach."""

    def __init__(self, pipe: Pipe) -> None:
        self.pipe = pipe

    async def admit(self, ask: Admission) -> Admitted | Refused | Stale:
        """Charge all meters and place the hold, or do nothing. Asking twice with one request id is harmless."""
        shard = keys.shard_of(ask.organisation_id)
        now_ms = clock.now_ms()
        names = [
            keys.till(ask.organisation_id),
            keys.holds(shard),
            keys.due(shard),
            keys.catalogue(shard),
            keys.usage(shard),
            *ask.meters.keys,
        ]
        args: list[Any] = [
            ask.epoch,
            ask.catalogue_version,
            ask.request_id,
            now_ms,
            ask.deadline_ms,
            ask.input_tokens,
            ask.output_tokens,
            ask.output_tokens_min_for_money,
            ask.output_tokens_min_for_meters,
            ask.input_nano,
            ask.output_token_nano,
            ask.record,
            ask.unposted_max,
            *windows.calendar_ends(now_ms),
            "" if ask.purse is None else ask.purse,
            *ask.meters.args,
        ]
        try:
            answer = await self.pipe.run(scripts.ADMIT, names, *args)
        except Down:
            answer = await self.pipe.run(scripts.ADMIT, names, *args)
        return _read_admission(answer)

    async def settle(
        self,
        *,
        admission: Admission,
        born: str,
        cost_nano: int,
        tokens: int,
        event: bytes,
        again: bool = False,
    ) -> None:
        """Turn the hold into its cost and append the event. With `again`, a repeat whose first answer was lost."""
        mode = "again" if again else "settle"
        await self._close(admission, mode, cost_nano=cost_nano, tokens=tokens, event=event, born=born)

    async def void(self, admission: Admission) -> None:
        """Undo an admission of which no answer came, without a usage event; harmless when there was none."""
        await self._close(admission, "void", cost_nano=0, tokens=0, event=b"", born="")

    async def _close(
        self, admission: Admission, mode: str, *, cost_nano: int, tokens: int, event: bytes, born: str
    ) -> None:
        organisation_id = admission.organisation_id
        shard = keys.shard_of(organisation_id)
        names = [
            keys.till(organisation_id),
            keys.holds(shard),
            keys.due(shard),
            keys.marks(shard),
            keys.usage(shard),
        ]
        names += admission.meters.keys
        await self.pipe.run(
            scripts.SETTLE,
            names,
            admission.request_id,
            cost_nano,
            tokens,
            event,
            mode,
            clock.now_ms(),
            born,
            organisation_id,
            "" if admission.purse is None else admission.purse,
        )

    async def renew(self, *, shard: int, deadline_ms: int, seen: Sequence[tuple[str, int]]) -> int:
        """Push the deadlines of holds by (request id, output tokens seen). Returns how many still stand."""
        flat = [item for pair in seen for item in pair]
        return await self.pipe.run(
            scripts.RENEW, [keys.holds(shard), keys.due(shard), keys.marks(shard)], deadline_ms, *flat
        )

    async def check(self, *, organisation_id: int, epoch: int, catalogue_version: int) -> Stale | None:
        """Whether passport and catalogue are still true, for calls that cost nothing."""
        names = [keys.till(organisation_id), keys.catalogue(keys.shard_of(organisation_id))]
        answer = await self.pipe.run(scripts.CHECK, names, epoch, catalogue_version)
        verdict = _read_admission(answer) if answer[0] != b"OK" else None
        return verdict if isinstance(verdict, Stale) else None

    async def load(self, funds: Funds) -> None:
        """Open a cold till with what the database says; news for one that stands."""
        await self.pipe.run(scripts.LOAD, [keys.till(funds.organisation_id)], *funds.args("load"))

    async def load_meter(self, *, meter: Meter, used_nano: int) -> None:
        """Give a spend meter what the database says was spent in its window."""
        now_ms = clock.now_ms()
        await self.pipe.run(scripts.METER, [meter.key], used_nano, windows.bounds(meter.window, now_ms)[1], now_ms)

    async def publish_catalogue(self, *, organisation_id: int, version: int) -> None:
        """Tell an organisation's shard the version that was just read from the database."""
        await self.pipe.run(scripts.PUBLISH, [keys.catalogue(keys.shard_of(organisation_id))], version)

    async def epoch(self, organisation_id: int) -> int:
        """The newest epoch of an organisation that anyone has published."""
        return int(await self.pipe.command("HGET", keys.till(organisation_id), "epoch") or 0)

    async def catalogue_version(self) -> int:
        """The newest version anyone has published."""
        return int(await self.pipe.command("GET", keys.catalogue(0)) or 0)


def _read_admission(answer: list[Any]) -> Admitted | Refused | Stale:
    verdict = answer[0]
    if verdict == b"OK":
        return Admitted(answer[1], int(answer[2]), answer[3].decode(), answer[4:])
    if verdict == b"LIMIT":
        return Refused(meter=answer[1] - 1, used=int(answer[2]), reset_ms=int(answer[3]))
    if verdict == b"FUNDS":
        return Refused(available_nano=int(answer[1]), needed_nano=int(answer[2]))
    if verdict == b"FULL":
        return Refused(full=True)
    if verdict == b"STALE":
        return Stale(answer[1].decode())
    if verdict == b"METER_COLD":
        return Stale("meter", answer[1] - 1)
    return Stale("till")
