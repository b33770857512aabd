"""The passport: everything about a key that a call needs, frozen, cached by the key's digest.

It carries its organisation's epoch. ADMIT refuses an old one, so the cache never outlives a change.
"""

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from accounts.models import APIKey, Membership
from accounts.selectors import api_key_by_digest
from billing.funds import open_purses
from channels.access import Reach
from moderation.selectors import Granted, Standing, approvals_of, restrictions_of
from newapi.gateway import limits
from newapi.gateway.limits import Rules
from newapi.kernel import addresses, clock

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
    # Where the organisation says it is, or empty.
    country: str
    # The restricted domain of the project, a policy code, or empty.
    domain: str
    is_test: bool
    # Where the caller is and what the call is for is added at each call, for the channels that ask.
    reach: Reach
    models_allowed: frozenset[str] | None
    addresses_allowed: tuple[addresses.Network, ...]
    rules: Rules
    # By model id, for the models that the organisation has limits for.
    rules_by_model: Mapping[int, Rules]
    # Restrictions that refuse, and those that only slow down.
    standings: tuple[Standing, ...]
    slowings: tuple[Standing, ...]
    approvals: tuple[Granted, ...]
    has_label_opt_out: bool
    # Money of the organisation that only calls of this key's project, or only calls to a model, may spend: the purse
    # for any model, and by model id those for one. None: none.
    purse: int | None
    purse_by_model: Mapping[int, int]

    def purse_for(self, model_id: int) -> int | None:
        """The purse that a call to a model spends first: the narrowest one that has something left."""
        return self.purse_by_model.get(model_id, self.purse) if self.purse_by_model else self.purse

    def rules_for(self, model_id: int) -> Rules:
        """The limits of a call to a model."""
        return self.rules_by_model.get(model_id, self.rules) if self.rules_by_model else self.rules

    def slowings_at(self, now_ms: int) -> list[Standing]:
        """The restrictions that slow this key down at a moment."""
        return [standing for standing in self.slowings if standing.holds_at(now_ms) and self.holds_for(standing)]

    def is_label_waived(self, now_ms: int) -> bool:
        """Whether answers go without the explicit mark of generated content, by an approval in force (GW-24)."""
        return self.has_label_opt_out and any(
            granted.kind == "label_opt_out" and granted.holds_at(now_ms) for granted in self.approvals
        )

    def holds_for(self, standing: Standing) -> bool:
        """Whether a restriction is aimed at this key, by itself or by what it belongs to."""
        match standing.scope:
            case "organisation":
                return True
            case "project":
                return standing.target == str(self.project_id)
            case "member":
                return standing.target == str(self.user_id)
            case "api_key":
                return standing.target == str(self.api_key_id)
        return False


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
    organisation, project = key.organisation, key.project
    membership = Membership.objects.filter(organisation_id=key.organisation_id, user_id=key.user_id).first()
    standings = restrictions_of(organisation_id=key.organisation_id)
    approvals = tuple(
        granted for granted in approvals_of(organisation_id=key.organisation_id) if granted.api_key_id in (None, key.pk)
    )
    rules, rules_by_model = limits.load(key, membership)
    purse, purse_by_model = _purses(key)
    return Passport(
        api_key_id=key.pk,
        organisation_id=key.organisation_id,
        project_id=key.project_id,
        user_id=key.user_id,
        epoch=key.organisation.epoch,
        closed=_closed(key, membership),
        expires_ms=None if key.expires_at is None else clock.to_ms(key.expires_at),
        currency=organisation.currency,
        price_group=organisation.price_group,
        country=organisation.country,
        domain=project.restricted_domain,
        is_test=key.is_test,
        reach=Reach(
            organisation_id=key.organisation_id,
            price_group=organisation.price_group,
            is_external=organisation.is_external,
            is_test=key.is_test,
            serves_minors=project.serves_minors,
            categories=frozenset(filter(None, [project.restricted_domain])),
            countries=frozenset(filter(None, [organisation.country])),
        ),
        models_allowed=frozenset(key.models_allowed) or None,
        addresses_allowed=addresses.networks(key.addresses_allowed),
        rules=rules,
        rules_by_model=rules_by_model,
        standings=tuple(standing for standing in standings if standing.rate_per_minute is None),
        slowings=tuple(standing for standing in standings if standing.rate_per_minute is not None),
        approvals=approvals,
        has_label_opt_out=any(granted.kind == "label_opt_out" for granted in approvals),
        purse=purse,
        purse_by_model=purse_by_model,
    )


def _purses(key: APIKey) -> tuple[int | None, dict[int, int]]:
    """The purse for calls to any model, and those for one model. Test calls cost nothing and spend none."""
    if key.is_test:
        return None, {}
    own = [
        purse
        for purse in open_purses(organisation_id=key.organisation_id)
        if purse.project_id in (None, key.project_id)
    ]
    for_any = next((purse.id for purse in own if purse.model_id is None), None)
    by_model: dict[int, int] = {}
    # A purse of project and model is narrower than one of the project, and that one than one of the model.
    for purse in sorted(own, key=lambda purse: purse.project_id is None):
        if purse.model_id is not None and (purse.project_id is not None or for_any is None):
            by_model.setdefault(purse.model_id, purse.id)
    return for_any, by_model


def _closed(key: APIKey, membership: Membership | None) -> Closed | None:
    if key.revoked_at is not None:
        return Closed.KEY
    if membership is None or not membership.is_active or not key.user.is_active:
        return Closed.MEMBER
    if not key.organisation.is_active:
        return Closed.ORGANISATION
    return None if key.project.is_active else Closed.PROJECT
