"""Reads of the moderation app that others build on."""

import functools
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from django.apps import apps
from django.db.models import ForeignKey, Model, Q, QuerySet

from accounts.models import User
from moderation import permissions
from moderation.models import Approval, BlockEntry, Case, PolicyCategory, Restriction
from moderation.models.policy import Level
from newapi.kernel import clock

log = logging.getLogger(__name__)

# How many blocklist entries every worker holds in memory and tries at each call.
BLOCKS_MAX = 10_000
# How many foreign keys lie between a row and its case, at most.
_STEPS_MAX = 3


@dataclass(frozen=True, slots=True)
class Standing:
    """A restriction as the gateway obeys it. The clock judges it at each call, so it ends with no job running.

    scope: organisation, project, member, api_key, model or feature. target: the id, model name or feature;
    empty for the organisation itself. rate_per_minute: None refuses every call, a number only slows them.
    cuts: it is of level L1, so that streams already running are ended too.
    """

    id: int
    scope: str
    target: str
    starts_ms: int
    ends_ms: int | None
    policy_code: str
    case_reference: str
    rate_per_minute: int | None
    cuts: bool

    def holds_at(self, now_ms: int) -> bool:
        """Whether it is in force at a moment."""
        return self.starts_ms <= now_ms and (self.ends_ms is None or now_ms < self.ends_ms)


def effect_on_calls(rate_per_minute: int | None) -> str:
    """What a restriction does to calls, in words that follow `is`."""
    if rate_per_minute is None:
        return "refused"
    return f"slowed to {rate_per_minute:,} call{'' if rate_per_minute == 1 else 's'}/min"


def restrictions_of(*, organisation_id: int) -> tuple[Standing, ...]:
    """An organisation's restrictions that are in force or still to come."""
    rows = (
        Restriction.objects.filter(organisation_id=organisation_id, lifted_at=None)
        .filter(Q(ends_at=None) | Q(ends_at__gt=clock.now()))
        .select_related("case", "category")
        .order_by("starts_at")
    )
    return tuple(
        Standing(
            id=row.pk,
            scope=row.scope,
            target=row.target,
            starts_ms=clock.to_ms(row.starts_at),
            ends_ms=_ms(row.ends_at),
            policy_code=row.category.code if row.category else "",
            case_reference=row.case.reference if row.case else "",
            rate_per_minute=row.rate_per_minute,
            cuts=_cuts(row),
        )
        for row in rows
    )


def _cuts(restriction: Restriction) -> bool:
    """Whether it ends streams: its category is an L1, or the case that it is for was raised to one."""
    levels = [cited.level for cited in (restriction.category, restriction.case) if cited is not None]
    return restriction.rate_per_minute is None and Level.L1 in levels


@dataclass(frozen=True, slots=True)
class Granted:
    """An approval as the gateway obeys it. The clock judges it at each call, so it ends with no job running.

    kind: use_case or label_opt_out. category: a policy code; empty for a label opt-out. api_key_id: None means
    every key of the organisation. models: names; empty means every model.
    """

    kind: str
    category: str
    api_key_id: int | None
    models: frozenset[str]
    has_human_review: bool
    starts_ms: int
    ends_ms: int | None

    def holds_at(self, now_ms: int) -> bool:
        """Whether it is in force at a moment."""
        return self.starts_ms <= now_ms and (self.ends_ms is None or now_ms < self.ends_ms)


def approvals_of(*, organisation_id: int) -> tuple[Granted, ...]:
    """An organisation's approvals that are in force or still to come.

    Never one of a prohibited category, nor one that a source document which binds forbids outright.
    """
    rows = (
        Approval.objects.filter(organisation_id=organisation_id, state=Approval.State.APPROVED)
        .filter(Q(ends_at=None) | Q(ends_at__gt=clock.now()), starts_at__isnull=False)
        .exclude(category__policy_class=PolicyCategory.PolicyClass.PROHIBITED)
        .exclude(category__forbidden_by__binds=True)
        .select_related("category")
        .order_by("pk")
    )
    return tuple(
        Granted(
            kind=row.kind,
            category=row.category.code if row.category else "",
            api_key_id=row.api_key_id,
            models=frozenset(row.models_allowed),
            has_human_review=row.has_human_review,
            starts_ms=clock.to_ms(row.starts_at),
            ends_ms=_ms(row.ends_at),
        )
        for row in rows
        if row.starts_at is not None
    )


@dataclass(frozen=True, slots=True)
class Block:
    """A blocklist entry as the gateway obeys it. The clock judges it at each call.

    value: canonical for its kind, see moderation.services.blocks. organisation_id: None means calls of anyone.
    """

    id: int
    kind: str
    value: str
    organisation_id: int | None
    purpose: str
    ends_ms: int | None

    def holds_at(self, now_ms: int) -> bool:
        """Whether it is in force at a moment."""
        return self.ends_ms is None or now_ms < self.ends_ms


def blocks_in_force() -> tuple[Block, ...]:
    """The entries neither withdrawn nor expired, oldest first, at most BLOCKS_MAX; what is beyond is an error."""
    rows = list(
        BlockEntry.objects.filter(Q(expires_at=None) | Q(expires_at__gt=clock.now()), withdrawn_at=None)
        .order_by("pk")
        .only("kind", "value", "organisation_id", "purpose", "expires_at")[: BLOCKS_MAX + 1]
    )
    if len(rows) > BLOCKS_MAX:
        log.error("more than %d blocklist entries in force; the newest are not obeyed", BLOCKS_MAX)
    return tuple(
        Block(
            id=row.pk,
            kind=row.kind,
            value=row.value,
            organisation_id=row.organisation_id,
            purpose=row.purpose,
            ends_ms=_ms(row.expires_at),
        )
        for row in rows[:BLOCKS_MAX]
    )


def cases_visible_to(user: User) -> QuerySet[Case]:
    """The cases that a person may see. Sealed ones need a grant of their own, of a superuser too."""
    return Case.objects.filter(visible_to(user))


def visible_to(user: User, *, case: str = "") -> Q:
    """The same as a condition; `case` leads from the rows asked for to the case, such as `case__`."""
    sealed = Q(**{f"{case}category__is_sealed": True})
    seen = Q(pk__in=[])
    if permissions.may(user, permissions.VIEW):
        seen |= ~sealed
    if permissions.is_granted(user, permissions.VIEW_SEALED):
        seen |= sealed
    return seen


def without_sealed(rows: QuerySet, user: User, *, case: str = "") -> QuerySet:
    """Rows without those of sealed cases, unless the person was granted to see these; other rights are the page's."""
    if permissions.is_granted(user, permissions.VIEW_SEALED):
        return rows
    return rows.exclude(**{f"{case}category__is_sealed": True})


def path_to_case(model: type[Model]) -> str | None:
    """How rows of a model lead to their case, such as `evidence__case`; "" for cases, None for what leads to none."""
    return _path_to_case(model._meta.label)


@functools.cache
def _path_to_case(label: str) -> str | None:
    model = apps.get_model(label)
    if model is Case:
        return ""
    return next((path for path, found in _paths(model) if found is Case), None)


def never_sealed(rows: QuerySet) -> QuerySet:
    """Rows of any model without those that belong to a sealed case, whoever asks: for searches and downloads."""
    path = path_to_case(rows.model)
    if path is None:
        return rows
    return rows.exclude(**{f"{path}__category__is_sealed" if path else "category__is_sealed": True})


def _paths(model: type[Model]) -> Iterator[tuple[str, type[Model]]]:
    """The foreign keys that can be followed within this app, the nearest first."""
    near = [("", model)]
    for _ in range(_STEPS_MAX):
        further = []
        for path, at in near:
            for field in at._meta.concrete_fields:
                if isinstance(field, ForeignKey) and field.related_model._meta.app_label == "moderation":
                    further.append((f"{path}__{field.name}".lstrip("_"), field.related_model))
        yield from further
        near = further


def _ms(moment: datetime | None) -> int | None:
    return None if moment is None else clock.to_ms(moment)
