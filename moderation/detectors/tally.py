"""From a batch of observations to what is to be counted, by subject. Pure; moderation.detectors.counters does it."""

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from moderation.detectors import names, verdicts
from newapi.kernel.observations import Observation

IDS_MAX = 5


@dataclass(slots=True)
class KeyTally:
    """What one key did. Counters go by (slice, name)."""

    minutes: Counter[tuple[int, str]] = field(default_factory=Counter)
    fives: Counter[tuple[int, str]] = field(default_factory=Counter)
    hours: Counter[tuple[int, str]] = field(default_factory=Counter)
    networks: dict[str, int] = field(default_factory=dict)
    # (hour, five) → [prompt, shape, prompt, shape, …]
    prompts: dict[tuple[int, int], list[str]] = field(default_factory=lambda: defaultdict(list))
    refused: dict[int, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    ids: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))

    def add(self, seen: Observation) -> None:
        """Count one observation."""
        minute, five, hour = (seen.at_ms // width for width in (names.MINUTE_MS, names.FIVE_MS, names.HOUR_MS))
        self._mark(seen, "c", self.minutes, minute)
        if seen.verdict in verdicts.BLOCKED:
            self._mark(seen, "b", self.minutes, minute)
        if seen.verdict in verdicts.MALFORMED:
            self._mark(seen, "x", self.minutes, minute)
        if seen.verdict == verdicts.RATE_REFUSED:
            self._mark(seen, "q", self.fives, five)
        if seen.is_refused:
            self._mark(seen, "f", self.minutes, minute)
            self.refused[five][f"{seen.shape:x}"] += 1
        for rule in seen.rules:
            self._mark(seen, f"j:{rule}", self.hours, hour)
        for code in seen.categories:
            self._mark(seen, f"u:{code}", self.hours, hour)
        if seen.verdict in verdicts.SERVED:
            self._add_served(seen, five, hour)
        if seen.verdict != verdicts.UNKNOWN_KEY:
            self._add_networks(seen, hour)

    def _add_served(self, seen: Observation, five: int, hour: int) -> None:
        self.fives[five, "s"] += 1
        self.hours[hour, "s"] += 1
        self.hours[hour, "o"] += seen.output_tokens
        if seen.wants_logprobs:
            self._mark(seen, "l", self.fives, five)
        if seen.prompt:
            self.prompts[hour, five] += [f"{seen.prompt:x}", f"{seen.shape:x}"]

    def _add_networks(self, seen: Observation, hour: int) -> None:
        if seen.country:
            self.networks[f"c:{seen.country}"] = hour
        if seen.asn:
            self.networks[f"a:{seen.asn}"] = hour

    def _mark(self, seen: Observation, kind: str, counter: Counter[tuple[int, str]], slice_: int) -> None:
        counter[slice_, kind] += 1
        ids = self.ids[kind]
        ids.append(seen.request_id)
        del ids[:-IDS_MAX]


@dataclass(slots=True)
class Tally:
    """What a batch holds, by subject."""

    keys: dict[str, KeyTally] = field(default_factory=lambda: defaultdict(KeyTally))
    # Calls of each key by minute, for the keys of one owner, and for the keys used from one address.
    groups: dict[str, Counter[tuple[int, str]]] = field(default_factory=lambda: defaultdict(Counter))


def tally(batch: Iterable[Observation]) -> Tally:
    """Count a batch. What belongs to no known key has no subject and is left out."""
    result = Tally()
    for seen in batch:
        if not seen.api_key or not seen.organisation:
            continue
        result.keys[f"k:{seen.api_key}"].add(seen)
        if seen.verdict not in verdicts.BLOCKED:
            place = (seen.at_ms // names.MINUTE_MS, f":{seen.api_key}")
            result.groups[f"o:{seen.organisation}:{seen.user}"][place] += 1
            if seen.address:
                result.groups[f"a:{seen.address:x}"][place] += 1
    return result


class Work:
    """A tally as the script takes it: names of keys, and lists of what to do with each."""

    def __init__(self, *first: str) -> None:
        self.keys = list(first)
        self._places = {name: place for place, name in enumerate(first, 1)}
        self.todo: dict[str, list[Any]] = {
            name: [] for name in ("add", "networks", "prompts", "refused", "ids", "touched")
        }

    @classmethod
    def of(cls, counted: Tally, *first: str) -> "Work":
        """The work of a tally; `first` are the names that the script expects at the beginning."""
        work = cls(*first)
        for subject, key in counted.keys.items():
            work._key(subject, key)
        for subject, group in counted.groups.items():
            work._counts(names.minutes(subject), names.MINUTES, names.MINUTES_TTL_S, group)
        work.todo["touched"] = [*counted.keys, *counted.groups]
        return work

    def _key(self, subject: str, key: KeyTally) -> None:
        self._counts(names.minutes(subject), names.MINUTES, names.MINUTES_TTL_S, key.minutes)
        self._counts(names.fives(subject), names.FIVES, names.FIVES_TTL_S, key.fives)
        self._counts(names.hours(subject), names.HOURS, names.HOURS_TTL_S, key.hours)
        if key.networks:
            hour = max(key.networks.values())
            self._do(
                "networks",
                names.networks(subject),
                names.HOURS_TTL_S,
                names=list(key.networks),
                hour=hour,
                oldest=hour - names.HOURS + 1,
            )
        for (hour, five), pairs in key.prompts.items():
            self._do(
                "prompts",
                names.prompts(subject, hour),
                names.FIVES_TTL_S,
                shapes=self._at(names.shapes(subject, five)),
                hours=self._at(names.hours(subject)),
                field=f"{hour}d",
                pairs=pairs,
            )
        for five, counts in key.refused.items():
            flat = [item for pair in counts.items() for item in pair]
            self._do("refused", names.refused_shapes(subject, five), names.FIVES_TTL_S, counts=flat)
        for kind, ids in key.ids.items():
            self._do("ids", names.request_ids(subject, kind), names.HOURS_TTL_S, ids=ids)

    def _counts(self, name: str, kept: int, ttl_s: int, counts: Counter[tuple[int, str]]) -> None:
        if counts:
            flat = [item for (slice_, kind), n in counts.items() for item in (f"{slice_}{kind}", n)]
            oldest = max(slice_ for slice_, _ in counts) - kept + 1
            self._do("add", name, ttl_s, counts=flat, oldest=oldest)

    def _do(self, what: str, name: str, ttl_s: int, **how: Any) -> None:
        self.todo[what].append({"at": self._at(name), "ttl": ttl_s, **how})

    def _at(self, name: str) -> int:
        place = self._places.get(name)
        if place is None:
            self.keys.append(name)
            place = self._places[name] = len(self.keys)
        return place
