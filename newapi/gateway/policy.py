"""May this call be made: pure checks of passport, catalogue and clock. Each refusal is a typed error."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.conf import settings

from billing.pricing import Rates
from billing.rates import NEVER_DEARER
from moderation.selectors import Standing
from newapi.gateway import holders, uses
from newapi.gateway.catalogue import Catalogue, ModelEntry, RouteEntry
from newapi.gateway.limits import Caps
from newapi.gateway.observing import text_of
from newapi.gateway.parsing import Call
from newapi.gateway.passports import Closed, Passport
from newapi.gateway.uses import shown
from newapi.kernel import addresses, clock, errors
from newapi.kernel.places import Place

# These two are made anew for every call, so not frozen: that would double what making one costs.


@dataclass(slots=True)
class Permit:
    """What a call was allowed: a model, at a price, over these routes."""

    model: ModelEntry
    rates: Rates
    routes: tuple[RouteEntry, ...]


@dataclass(slots=True)
class Origin:
    """Where a call comes from. `user_agent` is looked at by blocklists only (GW-34)."""

    address: str
    place: Place
    user_agent: str


def check_key(passport: Passport, catalogue: Catalogue, origin: Origin, *, now_ms: int) -> None:
    """Whether the key opens anything at all. Raises InvalidKey, Forbidden, AddressNotAllowed, Blocked, Restricted."""
    if passport.closed is not None:
        if passport.closed in (Closed.KEY, Closed.MEMBER):
            raise errors.InvalidKey
        raise errors.Forbidden(f"The {passport.closed} that this key belongs to is switched off.")
    if passport.expires_ms is not None and passport.expires_ms <= now_ms:
        raise errors.InvalidKey
    if passport.addresses_allowed and not addresses.contains(passport.addresses_allowed, origin.address):
        raise errors.AddressNotAllowed(f"This key may not be used from {origin.address}.")
    if catalogue.blocks.asks_caller:
        catalogue.blocks.check_caller(
            passport, address=origin.address, place=origin.place, user_agent=origin.user_agent, now_ms=now_ms
        )
    for standing in passport.standings:
        if standing.holds_at(now_ms) and passport.holds_for(standing):
            raise restricted(standing)


def check_call(
    passport: Passport,
    catalogue: Catalogue,
    place: Place,
    *,
    feature: str,
    model: str,
    now_ms: int,
    service_tier: str = "",
    tools: Mapping[str, int] | None = None,
) -> Permit:
    """Whether this key may call this model now, in that service tier, with these tools of the provider's.

    Raises Restricted, ModelNotAllowed, ModelNotFound, ModelRetired, ExportRestricted, UpstreamTermsForbid,
    ApprovalRequired; InvalidRequest for a tier or a tool without a price.
    """
    entry = catalogue.models.get(model)
    for standing in passport.standings:
        if is_aimed_at(standing, feature=feature, model=entry.name if entry else model) and standing.holds_at(now_ms):
            raise restricted(standing)
    if passport.models_allowed is not None and not passport.models_allowed & {model, entry.name if entry else model}:
        raise errors.ModelNotAllowed(f"This key may not use the model '{shown(model)}'.", param="model")
    if entry is None or not entry.routes:
        raise errors.ModelNotFound(f"The model '{shown(model)}' does not exist here.", param="model")
    if (entry.kind == "embedding") != (feature == "embeddings"):
        raise errors.InvalidRequest(f"The model '{shown(model)}' is not for {feature}.", param="model")
    if entry.retires_ms is not None and entry.retires_ms <= now_ms:
        raise _retired(entry, entry.retires_ms)
    uses.check(passport, entry, now_ms=now_ms)
    routes = uses.routes_open_to(passport, entry, place, now_ms=now_ms)
    rates = catalogue.rates(
        entry,
        currency=passport.currency,
        price_group=passport.price_group,
        country=passport.country or place.country,
        at_ms=now_ms,
    )
    if rates is None:
        raise errors.ModelNotFound(
            f"The model '{shown(model)}' has no price in {passport.currency}, so it cannot be called.",
            param="model",
        )
    if service_tier or tools:
        _check_sold(rates, entry, service_tier, tools or {})
    return Permit(entry, rates, routes)


def _check_sold(rates: Rates, model: ModelEntry, service_tier: str, tools: Mapping[str, int]) -> None:
    """Refuse what has no price: the provider would bill us for what we sell to nobody."""
    if service_tier not in NEVER_DEARER and service_tier not in (rates.ladders or ()):
        raise errors.InvalidRequest(
            f"The service tier '{shown(service_tier)}' of '{shown(model.name)}' has no price in {rates.currency}.",
            param="service_tier",
        )
    for tool in tools:
        if not rates.sells(tool):
            raise errors.InvalidRequest(
                f"The tool '{tool.removeprefix('tool:')}' of '{shown(model.name)}' has no price in {rates.currency}, "
                "so it cannot be used.",
                param="tools",
            )


def price_basis(passport: Passport, rates: Rates) -> str:
    """How the place was known whose price applies (BIL-10): a value of UsageEvent.PriceBasis."""
    if not rates.region:
        return "default"
    return "verified" if passport.country else "address"


def is_aimed_at(standing: Standing, *, feature: str, model: str) -> bool:
    """Whether a restriction is on a feature or a model."""
    return (standing.scope == "feature" and standing.target == feature) or (
        standing.scope == "model" and standing.target == model
    )


def check_size(caps: Caps, *, body_bytes: int, max_tokens: int | None) -> None:
    """Whether the call is within the sizes that its holders allow. Raises BodyTooLarge, TooManyOutputTokens."""
    if (cap := caps.body_bytes) is not None and body_bytes > cap.most:
        whose, details = holders.of_cap(cap)
        raise errors.BodyTooLarge(f"{whose} may send {cap.most:,} bytes per request.", details=details)
    if (cap := caps.output_tokens) is not None and max_tokens is not None and max_tokens > cap.most:
        whose, details = holders.of_cap(cap)
        raise errors.TooManyOutputTokens(
            f"{whose} may ask for {cap.most:,} output tokens per call.", param="max_tokens", details=details
        )


def check_text(passport: Passport, catalogue: Catalogue, call: Call, *, now_ms: int) -> tuple[int, ...]:
    """What the text holds, looked through and not kept. Returns the rules whose phrases it has.

    Raises Blocked for a phrase of a blocklist, JailbreakRefused for one of a rule in block mode.
    """
    if not catalogue.blocks.asks_text and not catalogue.detection.phrases:
        return ()
    text = text_of(call.body)
    catalogue.blocks.check_text(passport, text, now_ms=now_ms)
    matched = catalogue.detection.phrases.found_in(text)
    for rule_id in matched:
        rule = catalogue.detection.rules[rule_id]
        if rule.blocks:
            refusal = errors.JailbreakRefused(
                "The request holds a phrase that is known to attack the safety of models.",
                details={"policy_code": rule.category},
            )
            refusal.rules = matched
            raise refusal
    return matched


def fallback_permits(
    passport: Passport,
    catalogue: Catalogue,
    place: Place,
    *,
    permit: Permit,
    feature: str,
    now_ms: int,
    service_tier: str = "",
    tools: Mapping[str, int] | None = None,
) -> tuple[Permit, ...]:
    """The models that may stand in, in turn: those that this caller could call as well.

    A model for which the organisation has limits of its own is left out: the call is counted on the limits of
    the model that was asked for.
    """
    permits = []
    for name in permit.model.fallbacks:
        entry = catalogue.models.get(name)
        if entry is None or entry.id in passport.rules_by_model:
            continue
        try:
            permits.append(
                check_call(
                    passport,
                    catalogue,
                    place,
                    feature=feature,
                    model=name,
                    now_ms=now_ms,
                    service_tier=service_tier,
                    tools=tools,
                )
            )
        except errors.CallError:
            continue
    return tuple(permits)


def callable_models(
    passport: Passport, catalogue: Catalogue, place: Place, *, now_ms: int
) -> list[tuple[str, ModelEntry]]:
    """The models that a key could call now, with the name or alias to call them by, by that name."""
    features = {"chat": "chat", "embedding": "embeddings"}
    found = []
    for name, entry in catalogue.models.items():
        try:
            check_call(passport, catalogue, place, feature=features[entry.kind], model=name, now_ms=now_ms)
        except errors.CallError:
            continue
        found.append((name, entry))
    return sorted(found, key=lambda pair: pair[0])


def cutting(passport: Passport, *, feature: str, model: str, now_ms: int) -> Standing | None:
    """The restriction that ends a running stream of this key, or None."""
    for standing in passport.standings:
        is_meant = passport.holds_for(standing) or is_aimed_at(standing, feature=feature, model=model)
        if standing.cuts and is_meant and standing.holds_at(now_ms):
            return standing
    return None


def restricted(standing: Standing) -> errors.Restricted:
    """The refusal that a restriction causes: code, case, until, where to appeal. Nothing about who reported."""
    details = what_is_told(standing)
    until = details["until"]
    what = {"organisation": "Your organisation", "model": f"The model '{standing.target}'"}
    subject = what.get(standing.scope, f"This {standing.scope.replace('_', ' ')}")
    end = f" until {until}" if until else ""
    return errors.Restricted(
        f"{subject} is restricted{end}. To appeal, write to {settings.ABUSE_CONTACT}.",
        details=details,
    )


def what_is_told(standing: Standing) -> dict[str, Any]:
    """What programs are told of a restriction: code, case, whom it is on, until when (ISO 8601), where to appeal."""
    return {
        "policy_code": standing.policy_code or None,
        "case": standing.case_reference or None,
        "scope": standing.scope,
        "until": None if standing.ends_ms is None else clock.from_ms(standing.ends_ms).isoformat(),
        "appeal": f"mailto:{settings.ABUSE_CONTACT}",
    }


def _retired(model: ModelEntry, retires_ms: int) -> errors.ModelRetired:
    instead = f" Use '{model.replacement}' instead." if model.replacement else ""
    day = clock.from_ms(retires_ms).date().isoformat()
    return errors.ModelRetired(
        f"The model '{shown(model.name)}' was retired on {day}.{instead}",
        param="model",
        details={"retired_at": day, "replacement": model.replacement or None},
    )
