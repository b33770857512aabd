"""May this call be made: pure checks of passport, catalogue and clock. Each refusal is a typed error."""

from dataclasses import dataclass

from django.conf import settings

from billing.pricing import Rates
from moderation.selectors import Standing
from newapi.gateway.catalogue import Catalogue, ModelEntry
from newapi.gateway.passports import Closed, Passport
from newapi.kernel import addresses, clock, errors


@dataclass(frozen=True, slots=True)
class Permit:
    """What a call was allowed: a model, at a price."""

    model: ModelEntry
    rates: Rates


def check_key(passport: Passport, *, now_ms: int, client_address: str) -> None:
    """Whether the key opens anything at all. Raises InvalidKey, Forbidden, AddressNotAllowed, Restricted."""
    if passport.closed is not None:
        if passport.closed in (Closed.KEY, Closed.MEMBER):
            raise errors.InvalidKey
        raise errors.Forbidden(f"The {passport.closed} that this key belongs to is switched off.")
    if passport.expires_ms is not None and passport.expires_ms <= now_ms:
        raise errors.InvalidKey
    if passport.addresses_allowed and not addresses.contains(passport.addresses_allowed, client_address):
        raise errors.AddressNotAllowed(f"This key may not be used from {client_address}.")
    own = {
        "organisation": "",
        "project": str(passport.project_id),
        "member": str(passport.user_id),
        "api_key": str(passport.api_key_id),
    }
    for standing in passport.standings:
        if own.get(standing.scope) == standing.target and standing.holds_at(now_ms):
            raise restricted(standing)


def check_call(passport: Passport, catalogue: Catalogue, *, feature: str, model: str, now_ms: int) -> Permit:
    """Whether this key may call this model now. Raises Restricted, ModelNotAllowed, ModelNotFound."""
    for standing in passport.standings:
        aimed = (standing.scope == "feature" and standing.target == feature) or (
            standing.scope == "model" and standing.target == model
        )
        if aimed and standing.holds_at(now_ms):
            raise restricted(standing)
    entry = catalogue.models.get(model)
    if passport.models_allowed is not None and model not in passport.models_allowed:
        raise errors.ModelNotAllowed(f"This key may not use the model '{shown(model)}'.", param="model")
    if entry is None or not entry.routes:
        raise errors.ModelNotFound(f"The model '{shown(model)}' does not exist here.", param="model")
    if (entry.kind == "embedding") != (feature == "embeddings"):
        raise errors.InvalidRequest(f"The model '{shown(model)}' is not for {feature}.", param="model")
    rates = catalogue.rates(entry, currency=passport.currency, price_group=passport.price_group, at_ms=now_ms)
    if rates is None:
        raise errors.ModelNotFound(
            f"The model '{shown(model)}' has no price in {passport.currency}, so it cannot be called.",
            param="model",
        )
    return Permit(entry, rates)


def callable_models(passport: Passport, catalogue: Catalogue, *, now_ms: int) -> list[ModelEntry]:
    """The models that a key could call now, by name."""
    features = {"chat": "chat", "embedding": "embeddings"}
    found = []
    for entry in catalogue.models.values():
        try:
            check_call(passport, catalogue, feature=features[entry.kind], model=entry.name, now_ms=now_ms)
        except errors.CallError:
            continue
        found.append(entry)
    return sorted(found, key=lambda entry: entry.name)


def restricted(standing: Standing) -> errors.Restricted:
    """The refusal that a restriction causes: code, case, until, where to appeal. Nothing about who reported."""
    until = None if standing.ends_ms is None else clock.from_ms(standing.ends_ms).isoformat()
    what = {"organisation": "Your organisation", "model": f"The model '{standing.target}'"}
    subject = what.get(standing.scope, f"This {standing.scope.replace('_', ' ')}")
    end = f" until {until}" if until else ""
    return errors.Restricted(
        f"{subject} is restricted{end}. To appeal, write to {settings.ABUSE_CONTACT}.",
        details={
            "policy_code": standing.policy_code or None,
            "case": standing.case_reference or None,
            "scope": standing.scope,
            "until": until,
            "appeal": f"mailto:{settings.ABUSE_CONTACT}",
        },
    )


def shown(name: str) -> str:
    """A name that the caller sent, short enough to repeat."""
    return name if len(name) <= 80 else f"{name[:77]}…"
