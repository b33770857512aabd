"""The catalogue: models, routes, channels, keys and prices as one frozen snapshot a worker.

Swapped whole. ADMIT compares its version, so a change is felt by the next call; a re-check every second
usually makes the swap before a call has to wait for it.
"""

import functools
import ipaddress
import logging
from collections import defaultdict
from dataclasses import dataclass
from urllib.parse import urlsplit

from django.conf import settings
from multidict import CIMultiDict
from yarl import URL

from billing import selectors as billing
from billing.pricing import Rates
from channels.models import Channel, Model, Route, UpstreamKey
from channels.services.catalogue import current_version
from newapi.kernel import addresses, secrets

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class KeyEntry:
    """An upstream key, opened. Lives in memory only; repr shows no secret."""

    id: int
    # As the HTTP client wants them, made once.
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
    keys: tuple[KeyEntry, ...]

    def url_of(self, path: str) -> URL:
        """The address of an endpoint, such as `chat/completions`."""
        return _joined(self.base_url, path)


@functools.lru_cache(maxsize=10_000)
def _joined(base: URL, path: str) -> URL:
    return base / path


@dataclass(frozen=True, slots=True)
class RouteEntry:
    """A model on a channel; `upstream_name` is None when it has the public name there."""

    channel: ChannelEntry
    upstream_name: str | None


@dataclass(frozen=True, slots=True)
class ModelEntry:
    """A model as callers name it."""

    id: int
    name: str
    kind: str
    owned_by: str
    created_s: int
    context_tokens: int
    output_tokens_max: int
    routes: tuple[RouteEntry, ...]


@dataclass(frozen=True, slots=True)
class Catalogue:
    """Everything a call may be routed to, and what it costs."""

    version: int
    models: dict[str, ModelEntry]
    prices: dict[billing.PriceKey, billing.Schedule]

    def rates(self, model: ModelEntry, *, currency: str, price_group: str, at_ms: int) -> Rates | None:
        """The price in force at a moment, or None: an unpriced model is refused, never free by accident."""
        schedule = self.prices.get((model.id, currency, price_group))
        return billing.rates_at(schedule, at_ms) if schedule else None


def load() -> Catalogue:
    """Read the snapshot from the database. Blocks.

    The version is read first: a change made while we read makes the snapshot stale, never wrongly fresh.
    """
    version = current_version()
    channels = _channels()
    routes: dict[int, list[RouteEntry]] = defaultdict(list)
    for route in Route.objects.filter(is_active=True, channel_id__in=channels).order_by("pk"):
        routes[route.model_id].append(RouteEntry(channels[route.channel_id], route.upstream_name or None))
    models = {
        model.name: ModelEntry(
            id=model.pk,
            name=model.name,
            kind=model.kind,
            owned_by=model.owned_by,
            created_s=int(model.created_at.timestamp()),
            context_tokens=model.context_tokens,
            output_tokens_max=model.output_tokens_max,
            routes=tuple(routes[model.pk]),
        )
        for model in Model.objects.filter(is_active=True)
    }
    return Catalogue(version, models, billing.price_schedules())


def _channels() -> dict[int, ChannelEntry]:
    keys: dict[int, list[KeyEntry]] = defaultdict(list)
    for key in UpstreamKey.objects.filter(is_active=True).order_by("pk"):
        try:
            headers = CIMultiDict({"Authorization": f"Bearer {key.secret()}", "Content-Type": "application/json"})
        except secrets.SealBroken as error:
            log.error("upstream key %s cannot be opened and is left out: %s", key.pk, error)
            continue
        keys[key.channel_id].append(KeyEntry(key.pk, headers))
    entries = {}
    for channel in Channel.objects.filter(status=Channel.Status.ENABLED):
        if reason := _literal_refusal(channel.base_url):
            log.error("channel %s is left out: %s", channel.pk, reason)
            continue
        entries[channel.pk] = ChannelEntry(
            id=channel.pk,
            account_id=channel.account_id,
            name=channel.name,
            protocol=channel.protocol,
            base_url=URL(channel.base_url.rstrip("/")),
            priority=channel.priority,
            weight=channel.weight,
            connect_timeout_s=channel.connect_timeout_ms / 1000,
            first_byte_timeout_s=channel.first_byte_timeout_ms / 1000,
            idle_timeout_s=channel.idle_timeout_ms / 1000,
            total_timeout_s=channel.total_timeout_ms / 1000,
            asks_stream_usage=channel.asks_stream_usage,
            drains_after_leave=channel.drains_after_leave,
            keys=tuple(keys[channel.pk]),
        )
    return entries


def _literal_refusal(url: str) -> str | None:
    """Addresses written out never pass the resolver, so they are judged here."""
    try:
        address = ipaddress.ip_address(urlsplit(url).hostname or "")
    except ValueError:
        return None
    return addresses.refusal(address, allow_private=settings.GATEWAY_UPSTREAM_PRIVATE_ADDRESSES)
