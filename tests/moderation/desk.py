"""The moderation desk: who works at it, and how a case gets onto it."""

from datetime import datetime

from django.contrib.auth.models import Group, Permission

from accounts.models import Organisation, User
from moderation.enforcement import Step
from moderation.models import Case, CaseEvent, Decision, PolicyCategory, Report, SlaClock
from moderation.services import cases, conflicts, decisions, ladder, opening, reports
from moderation.services.proposals import Proposal
from newapi.kernel import clock
from tests import cast

# As docs/moderate.md tells an admin to set up the groups.
REVIEWER = ("view_case", "triage_case", "review_case", "decide_case", "view_decision", "view_demand", "view_report")
SENIOR = (*REVIEWER, "decide_severe_case", "review_appeal", "view_appeal", "view_casenotice")
LEAD = (
    *SENIOR,
    "add_case",
    "assign_case",
    "decide_critical_case",
    "downgrade_case",
    "approve_decision",
    "override_ladder",
    "reopen_case",
    "admit_appeal",
)
GROUPS: dict[str, tuple[str, ...]] = {
    "intake": ("add_case", "view_case", "triage_case", "view_report"),
    "reviewer": REVIEWER,
    "senior": SENIOR,
    "lead": LEAD,
    "child safety": (
        "view_sealed_case",
        "view_decision",
        "view_demand",
        "triage_case",
        "review_case",
        "decide_critical_case",
        "approve_decision",
        "review_appeal",
    ),
    "auditor": ("view_case", "view_decision", "view_demand", "view_report", "verify_chain"),
}
# To find people and organisations in the fields of forms.
PICKERS = ("view_user", "view_organisation")
# What PA-RATE, an L3, asks for at a first act.
WARNING = Step("warning")
SUSPENSION = Step("suspend_organisation", days=7)
FACTS = "Forty keys took turns within one minute, so that no limit held."
# For colleagues only: found nowhere else.
PRIVATE = "private-canary: Rex is unsure."


def worker(name: str, role: str) -> User:
    """A person of the desk, with the permissions of a role by a group."""
    user = cast.person(name, is_staff=True)
    group, _ = Group.objects.get_or_create(name=role)
    group.permissions.set(Permission.objects.filter(codename__in=(*GROUPS[role], *PICKERS)))
    user.groups.add(group)
    return user


def allowed(user: User, *codenames: str) -> User:
    """The same person, given further permissions of moderation."""
    given = Permission.objects.filter(content_type__app_label="moderation", codename__in=codenames)
    user.user_permissions.add(*given)
    return User.objects.get(pk=user.pk)


def grant(user: User, *rights: str) -> User:
    """Give a person further rights by name, such as `moderation.view_evidence`."""
    for right in rights:
        app, _, codename = right.partition(".")
        user.user_permissions.add(Permission.objects.get(content_type__app_label=app, codename=codename))
    for name in ("_perm_cache", "_user_perm_cache"):
        user.__dict__.pop(name, None)
    return user


def category(code: str) -> PolicyCategory:
    """A seeded category."""
    return PolicyCategory.objects.get(code=code)


def case_of(
    organisation: Organisation | None,
    code: str = "PA-RATE",
    *,
    actor: User | None = None,
    level: str | None = None,
    received_at: datetime | None = None,
    user: User | None = None,
) -> Case:
    """A new case, opened by a job of the platform unless somebody is named. PA-RATE is an L3."""
    return opening.open_case(
        organisation=organisation,
        category=category(code),
        summary="Keys rotated every minute.",
        source=Case.Source.AUTOMATED if actor is None else Case.Source.STAFF,
        actor=actor,
        reason="Seen in the access log",
        level=level,
        received_at=received_at,
        user=user,
    )


def move(case: Case, actor: User | None, *states: str) -> Case:
    """Walk a case through states, by one person who always sees the newest version."""
    for state in states:
        cases.transition(case=case, to=state, expected_version=case.version, actor=actor, reason="Next step")
    return case


def in_review(organisation: Organisation, actor: User, code: str = "PA-RATE", **options: object) -> Case:
    """A case that somebody is reviewing."""
    return move(case_of(organisation, code, **options), actor, Case.State.TRIAGED, Case.State.IN_REVIEW)


def proposal_of(case: Case, **changed: object) -> Proposal:
    """What is recommended for a violation of this case."""
    return Proposal(
        **{
            "finding": Decision.Finding.VIOLATION,
            "category": case.category,
            "facts": FACTS,
            "private_reasoning": PRIVATE,
            "steps": tuple(ladder.recommend(case)),
            "deviation_reason": "Judged by hand" if "steps" in changed else "",
            **changed,
        }
    )


def propose(case: Case, actor: User, **changed: object) -> Decision:
    """Propose a decision on a case in review."""
    proposal = proposal_of(case, **changed)
    return decisions.propose(case=case, proposal=proposal, expected_version=case.version, actor=actor)


def decide(case: Case, actor: User, **changed: object) -> Decision:
    """Propose a decision and issue it, by one person who may."""
    return decisions.issue(decision=propose(case, actor, **changed), actor=actor, reason="As proposed")


def acquit(case: Case, actor: User) -> Decision:
    """Find that nothing was wrong, by one person who may."""
    finding = Decision.Finding.NO_VIOLATION
    return decide(case, actor, finding=finding, steps=(), facts="A load test that was announced.")


def decided(
    organisation: Organisation, actor: User, code: str = "PA-RATE", *, user: User | None = None, **changed: object
) -> Decision:
    """An issued decision on a new case. A first L3 is warned unless other steps are named. user: whose act it was."""
    return decide(in_review(organisation, actor, code, user=user), actor, **changed)


def decided_at(moment: datetime, organisation: Organisation, actor: User, **options: object) -> Decision:
    """The same, at a moment."""
    with clock.at(moment):
        return decided(organisation, actor, **options)


def approve(decision: Decision) -> Decision:
    """Agree to a held decision, by a lead who had no part in it."""
    return decisions.approve(decision=decision, actor=worker("alf", "lead"), reason="I agree")


def done(organisation: Organisation, actor: User, code: str = "PA-RATE") -> Case:
    """A case that was decided and closed."""
    case = Case.objects.get(pk=decided(organisation, actor, code).case_id)
    return move(case, actor, Case.State.CLOSED)


def clock_of(case: Case, kind: str) -> SlaClock:
    """One of the two clocks, as it is in the database."""
    return SlaClock.objects.get(case=case, kind=kind)


def told(case: Case, kind: str) -> list[CaseEvent]:
    """The events of a kind, in the order in which they became so."""
    return list(case.events.filter(kind=kind))


def reported(case: Case, *, by: User) -> Report:
    """A report of somebody who was logged in, which was put to a case."""
    report, _ = reports.submit(
        channel=Report.Channel.WEB,
        description="Look at this, it is not right.",
        model_name="gpt-4o",
        category=case.category,
        user=by,
    )
    Report.objects.filter(pk=report.pk).update(case=case)
    report.refresh_from_db()
    return report


def same_person(one: User, other: User) -> None:
    """Say that two logins are of one person."""
    conflicts.declare(user=one, same_person=other, actor=one, reason="My other login")
