"""What moderation has restricted, as the people concerned are told: the policy, the case, until when.

Nothing about who reported or who decided.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import QuerySet

from accounts.models import APIKey, Project, User
from accounts.permissions import Right, keys_visible_to
from moderation.selectors import Standing, effect_on_calls, restrictions_of
from newapi.kernel import clock
from newapi.portal.seats import Seat


@dataclass(frozen=True, slots=True)
class RestrictionNotice:
    """One restriction in force. `stops_all`: no call gets through. `until` is None when it holds until lifted.

    `effect`: what becomes of calls, such as `refused`.
    """

    subject: str
    effect: str
    stops_all: bool
    policy_code: str
    case_reference: str
    until: datetime | None


def notices_for(seat: Seat) -> list[RestrictionNotice]:
    """The restrictions in force that a person is told of, with at most one query for each kind of target.

    Those on single members and keys are told to the people concerned and to those who see all keys.
    """
    now_ms = clock.now_ms()
    standings = [one for one in restrictions_of(organisation_id=seat.organisation.pk) if one.holds_at(now_ms)]
    subjects = _subjects(seat, standings)
    return [
        RestrictionNotice(
            subject=subjects[one.scope, one.target],
            effect=effect_on_calls(one.rate_per_minute),
            stops_all=one.scope == "organisation" and one.rate_per_minute is None,
            policy_code=one.policy_code,
            case_reference=one.case_reference,
            until=None if one.ends_ms is None else clock.from_ms(one.ends_ms),
        )
        for one in standings
        if (one.scope, one.target) in subjects
    ]


def _subjects(seat: Seat, standings: Iterable[Standing]) -> dict[tuple[str, str], str]:
    """(scope, target) → how the restricted thing is called, for the targets that the person may hear of."""
    targets: dict[str, set[str]] = {}
    for standing in standings:
        targets.setdefault(standing.scope, set()).add(standing.target)
    own = seat.organisation
    members = User.objects.filter(memberships__organisation=own)
    if not seat.may(Right.SEE_ALL_KEYS):
        members = members.filter(pk=seat.user.pk)
    projects: dict[str, Project] = _found(Project.objects.filter(organisation=own), targets.get("project", ()))
    people: dict[str, User] = _found(members, targets.get("member", ()))
    keys: dict[str, APIKey] = _found(keys_visible_to(seat.membership), targets.get("api_key", ()))
    return {
        ("organisation", ""): f"Every call of {own.name}",
        **{("project", pk): f"The project “{project.name}”" for pk, project in projects.items()},
        **{("member", pk): f"Every key of {person.get_full_name()}" for pk, person in people.items()},
        **{("api_key", pk): f"The API key “{key.name}” ({key.hint})" for pk, key in keys.items()},
        **{("model", name): f"The model {name}" for name in targets.get("model", ())},
        **{("feature", name): f"The feature “{name}”" for name in targets.get("feature", ())},
    }


def _found(queryset: QuerySet[Any], targets: Iterable[str]) -> dict[str, Any]:
    ids = [int(target) for target in targets if target.isdecimal()]
    return {str(row.pk): row for row in queryset.filter(pk__in=ids)} if ids else {}
