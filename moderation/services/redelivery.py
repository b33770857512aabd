"""What people do about the delivery of a notice: say that it came back, and send it again."""

from django.db import transaction

from accounts.models import User
from moderation import permissions
from moderation.errors import IllegalMove
from moderation.models import CaseEvent, CaseNotice, Delivery
from moderation.services import acts, delivery_rows, events, notices
from newapi.kernel import clock, nudges

_State = Delivery.State
_HANDLERS = (permissions.TRIAGE, permissions.REVIEW, permissions.ADMIT_APPEAL)


@transaction.atomic
def bounced(*, delivery: Delivery, actor: User, reason: str = "The mail came back.") -> Delivery:
    """Note that what a channel had taken came back. When nothing else has taken the notice, the next channel is tried,
    and the window of an appeal begins with that one. Raises NotPermitted, IllegalMove, ValidationError.
    """
    acts.require_reason(reason)
    notice = CaseNotice.objects.select_related("case__category", "organisation").get(pk=delivery.notice_id)
    acts.require(case=notice.case, actor=actor, anyone_with=_HANDLERS, to="say that a notice came back")
    values = {"state": _State.BOUNCED, "error": "came back"}
    if not Delivery.objects.filter(pk=delivery.pk, state=_State.SENT).update(**values):
        raise IllegalMove("Only what was sent comes back.")
    delivery.state, delivery.error = _State.BOUNCED, "came back"
    delivery_rows.settle(notice)
    delivery_rows.tell(notice, delivery, "came back", actor=actor, reason=reason)
    acts.audit_case(case=notice.case, actor=actor, action="case_notice.bounce", reason=reason)
    nudges.after_commit(notices.DELIVER)
    return delivery


@transaction.atomic
def resend(*, notice: CaseNotice, actor: User, reason: str) -> int:
    """Try the channels again that have failed, and what was left to a person. Returns how many channels that are.

    Raises NotPermitted, IllegalMove, ValidationError.
    """
    acts.require_reason(reason)
    acts.require(case=notice.case, actor=actor, anyone_with=_HANDLERS, to="send a notice again")
    left = CaseNotice.objects.filter(delivery_rows.LEFT, pk=notice.pk).exists()
    lost = Delivery.objects.filter(delivery_rows.LOST, notice=notice)
    count = lost.update(state=_State.QUEUED, tries=0, last_tried_at=None, error="")
    if not count and not left:
        raise IllegalMove("Every channel of this notice has taken it, or is still to be tried.")
    CaseNotice.objects.filter(pk=notice.pk).update(attention_at=clock.now())
    events.append(case=notice.case, kind=CaseEvent.Kind.NOTICE, actor=actor, after=f"{notice.once}: to be sent again",
                  reason=reason)  # fmt: skip
    acts.audit_case(case=notice.case, actor=actor, action="case_notice.resend", reason=reason)
    nudges.after_commit(notices.DELIVER)
    return count
