"""Opening evidence: read by those who may, looked at, checked against its hash. Every time is in the custody log."""

import hashlib

from django.db import transaction

from accounts.models import Notice, User
from accounts.services import notices
from moderation import permissions
from moderation.errors import EvidenceBroken, IllegalMove
from moderation.models import CustodyEntry, Evidence
from moderation.services import acts, conflicts, evidence_custody, evidence_files, evidence_types, sealed

READERS = (permissions.REVIEW, permissions.HANDLE_LEGAL)


@transaction.atomic
def read(
    *,
    evidence: Evidence,
    actor: User,
    reason: str,
    address: str | None = None,
    act: CustodyEntry.Act = CustodyEntry.Act.TAKEN,
) -> bytes:
    """The contents, as they were stored; of ids, their canonical text. Writes the custody entry.

    Raises NotPermitted, IllegalMove when it was purged, EvidenceBroken when it is not what was stored.
    """
    acts.require_reason(reason)
    case = evidence.case
    acts.require(case=case, actor=actor, anyone_with=READERS, to="read evidence")
    if not sealed.may_read(user=actor, case=case):
        raise acts.refused(case, actor, "It is sealed. Ask a colleague to let you read it.")
    conflicts.refuse(case=case, actor=actor)
    contents = _open(evidence)
    evidence_custody.write(
        evidence=evidence, act=act, actor=actor, reason=acts.told_outside(case, reason), address=address
    )
    return contents


def check(*, evidence: Evidence, actor: User | None = None, reason: str = "", address: str | None = None) -> str:
    """What is wrong with it, in words; empty when it is what was stored, or a proper tombstone. Writes it down.

    A job has no actor and needs no reason. Raises NotPermitted, ValidationError.
    """
    if actor is not None:
        acts.require_reason(reason)
        acts.require(case=evidence.case, actor=actor, anyone_with=READERS, to="check evidence")
    problem = ""
    try:
        if evidence.purged_at is None:
            _open(evidence)
    except EvidenceBroken as broken:
        problem = " ".join(broken.messages)
    said = problem or "as it was stored"
    if reason:
        said = f"{said} ({acts.told_outside(evidence.case, reason)})"[:500]
    evidence_custody.write(evidence=evidence, act=CustodyEntry.Act.CHECKED, actor=actor, reason=said, address=address)
    if problem:
        _alarm(evidence, problem)
    return problem


def see(*, evidence: Evidence, actor: User, address: str | None) -> None:
    """Write down that somebody looked at ids, which are shown as they are."""
    evidence_custody.write(evidence=evidence, act=CustodyEntry.Act.SEEN, actor=actor, address=address)


def _open(evidence: Evidence) -> bytes:
    """Raises IllegalMove when it was purged, EvidenceBroken when it is gone or changed."""
    if evidence.purged_at is not None:
        raise IllegalMove(f"It was purged on {evidence.purged_at:%Y-%m-%d}. Its hash is all that is left.")
    is_ids = evidence.kind == Evidence.Kind.IDS
    contents = evidence_types.canonical(evidence.facts) if is_ids else evidence_files.get(evidence)
    if hashlib.sha256(contents).digest() != bytes(evidence.digest):
        raise EvidenceBroken("It is not what was stored: its hash is another.")
    return contents


def _alarm(evidence: Evidence, problem: str) -> None:
    notices.post(
        once=f"evidence:{evidence.pk}:broken",
        kind="evidence.broken",
        level=Notice.Level.DANGER,
        audience=Notice.Audience.OPERATORS,
        title=f"Evidence {evidence.pk} of {evidence.case.reference} is not what was stored",
        body=problem,
        link=f"/admin/moderation/evidence/{evidence.pk}/change/",
    )
