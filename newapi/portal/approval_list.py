"""Approvals as the portal shows them: in words, without who decided."""

from collections.abc import Iterable
from dataclasses import dataclass

from accounts.permissions import keys_visible_to
from moderation.models import Approval
from moderation.services import approval_rules
from newapi.portal.seats import Seat

_TONES = {"Requested": "warn", "In force": "good", "To come": "", "Ended": "", "Refused": "bad", "Revoked": "bad"}


@dataclass(frozen=True, slots=True)
class ApprovalRow:
    """An application with everything its row needs. `tone` colours the state: good, warn, bad or nothing."""

    approval: Approval
    what: str
    state: str
    tone: str
    holds_for: str

    @property
    def is_over(self) -> bool:
        """Whether it allows nothing any more."""
        return self.state in ("Ended", "Refused", "Revoked")


def rows(seat: Seat, found: Iterable[Approval]) -> list[ApprovalRow]:
    """Rows in their order. A key is named to those who may see it."""
    found = list(found)
    bound = {approval.api_key_id for approval in found if approval.api_key_id}
    visible = (
        set(keys_visible_to(seat.membership).filter(pk__in=bound).values_list("pk", flat=True)) if bound else set()
    )
    return [_row(approval, visible) for approval in found]


def label_state(seat: Seat) -> list[ApprovalRow]:
    """The label opt-outs in force; none means that every answer carries the label."""
    granted = Approval.objects.filter(
        organisation=seat.organisation, kind=Approval.Kind.LABEL_OPT_OUT, state=Approval.State.APPROVED
    ).select_related("api_key")
    return [row for row in rows(seat, granted) if row.state == "In force"]


def _row(approval: Approval, visible: set[int]) -> ApprovalRow:
    state = approval_rules.standing(approval)
    holds_for = "Every key"
    if approval.api_key is not None:
        holds_for = approval.api_key.name if approval.api_key.pk in visible else "A key of another member"
    return ApprovalRow(approval, approval_rules.what(approval), state, _TONES[state], holds_for)
