"""Answering what an authority asks: one export with the fields that were named and no others, and its hash.

It is made when it is downloaded, once, and is kept nowhere.
"""

import hashlib
from dataclasses import dataclass

import orjson
from django.db import transaction

from accounts.models import Notice, User
from accounts.services import notices
from moderation import legal_fields, permissions
from moderation.models import CustodyEntry, LegalRequest
from moderation.services import acts, conflicts, evidence_custody, legal_rows, sealed
from newapi.kernel import clock

_State = LegalRequest.State
FORMAT = "newapi legal export 1"


@dataclass(frozen=True, slots=True)
class Export:
    """What is handed over: JSON, in memory only."""

    name: str
    contents: bytes


@transaction.atomic
def answer(*, request: LegalRequest, actor: User, reason: str, address: str | None = None) -> Export:
    """Make the export, this once: it is in memory only, and its hash stays. The hold stays until somebody lifts it.

    Raises NotPermitted, IllegalMove when it is not approved or was answered.
    """
    acts.require_reason(reason)
    conflicts.clear(actor, permissions.HANDLE_LEGAL, request.organisation, request.case)
    case = request.case
    if case is not None and not sealed.may_read(user=actor, case=case):
        raise legal_rows.refused(request, actor, "Its case is sealed. Ask a colleague to let you read it.")
    scope = legal_fields.Scope(request.organisation, case, request.period_starts_at, request.period_ends_at)
    contents = _contents(request, scope)
    values = {
        "state": _State.ANSWERED,
        "answered_by": actor,
        "answered_at": clock.now(),
        "export_digest": hashlib.sha256(contents).digest(),
    }
    legal_rows.move(request, (_State.APPROVED,), values)
    if "evidence" in request.fields:
        for piece in legal_fields.evidence_of(scope):
            said = f"Hash and ids, by {request.reference}"
            evidence_custody.write(
                evidence=piece, act=CustodyEntry.Act.EXPORTED, actor=actor, reason=said, address=address
            )
    legal_rows.tell(request, actor, "answered", reason, address)
    if request.may_tell:
        _tell_organisation(request)
    return Export(f"{request.reference}.json", contents)


def _contents(request: LegalRequest, scope: legal_fields.Scope) -> bytes:
    told = {
        "format": FORMAT,
        "request": request.their_reference,
        "authority": request.authority,
        "period": [scope.starts_at.isoformat(), scope.ends_at.isoformat()],
        "fields": legal_fields.read(request.fields, scope),
    }
    return orjson.dumps(told, option=orjson.OPT_SORT_KEYS | orjson.OPT_INDENT_2)


def _tell_organisation(request: LegalRequest) -> None:
    notices.post(
        once=f"legal:{request.pk}:answered",
        kind="legal.answered",
        audience=Notice.Audience.MANAGERS,
        organisation=request.organisation,
        title=f"An authority was given records about you ({request.reference})",
        body=f"{request.authority} asked on this basis: {request.legal_basis}. "
        f"It was told: {', '.join(legal_fields.FIELDS[name].label for name in request.fields)}.",
    )
