"""What a report tells an authority: made of moderation.legal_fields by name, so that no text of a case gets into it.

It is read by those who prepare, approve and submit it, with a reason, and shown on no page.
"""

import hashlib
from collections.abc import Sequence
from typing import Any

import orjson
from django.core.exceptions import ValidationError
from django.db import transaction

from accounts.models import User
from moderation import legal_fields, permissions
from moderation.errors import IllegalMove
from moderation.models import AuthorityReport, CaseEvent
from moderation.services import acts, conflicts, events, sealed
from newapi.kernel import clock

FIELDS_DEFAULT = ("organisation", "account", "cases", "evidence")
READERS = (permissions.HANDLE_LEGAL, permissions.APPROVE_LEGAL)


def chosen(report: AuthorityReport, fields: Sequence[str]) -> dict[str, Any]:
    """The contents of these fields as they are now. Raises ValidationError for one that there is none of."""
    names = list(dict.fromkeys(fields))
    if not names or not set(names) <= set(legal_fields.FIELDS):
        raise ValidationError({"fields": f"Of {', '.join(legal_fields.FIELDS)}, at least one."})
    case = report.case
    scope = legal_fields.Scope(case.organisation, case, case.acted_at or case.received_at, clock.now())
    return legal_fields.read(names, scope)


@transaction.atomic
def read(*, report: AuthorityReport, actor: User, reason: str) -> bytes:
    """All that is told, to whom and on what basis, as JSON; on record in the case's story and the audit record.

    Raises NotPermitted, ValidationError, IllegalMove when nothing is prepared.
    """
    acts.require_reason(reason)
    case = report.case
    acts.require(case=case, actor=actor, anyone_with=READERS, to="read what is told")
    if not sealed.may_read(user=actor, case=case):
        raise acts.refused(case, actor, "It is sealed. Ask a colleague to let you read it.")
    conflicts.refuse(case=case, actor=actor)
    report.refresh_from_db()
    if not report.contents:
        raise IllegalMove("It is not prepared yet.")
    # No acts.record: to read it is no response.
    told = f"report {report.pk} read"
    events.append(case=case, kind=CaseEvent.Kind.ACCESS, actor=actor, after=told, reason=reason)
    acts.audit_case(case=case, actor=actor, action="authority.read", reason=reason)
    return orjson.dumps(_whole(report), option=orjson.OPT_SORT_KEYS | orjson.OPT_INDENT_2)


def fingerprint(report: AuthorityReport) -> str:
    """What tells one preparation of a report from another: SHA-256 over all that it tells, in hexadecimal."""
    return hashlib.sha256(canonical(_whole(report))).hexdigest()


def canonical(contents: dict[str, Any]) -> bytes:
    """The text over which the digest of what was told is."""
    return orjson.dumps(contents, option=orjson.OPT_SORT_KEYS)


def _whole(report: AuthorityReport) -> dict[str, Any]:
    return {
        "authority": report.authority,
        "country": report.country,
        "legal_basis": report.legal_basis,
        "fields": report.contents,
    }
