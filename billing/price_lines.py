"""A price as the lines that people read: what each bucket costs in each tier, and what differs between two prices."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from billing import price_sheets
from billing.models import PriceVersion
from newapi.kernel import money

MILLION = 1_000_000
PER_CALL = "per_call"
_PLAIN = ("input", "cached_input", "cache_write", "output", "reasoning")
_NAMES = {
    "input": "Input",
    "cached_input": "Cached input",
    "cache_write": "Cache write",
    "cache_write_1h": "Cache write for an hour",
    "output": "Output",
    "reasoning": "Reasoning",
    "input_audio": "Audio input",
    "input_image": "Image input",
    "output_audio": "Audio output",
    "output_image": "Image output",
    PER_CALL: "Each call",
}


Place = tuple[str, int, str]  # service tier, above so many tokens, bucket


@dataclass(frozen=True, slots=True)
class Line:
    """What a bucket costs in a tier: nano for a million tokens, or for one call or one use of a tool.

    service, above_tokens: the tier, as in PriceVersion.tiers; both empty in the price itself.
    """

    bucket: str
    service: str
    above_tokens: int
    nano: int

    @property
    def is_by_tokens(self) -> bool:
        """Whether it is for a million tokens; else it is for one call or use."""
        return _is_by_tokens(self.bucket)

    @property
    def name(self) -> str:
        """The bucket, for people."""
        tool = self.bucket.removeprefix("tool:")
        return f"Each use of {tool.replace('_', ' ')}" if tool != self.bucket else _NAMES.get(tool, tool)

    @property
    def tier(self) -> str:
        """The tier, for people; empty for the price itself."""
        above = f"above {self.above_tokens:,} tokens" if self.above_tokens else ""
        return ", ".join(filter(None, (self.service, above)))

    @property
    def words(self) -> str:
        """Both, such as `Input (batch, above 200,000 tokens)`."""
        return f"{self.name} ({self.tier})" if self.tier else self.name

    @property
    def amount(self) -> str:
        """The exact amount."""
        return money.plain(self.nano)


@dataclass(frozen=True, slots=True)
class Change:
    """A bucket in a tier of which two prices say different things. None: not charged by itself."""

    words: str
    before_nano: int | None
    after_nano: int | None

    @property
    def before(self) -> str:
        """The amount before."""
        return "–" if self.before_nano is None else money.plain(self.before_nano)

    @property
    def after(self) -> str:
        """The amount after."""
        return "–" if self.after_nano is None else money.plain(self.after_nano)


def lines_of(version: PriceVersion) -> list[Line]:
    """What a version charges, the price itself first, then its tiers. A withdrawn one charges nothing: no lines.

    Absent rates of the plain buckets are those that stand in for them, as calls are priced. Of a tier there is every
    line in which it differs, said or not, so that two versions with the same lines cost the same.
    """
    if version.is_withdrawn:
        return []
    base = price_sheets.plain_of(version)
    lines = [Line(bucket, "", 0, _per_million(version, bucket, base[bucket])) for bucket in _PLAIN]
    lines += _others(version, version.extra_rates, "", 0)
    if version.per_call_nano:
        lines.append(Line(PER_CALL, "", 0, version.per_call_nano))
    for tier in sorted(version.tiers, key=price_sheets.place_of):
        lines += _others(version, price_sheets.differing(version, tier), *price_sheets.place_of(tier))
    return lines


def changes_between(before: PriceVersion | None, after: PriceVersion) -> list[Change]:
    """What `after` charges otherwise than `before` did, in the order of the lines. Empty: they are the same price."""
    old, new = _by_place(before), _by_place(after)
    changes = [Change(line.words, _cost(old, place), _cost(new, place)) for place, line in {**new, **old}.items()]
    return [change for change in changes if change.before_nano != change.after_nano]


def is_same(before: PriceVersion | None, after: PriceVersion) -> bool:
    """Whether a call costs the same at both, and both or neither refuse it."""
    if before is None or before.is_withdrawn != after.is_withdrawn:
        return False
    return not changes_between(before, after)


def _by_place(version: PriceVersion | None) -> dict[Place, Line]:
    lines = lines_of(version) if version is not None else []
    return {(line.service, line.above_tokens, line.bucket): line for line in lines}


def _cost(lines: Mapping[Place, Line], place: Place) -> int | None:
    """Nano; what a tier says nothing of costs there as plainly. None: it is not charged by itself, or no such tier."""
    found = lines.get(place)
    if found is None and any(other[:2] == place[:2] for other in lines):
        found = lines.get(("", 0, place[2]))
    return None if found is None else found.nano


def _others(version: PriceVersion, rates: dict[str, int], service: str, above_tokens: int) -> Iterator[Line]:
    known = {bucket: place for place, bucket in enumerate(_NAMES)}
    for bucket in sorted(rates, key=lambda bucket: (known.get(bucket, len(known)), bucket)):
        yield Line(bucket, service, above_tokens, _per_million(version, bucket, rates[bucket]))


def _per_million(version: PriceVersion, bucket: str, nano: int) -> int:
    """Exact: `per_units` divides a million. Calls and uses are not counted in tokens."""
    return nano * (MILLION // version.per_units) if _is_by_tokens(bucket) else nano


def _is_by_tokens(bucket: str) -> bool:
    return bucket != PER_CALL and not bucket.startswith("tool:")
