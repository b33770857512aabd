"""What every act on a case has in common: sight, a reason, the event, the audit row, the end of the response clock."""

import logging
from collections.abc import Mapping
from typing import Any

from django.core.exceptions import ValidationError

from accounts.models import User
from accounts.services import audit
from moderation import permissions
from moderation.errors import IllegalMove, NotPermitted
from moderation.models import Case, CaseEvent, SlaClock
from moderation.services import events, sla

log = logging.getLogger(__name__)

# What the audit record says instead of the reason.
SEALED_REASON = "Sealed: the reason is in the case."


def require_reason(reason: str) -> None:
    """Raises ValidationError when nothing is said."""
    if not reason.strip():
        raise ValidationError({"reason": "A reason is needed."})


def require_sight(*, case: Case, actor: User | None) -> None:
    """A person must be allowed to see a case to act on it. Raises NotPermitted. Jobs of the platform pass."""
    if actor is not None and not permissions.may_see(actor, case):
        raise refused(case, actor, "You may not see this case.")


def require(*, case: Case, actor: User | None, anyone_with: tuple[str, ...], to: str) -> None:
    """Sight, and one of the permissions. `to` says what for. A job has none. Raises NotPermitted."""
    require_sight(case=case, actor=actor)
    if actor is None or not permissions.may(actor, *anyone_with):
        raise refused(case, actor, f"To {to} needs the permission {' or '.join(anyone_with)}.")


def refused_move(case: Case, actor: User | None, to: str) -> IllegalMove:
    """The error of a move that is in no table, which is also logged."""
    message = f"A case that is {case.get_state_display().lower()} cannot become “{to}”."
    log.warning("refused on %s to user %s: %s", case.reference, actor.pk if actor else None, message)
    return IllegalMove(message)


def refused(case: Case, actor: User | None, message: str) -> NotPermitted:
    """The error of a refusal, which is also logged: by number, not by name."""
    name = case.reference or "a case to be opened"
    log.warning("refused on %s to user %s: %s", name, actor.pk if actor else None, message)
    return NotPermitted(message)


def record(
    *,
    case: Case,
    kind: CaseEvent.Kind,
    actor: User | None,
    before: str = "",
    after: str = "",
    reason: str,
) -> CaseEvent:
    """Append the event of an act. The first by a person is the initial response: it stops that clock."""
    event = events.append(case=case, kind=kind, actor=actor, before=before, after=after, reason=reason)
    if actor is not None:
        sla.stop(case=case, kind=SlaClock.Kind.RESPONSE)
    return event


def audit_case(
    *, case: Case, actor: User | None, action: str, reason: str, changes: Mapping[str, Any] | None = None
) -> None:
    """The audit row of an act on a case."""
    audit.record(actor=actor, action=action, target=case, reason=told_outside(case, reason), changes=changes)


def told_outside(case: Case, reason: str) -> str:
    """A reason as it stands outside of the case's own story: of a sealed one that something was done, not why."""
    return SEALED_REASON if case.category.is_sealed else reason
