"""What a call is for, and over which routes such a use may go: approvals, export, providers' terms."""

from collections.abc import Callable
from dataclasses import replace
from typing import NoReturn

from channels.access import Barrier, Reach, barrier, exports_to
from newapi.gateway.catalogue import ModelEntry, RouteEntry
from newapi.gateway.passports import Passport
from newapi.kernel import errors
from newapi.kernel.places import Place

ADULT = "SX-ADULT"


def check(passport: Passport, model: ModelEntry, *, now_ms: int) -> None:
    """Whether what the call is for was approved (GW-20, GW-21). Raises ApprovalRequired."""
    if category := model.approval_category:
        if category == ADULT and passport.reach.serves_minors:
            raise errors.AdultNotApproved(
                "Adult content is refused to projects that serve minors.", details={"policy_code": category}
            )
        if not _is_approved(passport, category, model.name, now_ms=now_ms, needs_review=False):
            kind = errors.AdultNotApproved if category == ADULT else errors.ApprovalRequired
            raise kind(
                f"The model '{shown(model.name)}' needs an approval for {category}. Your organisation can ask for it.",
                param="model",
                details={"policy_code": category},
            )
    if passport.domain and not _is_approved(passport, passport.domain, model.name, now_ms=now_ms, needs_review=True):
        raise errors.DomainNotApproved(
            f"Uses of the domain {passport.domain} need an approval with human review.",
            details={"policy_code": passport.domain},
        )


def reach_of(passport: Passport, model: ModelEntry, place: Place) -> Reach:
    """Who calls, with what this call adds: the place, and what the model is for."""
    categories, countries = passport.reach.categories, passport.reach.countries
    if model.approval_category:
        categories |= {model.approval_category}
    if place.country:
        countries |= {place.country}
    if categories is passport.reach.categories and countries is passport.reach.countries:
        return passport.reach
    return replace(passport.reach, categories=categories, countries=countries)


def routes_open_to(passport: Passport, model: ModelEntry, place: Place, *, now_ms: int) -> tuple[RouteEntry, ...]:
    """The routes that the caller may take. Raises the error that explains best why there is none."""
    reach = reach_of(passport, model, place)
    if not exports_to(model.countries, reach.countries):
        _refuse_export(model)
    open_routes, barriers = [], set()
    for route in model.routes:
        reason = barrier(route.channel.access, reach, now_ms=now_ms)
        if reason is None:
            open_routes.append(route)
        else:
            barriers.add(reason)
    if open_routes:
        return model.routes if len(open_routes) == len(model.routes) else tuple(open_routes)
    for reason, refuse in _EXPLAINED.items():
        if reason in barriers:
            refuse(model)
    raise errors.ModelNotFound(f"The model '{shown(model.name)}' does not exist here.", param="model")


def _refuse_export(model: ModelEntry) -> NoReturn:
    raise errors.ExportRestricted(
        f"The model '{shown(model.name)}' may not be used from where you are.",
        param="model",
        details={"policy_code": "EC-SANCTION"},
    )


def _refuse_terms(model: ModelEntry) -> NoReturn:
    raise errors.UpstreamTermsForbid(
        f"The terms of every provider of '{shown(model.name)}' forbid this use.",
        param="model",
        details={"policy_code": "IP-UPSTREAM"},
    )


# Barriers that the caller is told of, the most telling first. The others would say who else is served here.
_EXPLAINED: dict[Barrier, Callable[[ModelEntry], NoReturn]] = {
    Barrier.EXPORT: _refuse_export,
    Barrier.TERMS: _refuse_terms,
}


def _is_approved(passport: Passport, category: str, model: str, *, now_ms: int, needs_review: bool) -> bool:
    return any(
        granted.category == category
        and (not granted.models or model in granted.models)
        and (granted.has_human_review or not needs_review)
        and granted.holds_at(now_ms)
        for granted in passport.approvals
    )


def shown(name: str) -> str:
    """A name that the caller sent, short enough to repeat."""
    return name if len(name) <= 80 else f"{name[:77]}…"
