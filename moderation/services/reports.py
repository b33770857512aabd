"""Reports: taken in, put to a case, closed by a person with a reason. Who reported stays out of all of it (MOD-08…11).

A report's texts stay as they came in. No event, audit row, log line or error repeats them, or says from whom they are.
"""

from collections.abc import Mapping

from django.core.exceptions import ValidationError
from django.db import transaction

from accounts.models import User
from accounts.services import audit
from moderation import permissions
from moderation.errors import IllegalMove
from moderation.models import Case, CaseEvent, Decision, Report
from moderation.services import acts, conflicts, events, notices, report_intake, report_texts, reporters
from moderation.services.report_intake import by_token, submit
from newapi.kernel import clock

__all__ = ["CLOSED_AS", "WORK", "by_token", "close", "close_for", "names_a_reporter", "reveal", "submit"]

_Outcome = Report.Outcome
CLOSED_AS = (_Outcome.ACTION, _Outcome.NO_VIOLATION, _Outcome.UNFOUNDED)
# By whom reports are closed, and cases put in order.
WORK = (permissions.TRIAGE, permissions.REVIEW)


@transaction.atomic
def close(*, report: Report, outcome: str, reason: str, actor: User | None) -> Report:
    """Say what became of a report. A person does, with a reason, never a job (MOD-10, MOD-11).

    Raises NotPermitted, IllegalMove when it was closed before, ValidationError.
    """
    acts.require_reason(reason)
    if outcome not in CLOSED_AS:
        raise ValidationError({"outcome": "Choose what became of it."})
    # The case before its report, as whoever decides it does: else each of two might wait for the other.
    cases = Case.objects.select_for_update(of=("self",), no_key=True).select_related("category")
    report.case = cases.get(pk=report.case_id)
    acts.require(case=report.case, actor=actor, anyone_with=WORK, to="close a report")
    assert actor is not None
    conflicts.refuse(case=report.case, actor=actor)
    if not _close(report, outcome, reason, actor):
        raise IllegalMove("This report is closed.")
    return report


@transaction.atomic
def close_for(*, case: Case, finding: str, actor: User | None, reason: str) -> int:
    """Close the open reports of a case that was decided, by whoever decided it. Returns how many there were.

    finding: a value of Decision.Finding. Call it after the case has moved, so that what joined it until then is
    among them. The caller has checked the right to decide. Raises NotPermitted for a job, ValidationError.
    """
    acts.require_reason(reason)
    if actor is None:
        raise acts.refused(case, actor, "Reports are closed by people.")
    outcome = _Outcome.ACTION if finding == Decision.Finding.VIOLATION else _Outcome.NO_VIOLATION
    open_ones = Report.objects.select_related("case__category", "reporter__user").filter(case=case)
    return sum(_close(report, outcome, reason, actor) for report in open_ones.filter(outcome=_Outcome.OPEN))


@transaction.atomic
def reveal(*, report: Report, actor: User, reason: str) -> Mapping[str, str]:
    """Who reported, and the report word for word: `email`, `name`, `description`; empty where nobody knows.

    On record: an audit row, and an event of the case. Raises NotPermitted, ValidationError.
    """
    acts.require_reason(reason)
    acts.require(case=report.case, actor=actor, anyone_with=(permissions.VIEW_REPORTER,), to="see who reported")
    conflicts.refuse(case=report.case, actor=actor)
    # No acts.record: to look at who reported is no response.
    events.append(
        case=report.case,
        kind=CaseEvent.Kind.ACCESS,
        actor=actor,
        after=f"Who reported {report.reference}",
        reason=reason,
    )
    shown = acts.told_outside(report.case, reason)
    audit.record(actor=actor, action="report.reveal", target=report, reason=shown)
    reporter = report.reporter
    return {
        "email": reporters.address_of(reporter) if reporter else "",
        "name": reporter.user.name if reporter and reporter.user else "",
        "description": report_texts.of(report),
    }


def names_a_reporter(*, case: Case, text: str) -> bool:
    """Whether a text contains how somebody who reported in this case can be reached, or is called."""
    known = Report.objects.filter(case=case, reporter__isnull=False).select_related("reporter__user")
    return any(report_texts.names_whoever(text, report) for report in known.order_by("reporter", "pk").iterator())


def _close(report: Report, outcome: str, reason: str, actor: User) -> bool:
    """Close a report that is open. False when another was first."""
    values = {"outcome": outcome, "outcome_reason": reason[:500], "outcome_by": actor, "outcome_at": clock.now()}
    if not Report.objects.filter(pk=report.pk, outcome=_Outcome.OPEN).update(**values):
        return False
    for name, value in values.items():
        setattr(report, name, value)
    after = f"{report.reference}: {_Outcome(outcome).label}"
    kind = CaseEvent.Kind.REPORT
    acts.record(case=report.case, kind=kind, actor=actor, before=report.reference, after=after, reason=reason)
    shown = acts.told_outside(report.case, reason)
    changes = {"outcome": [_Outcome.OPEN, outcome]}
    audit.record(actor=actor, action="report.close", target=report, reason=shown, changes=changes)
    report_intake.tell_reporter(report, notices.of_report_outcome)
    return True
