"""Evidence: kept sealed under its hash, held by someone at every moment, purged by law and not otherwise.

A file lies in the storage `evidence`, encrypted for its row, in a folder named by the hash of its contents. That it was
stored, and that it was purged, is also in the case's chain of events with the hash, so that the chain proves both.
"""

import hashlib
from collections.abc import Mapping
from functools import partial
from typing import Any

from django.db import transaction

from accounts.models import User
from moderation import permissions
from moderation.errors import IllegalMove
from moderation.models import Case, CaseEvent, CustodyEntry, Evidence
from moderation.models.policy import Level
from moderation.services import (
    acts,
    conflicts,
    evidence_custody,
    evidence_files,
    evidence_rules,
    evidence_types,
)
from newapi.kernel import clock

_Act = CustodyEntry.Act
WRITERS = (permissions.REVIEW, permissions.TRIAGE, permissions.HANDLE_LEGAL)


@transaction.atomic
def store(
    *,
    case: Case,
    name: str,
    contents: bytes,
    content_type: str,
    source: str,
    actor: User | None,
    address: str | None = None,
) -> Evidence:
    """Keep a file or a text for a case. source: where it came from, such as `staff` or `report:R-2026-000012`.

    Of a sealed case nothing is kept but ids: see store_ids. Raises NotPermitted, IllegalMove, ValidationError.
    """
    if case.category.is_sealed:
        raise IllegalMove("Of a sealed case no file and no text is kept. Enter ids and hashes instead.")
    kind, found = evidence_types.check_contents(contents, content_type)
    digest = hashlib.sha256(contents).digest()
    evidence = _new(case, kind=kind, name=name, digest=digest, size=len(contents), content_type=found, source=source)
    _save(evidence, actor=actor, address=address)
    evidence.key_id = evidence_files.put(evidence, contents)
    evidence.save(update_fields=["key_id"])
    return evidence


@transaction.atomic
def store_ids(
    *,
    case: Case,
    name: str,
    facts: Mapping[str, Any],
    source: str,
    actor: User | None,
    address: str | None = None,
) -> Evidence:
    """Keep ids, hashes and moments for a case, and nothing else. Raises NotPermitted, IllegalMove, ValidationError."""
    text = evidence_types.check_facts(facts)
    evidence = _new(
        case,
        kind=Evidence.Kind.IDS,
        name=f"Ids ({source})" if case.category.is_sealed else name,
        digest=hashlib.sha256(text).digest(),
        size=len(text),
        facts=dict(facts),
        source=source,
    )
    _save(evidence, actor=actor, address=address)
    return evidence


@transaction.atomic
def purge(*, evidence: Evidence, actor: User | None, reason: str, address: str | None = None) -> Evidence:
    """Erase the contents for good; the row stays as a tombstone with its hash. A job has no actor.

    The file itself goes when the transaction ends, or with the next run of the job. Raises NotPermitted; IllegalMove
    under a legal hold, while an authority may still ask for it, and while it is needed to decide.
    """
    acts.require_reason(reason)
    case = evidence.case
    if actor is not None:
        acts.require(case=case, actor=actor, anyone_with=(permissions.PURGE_EVIDENCE,), to="purge evidence")
    with evidence_rules.no_hold_begins():
        if why := evidence_rules.why_kept(evidence):
            raise IllegalMove(f"It cannot be purged: {why}")
        now = clock.now()
        mine = Evidence.objects.filter(pk=evidence.pk, purged_at=None)
        told = acts.told_outside(case, reason)[:500]
        if mine.update(purged_at=now, purged_by=actor, purge_reason=told, facts={}) != 1:
            raise IllegalMove("It was purged before.")
    evidence.purged_at, evidence.purged_by, evidence.purge_reason, evidence.facts = now, actor, told, {}
    evidence_custody.write(evidence=evidence, act=_Act.PURGED, actor=actor, reason=told, address=address)
    _tell(evidence, "purged", actor=actor, reason=reason)
    transaction.on_commit(partial(evidence_files.erase, evidence))
    return evidence


def marked(evidence: Evidence, what: str) -> str:
    """How the case's chain names it: `evidence 12 stored sha256 ab…`."""
    return f"evidence {evidence.pk} {what} sha256 {bytes(evidence.digest).hex()}"


def _new(case: Case, **values: Any) -> Evidence:
    if Evidence.objects.filter(case=case).count() >= evidence_types.PIECES_MAX:
        raise IllegalMove(f"A case has at most {evidence_types.PIECES_MAX} pieces of evidence.")
    values["name"] = evidence_types.check_name(values["name"])
    made = Evidence(case=case, retention=retention_of(case), added_at=clock.now(), **values)
    made.full_clean(exclude=["case", "digest", "added_by"])
    return made


def retention_of(case: Case) -> Evidence.Retention:
    """For how long what is kept for a case is kept."""
    if case.category.is_sealed:
        return Evidence.Retention.CHILD_SAFETY
    return Evidence.Retention.SEVERE if case.level in (Level.L1, Level.L2) else Evidence.Retention.STANDARD


def _save(evidence: Evidence, *, actor: User | None, address: str | None) -> None:
    case = evidence.case
    if actor is not None:
        acts.require(case=case, actor=actor, anyone_with=WRITERS, to="add evidence")
        conflicts.refuse(case=case, actor=actor)
    evidence.added_by = actor
    evidence.save(force_insert=True)
    evidence_custody.write(evidence=evidence, act=_Act.STORED, actor=actor, reason=evidence.source, address=address)
    _tell(evidence, "stored", actor=actor, reason=f"{evidence.name} (from {evidence.source})")


def _tell(evidence: Evidence, what: str, *, actor: User | None, reason: str) -> None:
    case = evidence.case
    kind = CaseEvent.Kind.EVIDENCE
    acts.record(case=case, kind=kind, actor=actor, after=marked(evidence, what), reason=reason)
    acts.audit_case(
        case=case, actor=actor, action=f"evidence.{what}", reason=reason, changes={"evidence": [None, evidence.pk]}
    )
