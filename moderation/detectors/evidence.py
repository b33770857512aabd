"""What was counted of one subject, as the detectors read it. Slices that are too old are not looked at."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from moderation.detectors import names
from newapi.kernel.meters import bank

_Hash = Mapping[bytes, bytes]
_FIELD = re.compile(rb"(\d+)(.+)")


@dataclass(frozen=True, slots=True)
class Mark:
    """That something was noticed n times in an hour. `name` as in names.hours, such as `j:4` or `u:HT-HATE`."""

    hour: int
    name: str
    n: int

    @property
    def what(self) -> str:
        """The id of the rule, or the policy code."""
        return self.name.partition(":")[2]


@dataclass(slots=True)
class KeyEvidence:
    """Of a key. The sums end with the slice of `now_ms`."""

    subject: str
    api_key_id: int
    now_ms: int
    _minutes: Counter[tuple[int, str]]
    _fives: Counter[tuple[int, str]]
    _hours: Counter[tuple[int, str]]
    _networks: dict[str, int]
    _shapes: Counter[str] | None = field(default=None)

    @classmethod
    def read(
        cls, subject: str, now_ms: int, minutes: _Hash, fives: _Hash, hours: _Hash, networks: _Hash
    ) -> "KeyEvidence":
        """From the four hashes of a key."""
        return cls(
            subject=subject,
            api_key_id=int(subject.removeprefix("k:")),
            now_ms=now_ms,
            _minutes=_counts(minutes),
            _fives=_counts(fives),
            _hours=_counts(hours),
            _networks={name.decode(): int(hour) for name, hour in networks.items()},
        )

    def in_minutes(self, name: str, minutes: int) -> int:
        """How often in the last so many minutes, at most names.MINUTES: c calls, f, b or x as in names.minutes."""
        last = self.now_ms // names.MINUTE_MS
        return sum(self._minutes[slice_, name] for slice_ in range(last - minutes + 1, last + 1))

    def in_the_hour(self, name: str, *, since_ms: int = 0) -> int:
        """How often in the last hour, but not before `since_ms`: s served, l logprobs, q refused for the rate."""
        return sum(self._fives[five, name] for five in self._last_fives(names.FIVES, since_ms))

    def hours(self) -> Iterator[tuple[int, int, int]]:
        """(served calls, output tokens, different prompts) of each of the last 24 hours."""
        last = self.now_ms // names.HOUR_MS
        for hour in range(last - names.HOURS + 1, last + 1):
            yield self._hours[hour, "s"], self._hours[hour, "o"], self._hours[hour, "d"]

    def marks(self, prefix: str) -> Iterator[Mark]:
        """What is marked and not yet told by counters.told: `j:` phrases by rule, `u:` refusals by policy code."""
        for (hour, name), n in self._hours.items():
            if name.startswith(prefix) and n > self._hours[hour, names.TOLD + name]:
                yield Mark(hour, name, n)

    def networks(self, prefix: str) -> int:
        """How many countries (`c:`) or networks (`a:`) the key called from in the last 24 hours."""
        oldest = self.now_ms // names.HOUR_MS - names.HOURS + 1
        return sum(name.startswith(prefix) and hour >= oldest for name, hour in self._networks.items())

    def most_of_a_shape(self) -> int:
        """How many different prompts of the last hour had the same shape. Asks Redis, once."""
        if self._shapes is None:
            self._shapes = self._merged(names.shapes, names.FIVES)
        # Shape 0 stands for calls whose text was not taken.
        return max((n for shape, n in self._shapes.items() if shape != "0"), default=0)

    def refused_shapes(self, minutes: int) -> Counter[str]:
        """How many refused calls had each shape, in the slices of five minutes that the last minutes touch."""
        return self._merged(names.refused_shapes, -(-minutes // 5) + 1)

    def _merged(self, name: Any, fives: int) -> Counter[str]:
        pipeline = bank.connection().pipeline(transaction=False)
        for five in self._last_fives(fives):
            pipeline.zrange(name(self.subject, five), 0, -1, withscores=True)
        merged: Counter[str] = Counter()
        for found in pipeline.execute():
            merged.update({shape.decode(): int(n) for shape, n in found})
        return merged

    def _last_fives(self, fives: int, since_ms: int = 0) -> range:
        last = self.now_ms // names.FIVE_MS
        return range(max(last - fives + 1, -(-since_ms // names.FIVE_MS)), last + 1)


@dataclass(slots=True)
class GroupEvidence:
    """Of the keys of one owner, or used from one address: calls by minute and key."""

    subject: str
    minutes: dict[int, dict[int, int]]

    @classmethod
    def read(cls, subject: str, now_ms: int, found: _Hash) -> "GroupEvidence":
        """From the hash of a group; only the last ten minutes."""
        last = now_ms // names.MINUTE_MS
        minutes: dict[int, dict[int, int]] = defaultdict(dict)
        for (minute, name), n in _counts(found).items():
            if last - 10 < minute <= last:
                minutes[minute][int(name[1:])] = n
        return cls(subject, minutes)

    @property
    def key_ids(self) -> set[int]:
        """The keys in it."""
        return {key for keys in self.minutes.values() for key in keys}


def _counts(found: _Hash) -> Counter[tuple[int, str]]:
    counts: Counter[tuple[int, str]] = Counter()
    for name, n in found.items():
        if matched := _FIELD.fullmatch(name):
            counts[int(matched[1]), matched[2].decode()] = int(n)
    return counts
