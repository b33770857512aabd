"""How an appeal is changed and told of: what all acts on one have in common."""

from typing import Any

from accounts.models import Membership, User
from accounts.services import audit
from moderation.errors import IllegalMove, VersionConflict
from moderation.models import Appeal, Case, CaseEvent, SlaClock
from moderation.services import acts, notices, sla, stays


def take_up(appeal: Appeal) -> None:
    """Start its clocks and say that it came in."""
    sla.start(case=appeal.decision.case, appeal=appeal)
    notices.of_appeal_received(appeal)


def finish(appeal: Appeal, actor: User | None, reason: str) -> None:
    """The clocks, the event, the audit row and the notice of an appeal that is done."""
    case = Case.objects.select_related("category", "organisation").get(pk=appeal.decision.case_id)
    appeal.decision.case = case
    for kind in (SlaClock.Kind.RESPONSE, SlaClock.Kind.RESOLUTION):
        sla.stop(case=case, kind=kind, appeal=appeal)
    tell(appeal, actor, appeal.state, appeal.get_state_display().lower(), reason)
    notices.of_appeal_outcome(appeal)


def end_stay(appeal: Appeal, actor: User | None, reason: str) -> bool:
    """Let what stood still go on. False when nothing did."""
    if not Appeal.objects.filter(pk=appeal.pk, is_stayed=True).update(is_stayed=False):
        return False
    appeal.is_stayed = False
    stays.unstay(decision=appeal.decision, actor=actor, reason=reason)
    return True


def change(appeal: Appeal, before: tuple[str, ...], **values: Any) -> None:
    """Change an appeal if it is still as seen, and the instance with it. Raises IllegalMove, VersionConflict."""
    if appeal.state not in before:
        raise IllegalMove(f"An appeal that is {appeal.get_state_display().lower()} does not allow this.")
    values["version"] = appeal.version + 1
    same = Appeal.objects.filter(pk=appeal.pk, version=appeal.version, state=appeal.state)
    if not same.update(**values):
        raise VersionConflict("Someone was a moment faster. Look at the appeal again.")
    for name, value in values.items():
        setattr(appeal, name, value)


def tell(appeal: Appeal, actor: User | None, act: str, what: str, reason: str, *, address: str | None = None) -> None:
    """The event, which says what was done, and the audit row, which names the act.

    What members do is no act of the desk: the event is nobody's then, and `reason` is never in their words.
    """
    case = appeal.decision.case
    is_ours = (
        actor is not None and not Membership.objects.filter(organisation=case.organisation_id, user=actor).exists()
    )
    acts.record(
        case=case,
        kind=CaseEvent.Kind.APPEAL,
        actor=actor if is_ours else None,
        after=f"{appeal.reference}: {what}",
        reason=reason,
    )
    shown = acts.told_outside(case, reason)
    audit.record(
        actor=actor,
        action=f"appeal.{act}",
        target=appeal,
        reason=shown,
        organisation=case.organisation,
        changes={"state": [None, appeal.state]},
        address=address,
    )
