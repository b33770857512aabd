"""What somebody proposes to decide, and what nobody, or not this person, may propose."""

from collections.abc import Sequence
from dataclasses import dataclass

from django.core.exceptions import ValidationError

from accounts.models import User
from moderation.enforcement import Step
from moderation.models import Case, Decision, Demand, EnforcementAction, PolicyCategory
from moderation.services import confidential, ladder
from moderation.services.demands import Asked

_Finding = Decision.Finding
FACTS_MAX = 10_000
ASKS_MAX = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """What somebody proposes to decide. facts are for the organisation, private_reasoning for colleagues."""

    finding: str
    category: PolicyCategory
    facts: str
    further: Sequence[PolicyCategory] = ()
    private_reasoning: str = ""
    steps: Sequence[Step] = ()
    demands: Sequence[Asked] = ()
    deviation_reason: str = ""
    no_notice: str = ""
    no_notice_reason: str = ""
    is_automated: bool = False


def check(case: Case, proposal: Proposal, *, actor: User) -> None:
    """Raises ValidationError or NotPermitted for what nobody, or not this person, may propose."""
    if proposal.finding not in _Finding.values:
        raise ValidationError({"finding": "Say whether it is a violation."})
    if not proposal.facts.strip() or len(proposal.facts) > FACTS_MAX:
        raise ValidationError({"facts": f"Tell the facts, in at most {FACTS_MAX:,} characters."})
    confidential.check(case, proposal.facts, *(asked.text for asked in proposal.demands))
    if proposal.finding == _Finding.NO_VIOLATION:
        if proposal.steps or proposal.demands or proposal.further:
            raise ValidationError("Where nothing was found, nothing follows.")
        return
    for category in (proposal.category, *proposal.further):
        if not category.is_in_force:
            raise ValidationError({"category": f"{category.code} is retired or not in force here."})
    if proposal.category.code in ladder.CATCH_ALL and len(proposal.facts.strip()) < ladder.NARRATIVE_MIN:
        raise ValidationError(
            {"facts": f"{proposal.category.code} names nothing: tell in {ladder.NARRATIVE_MIN} characters or more why."}
        )
    ladder.check(case, proposal.steps, actor=actor, deviation_reason=proposal.deviation_reason)
    if len(proposal.demands) > ASKS_MAX:
        raise ValidationError(f"At most {ASKS_MAX} demands.")
    for asked in proposal.demands:
        asked.check()
    removes = any(step.kind == EnforcementAction.Kind.CONTENT_REMOVAL for step in proposal.steps)
    if removes and not any(asked.kind == Demand.Kind.DELETION for asked in proposal.demands):
        # What was published is in the organisation's hands: the demand, with its due date, is the measure.
        raise ValidationError("Removal of content: ask for the deletion, and say of what, and by when.")
    if proposal.no_notice and not proposal.no_notice_reason.strip():
        raise ValidationError({"no_notice_reason": "Say why there is no notice before it takes effect."})
    if proposal.no_notice and proposal.no_notice not in Decision.NoNotice.values:
        raise ValidationError({"no_notice": "Choose one of the exceptions."})
