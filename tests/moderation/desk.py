"""The moderation desk: who works at it, and how a case gets onto it."""

from datetime import datetime

from django.contrib.auth.models import Group, Permission

from accounts.models import Organisation, User
from moderation.models import Case, CaseEvent, PolicyCategory, SlaClock
from moderation.services import cases
from tests import cast

# As docs/moderate.md tells an admin to set up the groups.
GROUPS = {
    "intake": ("add_case", "view_case", "triage_case"),
    "reviewer": ("view_case", "triage_case", "review_case", "decide_case"),
    "senior": ("view_case", "triage_case", "review_case", "decide_case", "decide_severe_case"),
    "lead": (
        "add_case",
        "view_case",
        "triage_case",
        "review_case",
        "assign_case",
        "decide_case",
        "decide_severe_case",
        "decide_critical_case",
        "downgrade_case",
    ),
    "child safety": ("view_sealed_case", "triage_case", "review_case", "decide_critical_case"),
    "auditor": ("view_case",),
}


def worker(name: str, role: str) -> User:
    """A person of the desk, with the permissions of a role by a group."""
    user = cast.person(name, is_staff=True)
    group, _ = Group.objects.get_or_create(name=role)
    permissions = Permission.objects.filter(content_type__app_label="moderation", codename__in=GROUPS[role])
    group.permissions.set(permissions)
    user.groups.add(group)
    return user


def allowed(user: User, *codenames: str) -> User:
    """The same person, given further permissions of moderation."""
    given = Permission.objects.filter(content_type__app_label="moderation", codename__in=codenames)
    user.user_permissions.add(*given)
    return User.objects.get(pk=user.pk)


def category(code: str) -> PolicyCategory:
    """A seeded category."""
    return PolicyCategory.objects.get(code=code)


def case_of(
    organisation: Organisation,
    code: str = "PA-RATE",
    *,
    actor: User | None = None,
    level: str | None = None,
    received_at: datetime | None = None,
) -> Case:
    """A new case, opened by a job of the platform unless somebody is named. PA-RATE is an L3."""
    return cases.open_case(
        organisation=organisation,
        category=category(code),
        summary="Keys rotated every minute.",
        source=Case.Source.AUTOMATED if actor is None else Case.Source.STAFF,
        actor=actor,
        reason="Seen in the access log",
        level=level,
        received_at=received_at,
    )


def move(case: Case, actor: User | None, *states: str) -> Case:
    """Walk a case through states, by one person who always sees the newest version."""
    for state in states:
        cases.transition(case=case, to=state, expected_version=case.version, actor=actor, reason="Next step")
    return case


def in_review(organisation: Organisation, actor: User, code: str = "PA-RATE", **options: object) -> Case:
    """A case that somebody is reviewing."""
    return move(case_of(organisation, code, **options), actor, Case.State.TRIAGED, Case.State.IN_REVIEW)


def clock_of(case: Case, kind: str) -> SlaClock:
    """One of the two clocks, as it is in the database."""
    return SlaClock.objects.get(case=case, kind=kind)


def told(case: Case, kind: str) -> list[CaseEvent]:
    """The events of a kind, in the order in which they became so."""
    return list(case.events.filter(kind=kind))
