"""Decisions as notices and appeals begin with: made by the services, by people who had a part."""

from datetime import datetime

from accounts.models import Organisation, User
from moderation.enforcement import Step
from moderation.models import Case, Decision
from moderation.services import decisions
from moderation.services.decisions import Proposal
from newapi.kernel import clock
from tests.moderation import desk

FACTS = "Bulk mail was written with the key “Mailer” on 3 March."
PRIVATE = "private-canary: Rex is unsure."


def decide(
    organisation: Organisation,
    actor: User,
    *,
    code: str = "PA-RATE",
    steps: tuple[Step, ...] = (Step("warning"),),
    facts: str = FACTS,
    user: User | None = None,
    **more: object,
) -> Decision:
    """An issued decision that finds a violation, proposed and decided by one person."""
    case = desk.in_review(organisation, actor, code)
    if user is not None:
        Case.objects.filter(pk=case.pk).update(user=user)
        case.refresh_from_db()
    proposal = Proposal(
        finding=Decision.Finding.VIOLATION,
        category=desk.category(code),
        facts=facts,
        private_reasoning=PRIVATE,
        steps=steps,
        deviation_reason="As the desk agreed",
        **more,
    )
    decision = decisions.propose(case=case, proposal=proposal, expected_version=case.version, actor=actor)
    return decisions.issue(decision=decision, actor=actor, reason="Clear enough")


def decided_at(moment: datetime, organisation: Organisation, actor: User, **options: object) -> Decision:
    """The same, at a moment."""
    with clock.at(moment):
        return decide(organisation, actor, **options)
