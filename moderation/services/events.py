"""Appending to what happened to a case. Nothing is ever taken away from it."""

from datetime import datetime

from accounts.models import User
from moderation.models import Case, CaseEvent
from newapi.kernel import clock

_TEXT_MAX = 200


def append(
    *,
    case: Case,
    kind: CaseEvent.Kind,
    actor: User | None = None,
    before: str = "",
    after: str = "",
    reason: str = "",
    at: datetime | None = None,
) -> CaseEvent:
    """Append one event, inside the transaction of what it tells. `at` is when it became so; now by default."""
    return CaseEvent.objects.create(
        case=case,
        kind=kind,
        actor=actor,
        before=before[:_TEXT_MAX],
        after=after[:_TEXT_MAX],
        reason=reason,
        at=at or clock.now(),
    )
