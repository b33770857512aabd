"""The ladder: what severity and history recommend, what may be left of it by whom, and what waits for a second person.

A recommendation, never an automatism: whoever leaves it says why (MOD-25).
"""

from collections.abc import Sequence

from django.core.exceptions import ValidationError

from accounts.models import User
from moderation import permissions
from moderation.enforcement import MEASURES, Step, measure_of
from moderation.models import CareEntry, Case, Decision, EnforcementAction, PolicyCategory
from moderation.models.policy import Level
from moderation.services import acts, strikes

_Kind = EnforcementAction.Kind
STEPS_MAX = 10
# Categories that name nothing in particular: what was wrong must be told at length, and a lead agrees (MOD-36).
CATCH_ALL = frozenset({"PA-OTHER"})
NARRATIVE_MIN = 100


def recommend(case: Case) -> list[Step]:
    """The measures for a violation of the case's level by somebody with this history (MOD-15 to MOD-18)."""
    if case.organisation_id is None:
        return []
    user = case.user
    suspends = _Kind.SUSPEND_MEMBER if user else _Kind.SUSPEND_ORGANISATION
    target = str(user.pk) if user else ""
    had = strikes.points(strikes.record_of(case))
    level = Level(case.level)
    if level is Level.L1:
        return [Step(_Kind.TERMINATION), Step(_Kind.AUTHORITY_REPORT)]
    if level is Level.L2:
        longer = had + strikes.WEIGHTS[Level.L2].points >= strikes.SUSPEND_LONG
        days = strikes.SUSPENSION_DAYS[strikes.SUSPEND_LONG if longer else strikes.SUSPEND_SHORT]
        return [Step(suspends, target=target, days=days)]
    if strikes.is_first(case):
        return [Step(_Kind.WARNING if level is Level.L3 else _Kind.EDUCATION)]
    if level is Level.L4:
        return [Step(_Kind.WARNING)]
    cut = Step(_Kind.RATE, target=target, rate_per_minute=strikes.CUT_TO_PER_MINUTE, days=strikes.CUT_DAYS)
    return [Step(_Kind.WARNING), cut]


def deviates(case: Case, steps: Sequence[Step]) -> bool:
    """Whether other kinds are taken than recommended. How long and how much is the reviewer's to judge."""
    return {step.kind for step in steps} != {step.kind for step in recommend(case)}


def check(case: Case, steps: Sequence[Step], *, actor: User, deviation_reason: str) -> None:
    """Raises ValidationError for steps that do not fit, NotPermitted for those that only a lead may take."""
    if not 1 <= len(steps) <= STEPS_MAX:
        raise ValidationError(f"A violation has a consequence: choose between one and {STEPS_MAX} measures.")
    if len({(step.kind, step.target) for step in steps}) != len(steps):
        raise ValidationError("The same measure is taken twice.")
    is_first = strikes.is_first(case)
    for step in steps:
        if step.kind not in MEASURES:
            raise ValidationError("Choose measures of the ladder.")
        measure = measure_of(step.kind)
        measure.check(step, case.organisation)
        mildest = measure.mildest_at_first if is_first else measure.mildest
        # At a later act a minor violation may end in what its own level allows.
        if Level(mildest).is_worse_than(case.level) and not permissions.may(actor, permissions.OVERRIDE_LADDER):
            when = "at a first act " if is_first else ""
            raise acts.refused(
                case,
                actor,
                f"{measure.kind.label}: {when}only from {mildest} on. "
                f"To do it nevertheless needs the permission {permissions.OVERRIDE_LADDER}.",
            )
    if deviates(case, steps) and not deviation_reason.strip():
        raise ValidationError({"deviation_reason": "This is not what is recommended: say why."})


def holds(case: Case, *, finding: str, category: PolicyCategory, steps: Sequence[Step]) -> list[str]:
    """Why a second person must agree; empty when nobody need."""
    found = []
    if any(measure_of(step.kind).is_held for step in steps):
        found.append(Decision.Hold.TERMINATION)
    if CareEntry.objects.filter(organisation=case.organisation_id).exists():
        found.append(Decision.Hold.CARE)
    severe = (Level.L1, Level.L2)
    found_none = finding == Decision.Finding.NO_VIOLATION and case.level in severe
    lowered = category.level in severe and Level(category.level).is_worse_than(case.level)
    if found_none or lowered:
        found.append(Decision.Hold.DOWNGRADE)
    if category.code in CATCH_ALL and finding == Decision.Finding.VIOLATION:
        found.append(Decision.Hold.CATCH_ALL)
    return [str(hold) for hold in found]


def needs_prior_notice(steps: Sequence[EnforcementAction]) -> bool:
    """Whether the organisation must hear of any of them before it begins."""
    return any(measure_of(step.kind).needs_prior_notice for step in steps)
