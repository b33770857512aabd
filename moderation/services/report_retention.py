"""How long the text of a report is kept: as long as evidence of its case. What is left is what it was, by its hash."""

import logging
from datetime import timedelta

from django.db import transaction
from django.db.models import Q, QuerySet

from accounts.models import LogClass, User
from accounts.services import audit, retention
from moderation import permissions
from moderation.errors import IllegalMove
from moderation.models import CaseEvent, Evidence, Report, Reporter
from moderation.models.policy import Level
from moderation.services import acts, events, evidence, evidence_rules
from newapi.kernel import clock

log = logging.getLogger(__name__)

JOB_REASON = "Its time is up"
# How many a run looks at, so that many that must wait do not keep it busy.
LOOKED_AT_MAX = 5_000
_Class = Evidence.Retention
_LEVELS = {_Class.SEVERE: (Level.L1, Level.L2), _Class.STANDARD: (Level.L3, Level.L4)}


@transaction.atomic
def purge(*, report: Report, actor: User | None, reason: str) -> Report:
    """Erase what a report says, whom it accuses and what it cites; the address of who sent it with the last of them.

    By a job only when its time is up. Raises NotPermitted, ValidationError; IllegalMove while the report is open, its
    case undecided, under a legal hold, or while an authority may still ask for it.
    """
    acts.require_reason(reason)
    case = report.case
    if actor is not None:
        acts.require(case=case, actor=actor, anyone_with=(permissions.PURGE_EVIDENCE,), to="purge a report")
    with evidence_rules.no_hold_begins():
        if why := _why_kept(report, by_job=actor is None):
            raise IllegalMove(f"It cannot be purged: {why}")
        gone = {"purged_at": clock.now(), "sealed_description": "", "accused": "", "url": ""}
        if Report.objects.filter(pk=report.pk, purged_at=None).exclude(outcome="open").update(**gone) != 1:
            raise IllegalMove("It was purged before.")
    for name, value in gone.items():
        setattr(report, name, value)
    after = f"{report.reference}: purged sha256 {bytes(report.description_digest).hex()}"
    events.append(case=case, kind=CaseEvent.Kind.REPORT, actor=actor, after=after, reason=reason)
    shown = acts.told_outside(case, reason)
    audit.record(actor=actor, action="report.purge", target=report, reason=shown)
    _forget(report.reporter)
    return report


def purge_due(*, limit: int = 500) -> int:
    """Purge the reports whose time is up, at most so many. Returns how many. Harmless when run twice."""
    purged = 0
    # Without their texts, which may be many megabytes and are only to go.
    past = _past().select_related("case__category", "reporter").defer("sealed_description")
    for report in past.order_by("case__closed_at", "pk")[:LOOKED_AT_MAX]:
        if purged >= limit:
            break
        if _why_kept(report, by_job=True):
            continue
        try:
            purge(report=report, actor=None, reason=JOB_REASON)
        except IllegalMove:
            log.info("report %s is kept: something holds it since a moment ago", report.reference)
            continue
        purged += 1
    return purged


def _past() -> QuerySet[Report]:
    """Those whose class would let them go by when their case was closed, of nobody who is under a hold."""
    now = clock.now()
    past = Q(case__category__is_sealed=True, case__closed_at__lt=now - _time_of(_Class.CHILD_SAFETY))
    for kept, levels in _LEVELS.items():
        ended = now - _time_of(kept)
        past |= Q(case__category__is_sealed=False, case__level__in=levels, case__closed_at__lt=ended)
    held = retention.in_force().filter(log_class__in=("", LogClass.EVIDENCE))
    holders = set(held.values_list("organisation_id", flat=True))
    found = Report.objects.filter(past, purged_at=None).exclude(outcome=Report.Outcome.OPEN)
    if None in holders:
        return found.none()
    return found.filter(Q(case__organisation=None) | ~Q(case__organisation__in=holders))


def _time_of(kept: Evidence.Retention) -> timedelta:
    return evidence_rules.days(Evidence.DAYS[kept])


def _why_kept(report: Report, *, by_job: bool) -> str:
    """Why it must not be purged now; empty when nothing keeps it. Asked as of evidence of its case."""
    if report.outcome == Report.Outcome.OPEN:
        return "the report is open."
    piece = Evidence(case=report.case, retention=evidence.retention_of(report.case))
    if why := evidence_rules.why_kept(piece):
        return why
    return "its time is not up." if by_job and not evidence_rules.is_due(piece, report.case) else ""


def _forget(reporter: Reporter | None) -> None:
    """Erase an address once nothing is left that was sent from it. The digest stays, which tells nobody who it was."""
    if reporter is None or Report.objects.filter(reporter=reporter, purged_at=None).exists():
        return
    Reporter.objects.filter(pk=reporter.pk).update(sealed_email="")
