"""Requests of authorities as rows: how one moves, and what is written down of an act."""

from collections.abc import Sequence
from typing import Any

from accounts.models import User
from accounts.services import audit
from moderation.errors import IllegalMove, NotPermitted
from moderation.models import CaseEvent, LegalRequest
from moderation.services import acts


def refused(request: LegalRequest, actor: User, message: str) -> NotPermitted:
    """The error of a refusal; on a case it is logged."""
    return acts.refused(request.case, actor, message) if request.case is not None else NotPermitted(message)


def move(request: LegalRequest, states: Sequence[LegalRequest.State], values: dict[str, Any]) -> None:
    """Change a request that is in one of these states, and the instance with it. Raises IllegalMove."""
    if LegalRequest.objects.filter(pk=request.pk, state__in=states).update(**values) != 1:
        raise IllegalMove("The request does not stand so any more. Look at it again.")
    for name, value in values.items():
        setattr(request, name, value)


def tell(request: LegalRequest, actor: User, what: str, reason: str, address: str | None) -> None:
    """Write an act down: in the story of the case, if it is about one, and in the audit record."""
    case = request.case
    if case is not None:
        told = f"{request.reference} {what}"
        acts.record(case=case, kind=CaseEvent.Kind.AUTHORITY, actor=actor, after=told, reason=reason)
    audit.record(
        actor=actor,
        action=f"legal_request.{what}",
        target=request,
        reason=acts.told_outside(case, reason) if case is not None else reason,
        changes={"state": [None, request.state]},
        address=address,
    )
