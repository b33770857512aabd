"""Who may decide an appeal: somebody who had no part in the case, under no login (MOD-28)."""

from django.db.models import Q

from accounts.models import User
from moderation import permissions
from moderation.models import Appeal, Case, CaseEvent, Decision
from moderation.services import conflicts

# A desk has dozens of people, not thousands; more are not looked at.
REVIEWERS_MAX = 500
# Of longer chains of decisions there are none: each needs an appeal.
CHAIN_MAX = 50
# Handling an appeal, and looking at what lies before one, is no part in the case.
_NO_PART = (CaseEvent.Kind.APPEAL, CaseEvent.Kind.ACCESS)


def may_review(user: User, case: Case) -> bool:
    """Whether a person may decide appeals of such a case at all: of a sealed one, the child-safety team only."""
    return user.is_active and permissions.may(user, permissions.REVIEW_APPEAL) and permissions.may_see(user, case)


def parties(appeal: Appeal, *, before: int | None = None) -> frozenset[int]:
    """The ids of all logins of everybody who had a part: in the case, in those merged into it, in its decisions.

    before: the number of an event of the case; what came with it or after it is left out.
    """
    case = appeal.decision.case
    own = Q(case=case) if before is None else Q(case=case, number__lt=before)
    acts = CaseEvent.objects.filter(own | Q(case__merged_into=case)).exclude(kind__in=_NO_PART)
    people = list(User.objects.filter(pk__in=acts.filter(actor__isnull=False).values("actor")))
    people += [case.assignee] if case.assignee else []
    for decision in chain(appeal.decision):
        people += [one for one in (decision.proposed_by, decision.decided_by, decision.approved_by) if one is not None]
    return conflicts.persons(people)


def chain(decision: Decision) -> list[Decision]:
    """A decision and those that it replaced, one after the other."""
    found: list[Decision] = []
    current: Decision | None = decision
    while current is not None and len(found) < CHAIN_MAX:
        found.append(current)
        current = current.overrides
    return found


def took_part(user: User, appeal: Appeal) -> bool:
    """Whether a person had a part, under any of their logins. What its reviewer did as such is none."""
    before = None
    if appeal.reviewer_id == user.pk:
        given = appeal.decision.case.events.filter(kind=CaseEvent.Kind.APPEAL, after__startswith=assigned_words(appeal))
        before = given.order_by("-number").values_list("number", flat=True).first()
    return bool(conflicts.logins_of(user) & parties(appeal, before=before))


def assigned_words(appeal: Appeal) -> str:
    """How the event begins that says that an appeal was given to somebody."""
    return f"{appeal.reference}: assigned"


def eligible(appeal: Appeal) -> list[User]:
    """Those to whom the permission was given, who are there, and had no part. Superusers do not count as such:
    they hold every permission, and are there to run the platform."""
    case = appeal.decision.case
    codename = permissions.REVIEW_APPEAL.partition(".")[2]
    given = Q(user_permissions__codename=codename) | Q(groups__permissions__codename=codename)
    people = User.objects.filter(given, is_active=True, is_staff=True).distinct().order_by("pk")[:REVIEWERS_MAX]
    excluded = parties(appeal)
    return [
        person
        for person in people
        if person.pk not in excluded
        and permissions.may_see(person, case)
        and not conflicts.why_not(case=case, user=person)
    ]
