"""Reports to authorities: due by a case, prepared by one, approved by another, submitted by hand, acknowledged.

What is told: moderation.services.authority_contents.
"""

import hashlib
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction
from django.urls import reverse

from accounts.models import Notice, User
from accounts.services import notices
from moderation import permissions
from moderation.errors import IllegalMove, VersionConflict
from moderation.models import AuthorityReport, Case, CaseEvent
from moderation.services import acts, authority_contents, conflicts
from newapi.kernel import clock

_State = AuthorityReport.State
# Ours, as the sources name none: what cannot wait is submitted on the day.
SUBMIT_WITHIN = timedelta(hours=24)
# What was told, and the evidence of it, is preserved for at least a year.
PRESERVE = timedelta(days=366)


@transaction.atomic
def make_due(
    *, case: Case, actor: User | None, reason: str, is_test: bool = False, due_at: datetime | None = None
) -> AuthorityReport:
    """Let a report of a case become due, once: one that there is already is returned. A job has no actor.

    Raises NotPermitted, ValidationError.
    """
    acts.require_reason(reason)
    if actor is not None:
        needed = (permissions.HANDLE_LEGAL, permissions.DECIDE_CRITICAL, permissions.DECIDE_SEVERE)
        acts.require(case=case, actor=actor, anyone_with=needed, to="let a report become due")
    # Of two at once, the second waits and finds the first's; on SQLite the transaction is that lock.
    Case.objects.select_for_update(of=("self",), no_key=True).get(pk=case.pk)
    report, is_new = AuthorityReport.objects.exclude(state=_State.NOT_REQUIRED).get_or_create(
        case=case, is_test=is_test, defaults={"due_at": due_at or clock.now() + SUBMIT_WITHIN}
    )
    if is_new:
        _tell(report, actor, "due", reason)
        notices.post(
            once=f"authority:{report.pk}:due",
            kind="authority.due",
            level=Notice.Level.DANGER,
            audience=Notice.Audience.OPERATORS,
            title=f"A report of {case.reference} to an authority is due",
            body=f"By {report.due_at:%Y-%m-%d %H:%M} UTC.",
            link=link(report),
        )
    return report


@transaction.atomic
def prepare(
    *,
    report: AuthorityReport,
    authority: str,
    country: str,
    legal_basis: str,
    fields: Sequence[str],
    actor: User,
    reason: str,
) -> AuthorityReport:
    """Say to whom, on what basis and which fields; preparing again replaces what was there. Nothing is told by it.

    fields: names of moderation.legal_fields, as few as the authority asks for. Raises NotPermitted, IllegalMove,
    ValidationError when the basis is blank.
    """
    acts.require_reason(reason)
    _require(report, actor, permissions.HANDLE_LEGAL, "prepare a report")
    report.authority, report.country, report.legal_basis = authority.strip(), country, legal_basis.strip()
    for name in ("authority", "legal_basis", "country"):
        if not getattr(report, name):
            raise ValidationError({name: "This is needed: nothing is told without it."})
    report.full_clean(exclude=["case"], validate_constraints=False)
    report.contents = authority_contents.chosen(report, fields)
    _move(
        report,
        (_State.DUE,),
        {
            "authority": report.authority,
            "country": country,
            "legal_basis": report.legal_basis,
            "contents": report.contents,
            "prepared_by": actor,
        },
    )
    _tell(report, actor, "prepared", reason)
    return report


@transaction.atomic
def approve(*, report: AuthorityReport, actor: User, reason: str, seen: str = "") -> AuthorityReport:
    """Agree that it is submitted so: by another than who prepared it, under any login.

    seen: the fingerprint of what the person was shown; not asked when empty. Raises as `prepare` does, and
    VersionConflict when it was prepared anew since.
    """
    acts.require_reason(reason)
    _require(report, actor, permissions.APPROVE_LEGAL, "approve a report")
    # Whoever prepares it anew waits until this is done, and finds it approved.
    report.refresh_from_db(from_queryset=AuthorityReport.objects.select_for_update(of=("self",)))
    if report.prepared_by_id is None:
        raise IllegalMove("It is not prepared yet.")
    if report.prepared_by_id in conflicts.logins_of(actor):
        raise acts.refused(report.case, actor, "Another person must approve what you have prepared.")
    if seen and seen != authority_contents.fingerprint(report):
        raise VersionConflict("It was prepared anew since you opened this. Look at it again.")
    _move(report, (_State.DUE,), {"state": _State.APPROVED, "approved_by": actor, "approved_at": clock.now()})
    _tell(report, actor, "approved", reason)
    return report


@transaction.atomic
def send_back(*, report: AuthorityReport, actor: User, reason: str) -> AuthorityReport:
    """It must be prepared anew: before it was submitted, by who handles or approves. Raises as `prepare` does."""
    acts.require_reason(reason)
    _require(report, actor, permissions.APPROVE_LEGAL, "send a report back")
    values = {"state": _State.DUE, "prepared_by": None, "approved_by": None, "approved_at": None}
    _move(report, (_State.DUE, _State.APPROVED), values)
    _tell(report, actor, "sent back", reason)
    return report


@transaction.atomic
def submit(*, report: AuthorityReport, external_id: str, actor: User, reason: str) -> AuthorityReport:
    """Note that a person has submitted it, under which id of the authority's; from now on it is preserved.

    Of an exercise nothing is submitted, and nothing is preserved for it. Raises as `prepare` does.
    """
    acts.require_reason(reason)
    if not 1 <= len(external_id.strip()) <= 100:
        raise ValidationError({"external_id": "The id that the authority gave, in 1 to 100 characters."})
    _require(report, actor, permissions.HANDLE_LEGAL, "submit a report")
    report.refresh_from_db()
    now = clock.now()
    values = {
        "state": _State.SUBMITTED,
        "external_id": external_id.strip(),
        "submitted_at": now,
        "contents_digest": hashlib.sha256(authority_contents.canonical(report.contents)).digest(),
        "preserve_until": None if report.is_test else now + PRESERVE,
    }
    _move(report, (_State.APPROVED,), values)
    _tell(report, actor, f"submitted as {report.external_id}", reason)
    return report


@transaction.atomic
def acknowledge(*, report: AuthorityReport, actor: User, reason: str) -> AuthorityReport:
    """Note that the authority has confirmed it. Raises as `prepare` does."""
    acts.require_reason(reason)
    _require(report, actor, permissions.HANDLE_LEGAL, "note an acknowledgement")
    _move(report, (_State.SUBMITTED,), {"state": _State.ACKNOWLEDGED, "acknowledged_at": clock.now()})
    _tell(report, actor, "acknowledged", reason)
    return report


@transaction.atomic
def drop(*, report: AuthorityReport, actor: User, reason: str) -> AuthorityReport:
    """It is not required: by who approves, and did not prepare it. Raises as `prepare` does."""
    acts.require_reason(reason)
    _require(report, actor, permissions.APPROVE_LEGAL, "drop a report")
    if report.prepared_by_id in conflicts.logins_of(actor):
        raise acts.refused(report.case, actor, "Another person must drop what you have prepared.")
    _move(report, AuthorityReport.OPEN_STATES, {"state": _State.NOT_REQUIRED, "end_reason": reason[:500]})
    _tell(report, actor, "not required", reason)
    return report


def link(report: AuthorityReport) -> str:
    """Its page in the admin."""
    return reverse("admin:moderation_authorityreport_change", args=[report.pk])


def _require(report: AuthorityReport, actor: User, permission: str, to: str) -> None:
    acts.require(case=report.case, actor=actor, anyone_with=(permission,), to=to)
    conflicts.refuse(case=report.case, actor=actor)


def _move(report: AuthorityReport, states: Sequence[AuthorityReport.State], values: dict[str, Any]) -> None:
    """Change a report that is in one of these states, and the instance with it. Raises IllegalMove."""
    mine = AuthorityReport.objects.filter(pk=report.pk, state__in=states)
    if mine.update(**values) != 1:
        raise IllegalMove("The report does not stand so any more. Look at it again.")
    for name, value in values.items():
        setattr(report, name, value)


def _tell(report: AuthorityReport, actor: User | None, what: str, reason: str) -> None:
    case = report.case
    test = " (exercise)" if report.is_test else ""
    told = f"report {report.pk}{test} {what}"
    acts.record(case=case, kind=CaseEvent.Kind.AUTHORITY, actor=actor, after=told, reason=reason)
    acts.audit_case(case=case, actor=actor, action="authority.report", reason=reason, changes={"report": [None, told]})
