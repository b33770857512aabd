"""The passport: everything about a key that a call needs, frozen, cached by the key's digest.

It carries its organisation's epoch. ADMIT refuses an old one, so the cache never outlives a change.
"""

from collections import OrderedDict
from dataclasses import dataclass
from enum import StrEnum

from accounts.models import APIKey, Limits, Membership
from accounts.selectors import api_key_by_digest
from billing.selectors import Spender
from moderation.selectors import Standing, restrictions_of
from newapi.kernel import addresses, clock
from newapi.kernel.meters import keys
from newapi.kernel.meters.till import Meter, MeterSet
from newapi.kernel.meters.windows import Window

CACHE_MAX = 50_000
UNKNOWN_MAX = 10_000


class Closed(StrEnum):
    """Why a key opens nothing, whatever is asked."""

    KEY = "key"
    MEMBER = "member"
    PROJECT = "project"
    ORGANISATION = "organisation"


@dataclass(frozen=True, slots=True)
class Passport:
    """Ids are primary keys; times are ms since the epoch."""

    api_key_id: int
    organisation_id: int
    project_id: int
    user_id: int
    epoch: int
    closed: Closed | None
    expires_ms: int | None
    currency: str
    price_group: str
    models_allowed: frozenset[str] | None
    addresses_allowed: tuple[addresses.Network, ...]
    meters: MeterSet
    standings: tuple[Standing, ...]


class Passports:
    """A bounded cache, least recently used out first. Digests that no key has are remembered too."""

    def __init__(self) -> None:
        self._known: OrderedDict[bytes, Passport] = OrderedDict()
        self._unknown: OrderedDict[bytes, None] = OrderedDict()

    def cached(self, digest: bytes) -> Passport | None:
        """The passport as last loaded, or None."""
        passport = self._known.get(digest)
        if passport is not None:
            self._known.move_to_end(digest)
        return passport

    def is_unknown(self, digest: bytes) -> bool:
        """Whether the database was asked and has no such key. Keys are random, so none can come to be known."""
        return digest in self._unknown

    def keep(self, digest: bytes, passport: Passport | None) -> None:
        """Remember what the database said."""
        if passport is None:
            self._known.pop(digest, None)
            self._unknown[digest] = None
            if len(self._unknown) > UNKNOWN_MAX:
                self._unknown.popitem(last=False)
            return
        self._known[digest] = passport
        self._known.move_to_end(digest)
        if len(self._known) > CACHE_MAX:
            self._known.popitem(last=False)


def load(digest: bytes) -> Passport | None:
    """Read a passport from the database, or None when no key has the digest. Blocks.

    The epoch comes with the first row read: what changes later makes the passport stale, never wrongly fresh.
    """
    key = api_key_by_digest(digest)
    if key is None:
        return None
    membership = Membership.objects.filter(organisation_id=key.organisation_id, user_id=key.user_id).first()
    return Passport(
        api_key_id=key.pk,
        organisation_id=key.organisation_id,
        project_id=key.project_id,
        user_id=key.user_id,
        epoch=key.organisation.epoch,
        closed=_closed(key, membership),
        expires_ms=None if key.expires_at is None else clock.to_ms(key.expires_at),
        currency=key.organisation.currency,
        price_group=key.organisation.price_group,
        models_allowed=frozenset(key.models_allowed) or None,
        addresses_allowed=addresses.networks(key.addresses_allowed),
        meters=MeterSet.of(_meters(key, membership)),
        standings=restrictions_of(organisation_id=key.organisation_id),
    )


def _closed(key: APIKey, membership: Membership | None) -> Closed | None:
    if key.revoked_at is not None:
        return Closed.KEY
    if membership is None or not membership.is_active or not key.user.is_active:
        return Closed.MEMBER
    if not key.organisation.is_active:
        return Closed.ORGANISATION
    return None if key.project.is_active else Closed.PROJECT


def _meters(key: APIKey, membership: Membership | None) -> tuple[Meter, ...]:
    """The meters of a call, from the narrowest to the widest, so that the refusal names what the caller can change."""
    holders: list[tuple[str, Limits | None]] = [
        (f"key:{key.pk}", key),
        (f"member:{key.user_id}", membership),
        (f"project:{key.project_id}", key.project),
        ("org", key.organisation),
    ]
    return tuple(
        meter for scope, limits in holders if limits for meter in meters_of(key.organisation_id, scope, limits)
    )


def meters_of(organisation_id: int, scope: str, limits: Limits) -> list[Meter]:
    """The meters that a holder's limits ask for; none for a limit that is not set."""
    table = (
        ("requests_per_minute", "c", limits.requests_per_minute, Window.MINUTE),
        ("tokens_per_minute", "t", limits.tokens_per_minute, Window.MINUTE),
        ("tokens_per_day", "t", limits.tokens_per_day, Window.DAY),
        ("in_flight", "f", limits.in_flight_max, Window.NOW),
        (f"budget_{limits.budget_window}", "n", limits.budget_nano, Window(limits.budget_window)),
    )
    return [
        Meter(keys.meter(organisation_id, scope, name), kind, limit, window, scope, name)
        for name, kind, limit, window in table
        if limit is not None
    ]


# Whose spending a budget's scope counts, by the word before the colon.
SPENDERS = {
    "key": Spender.API_KEY,
    "member": Spender.MEMBER,
    "project": Spender.PROJECT,
    "org": Spender.ORGANISATION,
}
