"""The limits that a call is held to: meters that ADMIT charges, and caps that the call meets by itself."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from accounts.meters import ORGANISATION, key_scope, member_scope, meters_of, model_scope, project_scope
from accounts.models import APIKey, Limits, Membership
from billing.selectors import Spender
from channels.models import ModelLimit
from moderation.selectors import Standing
from newapi.kernel.meters import keys
from newapi.kernel.meters.till import Meter, MeterSet
from newapi.kernel.meters.windows import Window


@dataclass(frozen=True, slots=True)
class Cap:
    """A limit that one call meets by itself. name: the field of accounts.models.Limits. scope: as a meter's."""

    name: str
    most: int
    scope: str


@dataclass(frozen=True, slots=True)
class Caps:
    """The tightest of what the key, its member, project and organisation allow; None where nobody says anything."""

    body_bytes: Cap | None = None
    output_tokens: Cap | None = None
    stream_seconds: Cap | None = None

    @classmethod
    def of(cls, holders: Sequence[tuple[str, Limits]]) -> "Caps":
        """The tightest of what the holders allow, from the narrowest to the widest."""

        def tightest(name: str) -> Cap | None:
            caps = [Cap(name, getattr(limits, name), scope) for scope, limits in holders]
            return min((cap for cap in caps if cap.most is not None), key=lambda cap: cap.most, default=None)

        return cls(tightest("body_bytes_max"), tightest("output_tokens_max"), tightest("stream_seconds_max"))


@dataclass(frozen=True, slots=True)
class Rules:
    """What a call is held to."""

    meters: MeterSet
    caps: Caps


def load(key: APIKey, membership: Membership | None) -> tuple[Rules, dict[int, Rules]]:
    """What holds for every call of a key, and by model id what holds for calls of single models. Blocks.

    Holders go from the narrowest to the widest, so that a refusal names what the caller can change.
    """
    holders: list[tuple[str, Limits]] = [(key_scope(key.pk), key)]
    if membership is not None:
        holders.append((member_scope(key.user_id), membership))
    holders += [(project_scope(key.project_id), key.project), (ORGANISATION, key.organisation)]
    by_model = {
        limit.model_id: _rules_of(key.organisation_id, [*holders, (model_scope(limit.model_id), limit)])
        for limit in ModelLimit.objects.filter(organisation_id=key.organisation_id)
    }
    return _rules_of(key.organisation_id, holders), by_model


def _rules_of(organisation_id: int, holders: list[tuple[str, Limits]]) -> Rules:
    meters = [meter for scope, limits in holders for meter in meters_of(organisation_id, scope, limits)]
    return Rules(MeterSet.of(meters), Caps.of(holders))


def with_slowings(meters: MeterSet, *, organisation_id: int, slowings: Iterable[Standing]) -> MeterSet:
    """The meters of a call, with those of the restrictions that slow its caller down."""
    slowed = [
        Meter(
            keys.meter(organisation_id, f"slow:{standing.id}", "requests_per_minute"),
            "c",
            standing.rate_per_minute or 0,
            Window.MINUTE,
            f"slow:{standing.id}",
            "requests_per_minute",
        )
        for standing in slowings
    ]
    return MeterSet.of([*slowed, *meters.meters]) if slowed else meters


# Whose spending a budget's scope counts, by the word before the colon.
SPENDERS = {
    "key": Spender.API_KEY,
    "member": Spender.MEMBER,
    "project": Spender.PROJECT,
    "org": Spender.ORGANISATION,
    "model": Spender.MODEL,
}
