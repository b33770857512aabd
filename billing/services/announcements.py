"""Telling organisations of prices to come: once, before they hold, with old, new and the moment (BIL-09, NOT-07).

What was published together, by one price list, is told together.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice

from django.db.models import Exists, F, OuterRef, Q, QuerySet, Value
from django.db.models.fields import CharField
from django.db.models.functions import Cast, Concat
from django.urls import reverse

from accounts.models import Notice, Organisation
from accounts.services import notices
from billing import price_lines
from billing.models import PriceImportRow, PriceVersion
from billing.price_lines import Change
from billing.services import prices
from channels.access import exports_to
from newapi.kernel import clock

KIND = "price.change"
# What came into force while no job ran is told all the same, for so long.
LATE = timedelta(days=1)
# Versions that are looked at in a run; more are told by the next ones, the earliest first.
VERSIONS_MAX = 5_000
MODELS_TOLD_MAX = 30
CHANGES_TOLD_MAX = 8


@dataclass(frozen=True, slots=True)
class News:
    """Versions that were published together. `key`: the same news, whoever is told it and however often."""

    key: str
    versions: tuple[PriceVersion, ...]


@dataclass(frozen=True, slots=True)
class Told:
    """A version, and what it changes for whom it concerns. `own`: the countries with a price of their own."""

    version: PriceVersion
    changes: list[Change]
    is_dearer: bool
    own: frozenset[str]

    def concerns(self, organisation: Organisation) -> bool:
        """Whether calls of the organisation may come to be charged at it."""
        country = organisation.country
        if not country:
            # Where an organisation does not say where it is, the place of each call decides.
            return True
        allowed = frozenset(self.version.model.countries_allowed) or None
        return exports_to(allowed, frozenset({country})) and country not in self.own


def announce(*, limit: int = 500) -> int:
    """Tell up to so many organisations what they do not know yet. Returns how many were told. Again is harmless."""
    told = 0
    for news in _news(clock.now()):
        told += _tell(news, limit - told)
        if told >= limit:
            break
    return told


def _news(now: datetime) -> list[News]:
    """What is scheduled, by what it was published with, the earliest first."""
    scheduled = PriceVersion.objects.filter(effective_from__gt=F("created_at"), model__is_active=True)
    ahead = scheduled.filter(effective_from__gt=now - LATE).select_related("model")
    versions = list(ahead.order_by("effective_from", "pk")[:VERSIONS_MAX])
    lists = dict(PriceImportRow.objects.filter(version__in=versions).values_list("version", "of"))
    found: dict[str, list[PriceVersion]] = defaultdict(list)
    for version in versions:
        key = f"list-{lists[version.pk]}" if version.pk in lists else f"version-{version.pk}"
        found[key].append(version)
    return [News(key, tuple(together)) for key, together in found.items()]


def _tell(news: News, limit: int) -> int:
    """Tell those whom it concerns and who do not know."""
    audience = _audience(news)
    if not audience.exists():
        return 0
    changes = [told for told in map(_told, news.versions) if told is not None]
    posted = (_post(news, organisation, changes) for organisation in audience.iterator(chunk_size=500))
    return sum(islice((1 for was_new in posted if was_new), limit))


def _audience(news: News) -> QuerySet[Organisation]:
    """Active organisations with this currency and price group that have not been told."""
    any_of = news.versions[0]
    known = Notice.objects.filter(once=OuterRef("once"))
    once = Concat(Value(f"price:{news.key}:"), Cast("pk", CharField()))
    customers = Organisation.objects.filter(is_active=True, currency=any_of.currency, price_group=any_of.price_group)
    if any_of.region:
        customers = customers.filter(Q(country=any_of.region) | Q(country=""))
    return customers.annotate(once=once).filter(~Exists(known)).order_by("pk")


def _told(version: PriceVersion) -> Told | None:
    """None when nothing changes by it."""
    before = prices.replaced_by(version)
    if before is None and version.is_withdrawn:
        return None
    if before is not None and price_lines.is_same(before, version):
        return None
    own = PriceVersion.objects.filter(
        model=version.model_id,
        currency=version.currency,
        price_group=version.price_group,
        effective_from__lte=version.effective_from,
    ).exclude(region="")
    regions = frozenset(own.values_list("region", flat=True)) if not version.region else frozenset()
    changes = price_lines.changes_between(before, version)
    return Told(version, changes, bool(prices.dearer(version)), regions)


def _post(news: News, organisation: Organisation, changes: Sequence[Told]) -> bool:
    mine = [told for told in changes if told.concerns(organisation)]
    if not mine:
        return False
    return notices.post(
        once=f"price:{news.key}:{organisation.pk}",
        kind=KIND,
        level=Notice.Level.WARNING if any(told.is_dearer for told in mine) else Notice.Level.INFO,
        title=_title(mine),
        body="\n".join(_body(mine, organisation.currency)),
        link=reverse("portal:models", args=[organisation.slug]),
        audience=Notice.Audience.BILLING,
        organisation=organisation,
    )


def _title(mine: Sequence[Told]) -> str:
    first = mine[0].version
    day = f"{min(told.version.effective_from for told in mine):%-d %B %Y}"
    if len(mine) > 1:
        return f"The prices of {len(mine)} models change from {day} on"
    if first.is_withdrawn:
        return f"{first.model} is no longer sold from {day} on"
    return f"The price of {first.model} changes on {day}"


def _body(mine: Sequence[Told], currency: str) -> Iterator[str]:
    yield f"Amounts in {currency} for 1,000,000 tokens, or for one call or use. Earlier calls cost what they cost now."
    for told in mine[:MODELS_TOLD_MAX]:
        yield f"{told.version.model}, from {told.version.effective_from:%-d %B %Y %H:%M} UTC: {_words(told)}"
    if len(mine) > MODELS_TOLD_MAX:
        yield f"… and {len(mine) - MODELS_TOLD_MAX} more. The page of prices has them all."


def _words(told: Told) -> str:
    if told.version.is_withdrawn:
        return "no longer sold"
    parts = [f"{one.words} {one.before} → {one.after}" for one in told.changes[:CHANGES_TOLD_MAX]]
    if len(told.changes) > CHANGES_TOLD_MAX:
        parts.append(f"and {len(told.changes) - CHANGES_TOLD_MAX} more")
    return ("free; " if told.version.is_free else "") + "; ".join(parts) + "."
