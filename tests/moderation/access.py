"""Access to calls as tests arrange it: who asks, who approves, and a call that comes by."""

from datetime import timedelta
from typing import Any
from uuid import UUID

from accounts.models import APIKey, Organisation, User
from moderation import permissions
from moderation.models import CapturedCall, DataAccessGrant
from moderation.services import captured_calls, data_access
from newapi.kernel import clock, ids
from tests.moderation import desk

REASON = "Because the test says so"
ASKED, ANSWERED = "canary-question: Grüße", "canary-answer"


def asker() -> User:
    """Somebody who may ask, and read."""
    rights = (permissions.ASK_DATA_ACCESS, permissions.READ_CAPTURED, "moderation.view_dataaccessgrant")
    return desk.grant(desk.worker("ann", "auditor"), *rights)


def approver() -> User:
    """Somebody who may approve; may ask as well."""
    rights = (permissions.APPROVE_DATA_ACCESS, permissions.ASK_DATA_ACCESS, "moderation.view_dataaccessgrant")
    return desk.grant(desk.worker("apo", "auditor"), *rights)


def ask(organisation: Organisation, actor: User, **changed: Any) -> DataAccessGrant:
    """Ask as one should."""
    values = {
        "basis": "support",
        "basis_text": "Ticket 7",
        "scope": "Why answers are cut short",
        "calls_max": 2,
        "ends_at": clock.now() + timedelta(days=7),
        "reason": REASON,
    }
    return data_access.ask(organisation=organisation, actor=actor, **{**values, **changed})


def granted(organisation: Organisation, ann: User, apo: User, **changed: Any) -> DataAccessGrant:
    """A grant in force."""
    return data_access.approve(grant=ask(organisation, ann, **changed), actor=apo, reason=REASON)


def capture(organisation: Organisation, key: APIKey, trace_id: UUID | None = None, **texts: str) -> CapturedCall | None:
    """A call that comes by."""
    values = {"request": ASKED, "answer": ANSWERED, **texts}
    return captured_calls.capture(
        organisation=organisation, api_key=key, trace_id=trace_id or ids.uuid7(), at=clock.now(), **values
    )
