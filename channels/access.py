"""Who may reach which channel: pure checks of a channel's conditions against who calls and from where.

The pages that draw "who may reach what" ask the same function as the calls themselves.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from django.conf import settings

from channels.governance import TermsInForce, Window, authorised_windows, terms_in_force
from channels.models import Channel

NO_TERMS = TermsInForce(False, False, frozenset(), frozenset())


class Barrier(StrEnum):
    """Why a channel is out of reach. The values are for people."""

    EVIDENCE = "no authorisation evidence is in force"
    TEST = "test keys and test channels keep to themselves"
    ORGANISATION = "it is for other organisations"
    PRICE_GROUP = "it is for other price groups"
    EXPORT = "it may not be used from this country"
    TERMS = "the provider's terms do not allow this use"


@dataclass(frozen=True, slots=True)
class Access:
    """A channel's conditions. None means: no condition."""

    # Moments (ms) in which authorisation evidence is in force: start, and end or None. None: none is needed.
    windows: tuple[Window, ...] | None = None
    organisations: frozenset[int] | None = None
    price_groups: frozenset[str] | None = None
    countries: frozenset[str] | None = None
    is_test: bool = False
    terms: TermsInForce = NO_TERMS


@dataclass(frozen=True, slots=True)
class Reach:
    """Who calls, as far as channels care. `categories` are the policy codes that the use falls under.

    `countries` are where the caller is and where the organisation says it is; either may be unknown and absent.
    """

    organisation_id: int
    price_group: str
    is_external: bool = False
    is_test: bool = False
    serves_minors: bool = False
    categories: frozenset[str] = frozenset()
    countries: frozenset[str] = frozenset()


def of(channels: Iterable[Channel]) -> dict[int, Access]:
    """Channel id → its conditions, read from the database. Without evidence in force, now or later, nobody may.

    The channels need their `account`. Three queries, however many channels.
    """
    windows, terms = authorised_windows(), terms_in_force()
    organisations: dict[int, set[int]] = defaultdict(set)
    through = Channel.organisations_allowed.through
    for channel_id, organisation_id in through.objects.values_list("channel_id", "organisation_id"):
        organisations[channel_id].add(organisation_id)
    return {
        channel.pk: Access(
            windows=windows.get(channel.pk, ()) if settings.CHANNEL_EVIDENCE_REQUIRED else None,
            organisations=frozenset(organisations[channel.pk]) or None,
            price_groups=frozenset(channel.price_groups_allowed) or None,
            countries=frozenset(channel.countries_allowed) or None,
            is_test=channel.is_test,
            terms=terms.get(channel.account.provider_id, NO_TERMS),
        )
        for channel in channels
    }


def barrier(access: Access, reach: Reach, *, now_ms: int) -> Barrier | None:
    """What keeps a caller from a channel at a moment, or None."""
    if access.windows is not None and not in_window(access.windows, now_ms):
        return Barrier.EVIDENCE
    if access.is_test != reach.is_test:
        return Barrier.TEST
    if access.organisations is not None and reach.organisation_id not in access.organisations:
        return Barrier.ORGANISATION
    if access.price_groups is not None and reach.price_group not in access.price_groups:
        return Barrier.PRICE_GROUP
    if not exports_to(access.countries, reach.countries):
        return Barrier.EXPORT
    return None if _terms_allow(access.terms, reach) else Barrier.TERMS


def in_window(windows: tuple[Window, ...], now_ms: int) -> bool:
    """Whether a moment lies in one of the windows."""
    return any(start <= now_ms and (end is None or now_ms < end) for start, end in windows)


def exports_to(allowed: frozenset[str] | None, countries: frozenset[str]) -> bool:
    """Whether every known place of the caller is an allowed destination; from an unknown place it is refused."""
    return allowed is None or (bool(countries) and countries <= allowed)


def _terms_allow(terms: TermsInForce, reach: Reach) -> bool:
    return not (
        (terms.no_external_clients and reach.is_external)
        or (terms.no_minors and reach.serves_minors)
        or (terms.categories_forbidden & reach.categories)
        or (terms.countries_denied & reach.countries)
    )
