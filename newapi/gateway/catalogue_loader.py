"""Reading the catalogue from the database. Blocks; never called by a warm call."""

import ipaddress
import logging
from collections import defaultdict
from collections.abc import Iterable
from urllib.parse import urlsplit

from django.conf import settings
from multidict import CIMultiDict
from yarl import URL

from billing import selectors as billing
from channels import access
from channels.models import Channel, Model, ModelAlias, ModelFallback, Route, UpstreamKey
from channels.services.catalogue import current_version
from moderation.detection import RuleInForce, phrases_of, rules_in_force
from moderation.selectors import blocks_in_force
from newapi.gateway.blocks import Blocks
from newapi.gateway.catalogue import Catalogue, ChannelEntry, Detection, KeyEntry, ModelEntry, RouteEntry
from newapi.gateway.health import Care
from newapi.gateway.observing import Phrases
from newapi.kernel import addresses, clock, secrets

log = logging.getLogger(__name__)

# Calls read about three tokens for each that they write; the cheapest route is judged by such a call.
_INPUT_SHARE, _OUTPUT_SHARE = 3, 1


def load() -> Catalogue:
    """Read the snapshot.

    The version is read first: a change made while we read makes the snapshot stale, never wrongly fresh.
    """
    version = current_version()
    prices = billing.price_schedules()
    return Catalogue(
        version=version,
        models=_models(_routes(_channels())),
        prices=prices,
        priced_regions=frozenset(region for *_, region in prices if region),
        blocks=Blocks(blocks_in_force()),
        detection=_detection(rules_in_force()),
    )


def _models(routes: dict[int, list[RouteEntry]]) -> dict[str, ModelEntry]:
    fallbacks: dict[int, list[str]] = defaultdict(list)
    for row in ModelFallback.objects.filter(fallback__is_active=True).order_by("position").select_related("fallback"):
        fallbacks[row.model_id].append(row.fallback.name)
    entries = {
        model.name: ModelEntry(
            id=model.pk,
            name=model.name,
            kind=model.kind,
            owned_by=model.owned_by,
            created_s=int(model.created_at.timestamp()),
            context_tokens=model.context_tokens,
            output_tokens_max=model.output_tokens_max,
            strategy=model.strategy,
            affinity=model.affinity,
            approval_category=model.approval_category,
            countries=frozenset(model.countries_allowed) or None,
            retires_ms=None if model.retires_at is None else clock.to_ms(model.retires_at),
            replacement=model.replacement.name if model.replacement else "",
            fallbacks=tuple(fallbacks[model.pk]),
            routes=tuple(routes[model.pk]),
        )
        for model in Model.objects.filter(is_active=True).select_related("replacement")
    }
    for alias in ModelAlias.objects.filter(model__is_active=True).select_related("model"):
        entries.setdefault(alias.name, entries[alias.model.name])
    return entries


def _routes(channels: dict[int, ChannelEntry]) -> dict[int, list[RouteEntry]]:
    routes: dict[int, list[RouteEntry]] = defaultdict(list)
    rows = Route.objects.filter(is_active=True, channel_id__in=channels).select_related("model").order_by("pk")
    for route in rows:
        cost_nano = None
        if route.cost_input_nano is not None and route.cost_output_nano is not None:
            cost_nano = _INPUT_SHARE * route.cost_input_nano + _OUTPUT_SHARE * route.cost_output_nano
        entry = RouteEntry(channels[route.channel_id], route.upstream_name or route.model.name, cost_nano)
        routes[route.model_id].append(entry)
    return routes


def _channels() -> dict[int, ChannelEntry]:
    rows = {}
    for channel in Channel.objects.filter(status=Channel.Status.ENABLED).select_related("account"):
        if reason := _literal_refusal(channel.base_url):
            log.error("channel %s is left out: %s", channel.pk, reason)
            continue
        rows[channel.pk] = channel
    keys = _keys(rows)
    conditions = access.of(rows.values())
    return {
        channel.pk: ChannelEntry(
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
            parameters=channel.parameter_overrides,
            care=Care(
                channel_id=channel.pk,
                failures_max=channel.breaker_failures_max,
                error_percent=channel.breaker_error_percent,
                open_ms=channel.breaker_open_s * 1000,
            ),
            access=conditions[channel.pk],
            keys=tuple(keys[channel.pk]),
        )
        for channel in rows.values()
    }


def _keys(channels: dict[int, Channel]) -> dict[int, list[KeyEntry]]:
    keys: dict[int, list[KeyEntry]] = defaultdict(list)
    for key in UpstreamKey.objects.filter(is_active=True, channel_id__in=channels).order_by("pk"):
        try:
            secret = key.secret()
        except secrets.SealBroken as error:
            log.error("upstream key %s cannot be opened and is left out: %s", key.pk, error)
            continue
        headers = CIMultiDict({"Authorization": f"Bearer {secret}", "Content-Type": "application/json"})
        headers.update(channels[key.channel_id].header_overrides)
        keys[key.channel_id].append(KeyEntry(key.pk, headers))
    return keys


def _detection(rules: Iterable[RuleInForce]) -> Detection:
    known = {rule.id: rule for rule in rules}
    return Detection(known, Phrases(phrases_of(known.values())))


def _literal_refusal(url: str) -> str | None:
    """Addresses written out never pass the resolver, so they are judged here."""
    try:
        address = ipaddress.ip_address(urlsplit(url).hostname or "")
    except ValueError:
        return None
    return addresses.refusal(address, allow_private=settings.GATEWAY_UPSTREAM_PRIVATE_ADDRESSES)
