"""The catalogue: models, routes, channels, keys, prices, blocklists and rules as one frozen snapshot a worker.

Swapped whole. ADMIT compares its version, so a change is felt by the next call; a re-check every second
usually makes the swap before a call has to wait for it. newapi.gateway.catalogue_loader reads it.
"""

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from multidict import CIMultiDict
from yarl import URL

from billing import selectors as billing
from billing.pricing import Rates
from channels.access import Access
from moderation.detection import RuleInForce
from newapi.gateway.blocks import Blocks
from newapi.gateway.health import Care
from newapi.gateway.observing import Phrases


@dataclass(frozen=True, slots=True)
class KeyEntry:
    """An upstream key, opened. Lives in memory only; repr shows no secret."""

    id: int
    # As the HTTP client wants them, made once, with the channel's overrides.
    headers: CIMultiDict[str]

    def __repr__(self) -> str:
        return f"KeyEntry(id={self.id})"


@dataclass(frozen=True, slots=True)
class ChannelEntry:
    """A channel as routing and the upstream client need it. Times are seconds."""

    id: int
    account_id: int
    name: str
    protocol: str
    base_url: URL
    priority: int
    weight: int
    connect_timeout_s: float
    first_byte_timeout_s: float
    idle_timeout_s: float
    total_timeout_s: float
    asks_stream_usage: bool
    drains_after_leave: bool
    # Members set in every body; None removes one. Empty: nothing is changed.
    parameters: Mapping[str, Any]
    care: Care
    access: Access
    keys: tuple[KeyEntry, ...]

    def url_of(self, path: str) -> URL:
        """The address of an endpoint, such as `chat/completions`."""
        return _joined(self.base_url, path)


@functools.lru_cache(maxsize=10_000)
def _joined(base: URL, path: str) -> URL:
    return base / path


@dataclass(frozen=True, slots=True)
class RouteEntry:
    """A model on a channel, under the name that it has there. `cost_nano` is of a typical million tokens upstream."""

    channel: ChannelEntry
    upstream_name: str
    cost_nano: int | None


@dataclass(frozen=True, slots=True)
class ModelEntry:
    """A model as callers name it. Times are ms since the epoch."""

    id: int
    name: str
    kind: str
    owned_by: str
    created_s: int
    context_tokens: int
    output_tokens_max: int
    strategy: str
    affinity: str
    # The policy code for which an approval is needed, or empty.
    approval_category: str
    # Allowed destinations, or None.
    countries: frozenset[str] | None
    retires_ms: int | None
    replacement: str
    # Names of the models that may stand in for it, in turn.
    fallbacks: tuple[str, ...]
    routes: tuple[RouteEntry, ...]


@dataclass(frozen=True, slots=True)
class Detection:
    """What detectors want of each call. `phrases` are those of rules that look into the text, by rule id."""

    rules: Mapping[int, RuleInForce]
    phrases: Phrases


@dataclass(frozen=True, slots=True)
class Catalogue:
    """Everything a call may be routed to, what it costs, and what is refused everywhere."""

    version: int
    # By name and by alias.
    models: dict[str, ModelEntry]
    prices: dict[billing.PriceKey, billing.Schedule]
    # The places that have prices of their own; mostly none, and then nothing is looked up for them.
    priced_regions: frozenset[str]
    blocks: Blocks
    detection: Detection

    def rates(self, model: ModelEntry, *, currency: str, price_group: str, country: str, at_ms: int) -> Rates | None:
        """The price in force at a moment for calls from a country (empty: nobody knows where), or None.

        That of the country from the moment it has one; before, and elsewhere, that of no place. An unpriced model is
        refused, never free by accident, and so is one whose price for the country was withdrawn.
        """
        if country in self.priced_regions:
            own = self.prices.get((model.id, currency, price_group, country))
            if own and own[0][0] <= at_ms:
                return billing.rates_at(own, at_ms)
        schedule = self.prices.get((model.id, currency, price_group, ""))
        return billing.rates_at(schedule, at_ms) if schedule else None
