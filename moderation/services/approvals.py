"""Applications for what is refused to others, and the decisions on them. The gateway obeys at the very next call.

Four eyes: whoever asked never decides. What rules forbid (approval_rules) no right allows.
"""

import logging
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import Q
from django.urls import reverse

from accounts.models import APIKey, Notice, Organisation, User
from accounts.services import audit, epochs, notices
from moderation import permissions
from moderation.errors import IllegalMove, NotPermitted
from moderation.models import Approval, PolicyCategory
from moderation.services import acts, approval_rules, conflicts
from newapi.kernel import clock

log = logging.getLogger(__name__)

# How many applications of one organisation may wait for a decision.
WAITING_MAX = 20
REASON_LENGTH_MAX = 500

_State = Approval.State


@transaction.atomic
def request(
    *,
    organisation: Organisation,
    kind: str,
    category: PolicyCategory | None = None,
    api_key: APIKey | None = None,
    models_allowed: Sequence[str] = (),
    purpose: str,
    promises: Sequence[str] = (),
    has_human_review: bool = False,
    actor: User,
    reason: str,
    address: str | None = None,
) -> Approval:
    """Apply for a use case of a category, or for answers without the explicit label. Nothing is allowed yet.

    api_key: None for the whole organisation. models_allowed: names, of a use case; empty for every model. promises: of
    Approval.LABEL_PROMISES. Who may apply is the caller's to check. Raises ValidationError.
    """
    _check_reason(reason)
    approval = Approval(
        organisation=organisation,
        kind=kind,
        category=category,
        api_key=api_key,
        models_allowed=sorted(set(models_allowed)),
        purpose=purpose.strip(),
        promises=list(promises),
        has_human_review=has_human_review,
        requested_by=actor,
        requested_at=clock.now(),
    )
    approval_rules.check_asked(approval)
    approval.full_clean()
    _check_waiting(approval)
    approval.save()
    audit.record(actor=actor, action="approval.request", target=approval, reason=reason, address=address)
    notices.post(
        once=f"approval:{approval.pk}:requested",
        kind="approval.requested",
        title=f"{organisation} applies: {approval_rules.what(approval)}",
        audience=Notice.Audience.OPERATORS,
        link=reverse("admin:moderation_approval_change", args=[approval.pk]),
    )
    return approval


@transaction.atomic
def approve(
    *,
    approval: Approval,
    ends_at: datetime | None,
    starts_at: datetime | None = None,
    actor: User,
    reason: str,
    address: str | None = None,
) -> Approval:
    """Allow it from `starts_at` (now when empty or past) until `ends_at`; without an end only a label opt-out.

    Raises NotPermitted, IllegalMove when it was decided before, and ValidationError for what cannot be approved.
    """
    _check_decider(approval, actor)
    approval_rules.check_asked(approval)
    start = approval_rules.checked_start(approval, starts_at=starts_at, ends_at=ends_at)
    waiting = Q(state=_State.REQUESTED)
    dates = {"starts_at": start, "ends_at": ends_at}
    return _decide(approval, waiting, _State.APPROVED, actor=actor, reason=reason, address=address, dates=dates)


@transaction.atomic
def refuse(*, approval: Approval, actor: User, reason: str, address: str | None = None) -> Approval:
    """Decline an application. Raises NotPermitted, IllegalMove when it was decided before, ValidationError."""
    _check_decider(approval, actor)
    waiting = Q(state=_State.REQUESTED)
    return _decide(approval, waiting, _State.REFUSED, actor=actor, reason=reason, address=address)


@transaction.atomic
def revoke(*, approval: Approval, actor: User, reason: str, address: str | None = None) -> Approval:
    """End an approval before its time. Raises NotPermitted, IllegalMove when there is nothing to end, ValidationError.

    Whoever applied may do this as well: it takes away, it grants nothing.
    """
    _check_right(approval, actor)
    running = Q(state=_State.APPROVED) & (Q(ends_at=None) | Q(ends_at__gt=clock.now()))
    return _decide(approval, running, _State.REVOKED, actor=actor, reason=reason, address=address)


def _decide(
    approval: Approval,
    allowed: Q,
    to: Approval.State,
    *,
    actor: User,
    reason: str,
    address: str | None,
    dates: dict[str, datetime | None] | None = None,
) -> Approval:
    """Claim the row, then tell: the audit record, the organisation, and every worker."""
    _check_reason(reason)
    fields: dict[str, Any] = {"state": to, "decided_by": actor, "decided_at": clock.now(), "decision_reason": reason}
    fields |= dates or {}
    if Approval.objects.filter(allowed, pk=approval.pk).update(**fields) != 1:
        raise IllegalMove("It was decided before, or is over. Look at it again.")
    changes = {"state": [approval.state, to], **{name: [None, moment] for name, moment in (dates or {}).items()}}
    for name, value in fields.items():
        setattr(approval, name, value)
    audit.record(
        actor=actor, action=f"approval.{_VERB[to]}", target=approval, reason=reason, changes=changes, address=address
    )
    notices.post(
        once=f"approval:{approval.pk}:{to}",
        kind=f"approval.{to}",
        title=f"{to.label}: {approval_rules.what(approval)}",
        body=reason,
        audience=Notice.Audience.MANAGERS,
        level=Notice.Level.INFO if to == _State.APPROVED else Notice.Level.WARNING,
        organisation=approval.organisation,
        link=reverse("portal:approvals", args=[approval.organisation.slug]),
    )
    epochs.bump(organisation_id=approval.organisation_id)
    return approval


_VERB = {_State.APPROVED: "approve", _State.REFUSED: "refuse", _State.REVOKED: "revoke"}


def _check_decider(approval: Approval, actor: User) -> None:
    """The right to decide, and four eyes: whoever applied does not, under no login. Raises NotPermitted."""
    _check_right(approval, actor)
    if actor.pk in conflicts.persons((approval.requested_by,)):
        raise _refused(approval, actor, "Whoever applied does not decide. Ask a colleague.")


def _check_right(approval: Approval, actor: User) -> None:
    if not permissions.may(actor, permissions.DECIDE_APPROVAL):
        raise _refused(approval, actor, f"To decide needs the permission {permissions.DECIDE_APPROVAL}.")


def _refused(approval: Approval, actor: User, message: str) -> NotPermitted:
    log.warning("refused on approval %s to user %s: %s", approval.pk, actor.pk, message)
    return NotPermitted(message)


def _check_reason(reason: str) -> None:
    acts.require_reason(reason)
    if len(reason) > REASON_LENGTH_MAX:
        raise ValidationError({"reason": f"At most {REASON_LENGTH_MAX} characters."})


def _check_waiting(approval: Approval) -> None:
    """Not the same twice, and not too many. Raises ValidationError."""
    # One at a time for each organisation, so that two who send at once are counted.
    Organisation.objects.select_for_update().get(pk=approval.organisation_id)
    waiting = Approval.objects.filter(organisation=approval.organisation, state=_State.REQUESTED)
    if waiting.filter(kind=approval.kind, category=approval.category, api_key=approval.api_key).exists():
        raise ValidationError("The same application waits for a decision already.")
    if waiting.count() >= WAITING_MAX:
        raise ValidationError(f"{WAITING_MAX} applications wait for a decision. Wait for these first.")
