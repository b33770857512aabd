"""Reads of the moderation app that others build on."""

from dataclasses import dataclass

from django.db.models import Q, QuerySet

from accounts.models import User
from moderation import permissions
from moderation.models import Case, Restriction
from newapi.kernel import clock


@dataclass(frozen=True, slots=True)
class Standing:
    """A restriction as the gateway obeys it. The clock judges it at each call, so it ends with no job running.

    scope: organisation, project, member, api_key, model or feature. target: the id, model name or feature;
    empty for the organisation itself.
    """

    scope: str
    target: str
    starts_ms: int
    ends_ms: int | None
    policy_code: str
    case_reference: str

    def holds_at(self, now_ms: int) -> bool:
        """Whether it is in force at a moment."""
        return self.starts_ms <= now_ms and (self.ends_ms is None or now_ms < self.ends_ms)


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
            scope=row.scope,
            target=row.target,
            starts_ms=clock.to_ms(row.starts_at),
            ends_ms=None if row.ends_at is None else clock.to_ms(row.ends_at),
            policy_code=row.category.code if row.category else "",
            case_reference=row.case.reference if row.case else "",
        )
        for row in rows
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
