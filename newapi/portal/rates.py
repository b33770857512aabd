"""What the models cost here, for everybody to read: exactly the price table, on the page and in its files (BIL-23).

The prices of the default group only: what others have agreed is theirs. Nothing of upstreams is in them.
"""

from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby

from django.db.models import Exists, OuterRef, Q, QuerySet

from billing import price_lines
from billing.models import PriceVersion
from billing.price_lines import Change, Line
from channels.models import Model
from newapi.kernel import clock

GROUP = "default"
PLAIN = ("input", "cached_input", "cache_write", "output", "reasoning", price_lines.PER_CALL)
# More are folded away.
CHANGES_SHOWN = 6
Place = tuple[int, str, str]  # model id, currency, region


@dataclass(frozen=True, slots=True)
class Upcoming:
    """A version that takes over later, and what it changes."""

    version: PriceVersion
    changes: list[Change]

    @property
    def first(self) -> list[Change]:
        """Those that are shown at once; none of a version that only ends something, or is free."""
        return [] if self.is_plain else self.changes[:CHANGES_SHOWN]

    @property
    def rest(self) -> list[Change]:
        """Those that are folded away."""
        return [] if self.is_plain else self.changes[CHANGES_SHOWN:]

    @property
    def is_plain(self) -> bool:
        """Whether one word says all of it."""
        return self.version.is_withdrawn or self.version.is_free


@dataclass(frozen=True, slots=True)
class Rate:
    """What a model costs in a currency, where the caller is in a region (empty: anywhere else).

    `version`: the price in force; None when there is none yet; one that is withdrawn when the model is sold elsewhere,
    but not to callers from this region. `upcoming`: those that take over, in order.
    """

    model: Model
    currency: str
    region: str
    version: PriceVersion | None
    upcoming: list[Upcoming]

    @property
    def lines(self) -> list[Line]:
        """All that is charged."""
        return price_lines.lines_of(self.version) if self.version is not None else []

    @property
    def plain(self) -> list[tuple[str, Line | None]]:
        """The columns that every model has: bucket and line."""
        found = {line.bucket: line for line in self.lines if not line.tier}
        return [(bucket, found.get(bucket)) for bucket in PLAIN]

    @property
    def extras(self) -> list[Line]:
        """What few models have besides."""
        return [line for line in self.lines if not line.tier and line.bucket not in PLAIN]

    @property
    def tiers(self) -> list[tuple[str, list[Line]]]:
        """Other rates for other circumstances, by their name."""
        return [(tier, list(found)) for tier, found in groupby(self.lines, key=lambda line: line.tier) if tier]


def rates(*, currency: str = "", text: str = "") -> list[Rate]:
    """Every price of every model that is sold, by name, currency and region; perhaps of one currency, or by name."""
    now = clock.now()
    versions = _public(now)
    if currency:
        versions = versions.filter(currency=currency)
    if text:
        versions = versions.filter(model__name__icontains=text)
    newer = PriceVersion.objects.filter(
        model=OuterRef("model"),
        currency=OuterRef("currency"),
        price_group=OuterRef("price_group"),
        region=OuterRef("region"),
        effective_from__gt=OuterRef("effective_from"),
        effective_from__lte=now,
    )
    standing = versions.filter(~Exists(newer)).select_related("model")
    by_place: dict[Place, list[PriceVersion]] = defaultdict(list)
    for version in standing.order_by("model__name", "currency", "region", "effective_from"):
        by_place[version.model_id, version.currency, version.region].append(version)
    sold_anywhere = {place for place, found in by_place.items() if any(not version.is_withdrawn for version in found)}
    found = (
        _rate(versions, now, ends_here=bool(region) and (model, currency, "") in sold_anywhere)
        for (model, currency, region), versions in by_place.items()
    )
    return [rate for rate in found if rate.version is not None or rate.upcoming]


def currencies() -> list[str]:
    """Those that there are prices in."""
    return sorted(set(_public(clock.now()).order_by().values_list("currency", flat=True).distinct()))


def _public(now: datetime) -> QuerySet[PriceVersion]:
    """The versions that anybody may see: of the default group, of models that can be called."""
    sold = Q(model__is_active=True) & (Q(model__retires_at=None) | Q(model__retires_at__gt=now))
    return PriceVersion.objects.filter(sold, price_group=GROUP)


def _rate(versions: list[PriceVersion], now: datetime, *, ends_here: bool) -> Rate:
    """Of one place, in the order in which they hold. `ends_here`: withdrawn, it would else be sold as anywhere."""
    first = versions[0]
    holds = first.effective_from <= now
    current = first if holds and (ends_here or not first.is_withdrawn) else None
    upcoming, before = [], None if first.is_withdrawn else current
    for version in versions:
        is_news = not version.is_withdrawn or before is not None or (ends_here and current is None)
        if version.effective_from > now and is_news:
            upcoming.append(Upcoming(version, price_lines.changes_between(before, version)))
            before = None if version.is_withdrawn else version
    return Rate(first.model, first.currency, first.region, current, upcoming)
