"""Reports: taken in, put to a case, closed by a person with a reason. Who reported stays out of all of it (MOD-08…11).

A report's texts stay as they came in. No event, audit row, log line or error repeats them, or says from whom they are.
"""

import logging
import secrets as random
from collections.abc import Callable, Mapping
from datetime import datetime
from uuid import uuid4

from django.core.exceptions import ValidationError
from django.db import transaction

from accounts.models import Notice, Organisation, User
from accounts.services import audit
from accounts.services import notices as news
from moderation import permissions
from moderation.errors import IllegalMove
from moderation.models import Case, CaseEvent, CaseNotice, Decision, PolicyCategory, Report
from moderation.services import acts, conflicts, events, notices, report_cases, report_rules, report_texts, reporters
from newapi.kernel import clock, secrets

log = logging.getLogger(__name__)

_TOKEN_BYTES = 24
_Outcome = Report.Outcome
CLOSED_AS = (_Outcome.ACTION, _Outcome.NO_VIOLATION, _Outcome.UNFOUNDED)
# By whom reports are closed, and cases put in order.
WORK = (permissions.TRIAGE, permissions.REVIEW)


@transaction.atomic
def submit(
    *,
    channel: str,
    description: str,
    category: PolicyCategory | None = None,
    task_id: str = "",
    model_name: str = "",
    happened_at: datetime | None = None,
    url: str = "",
    accused: str = "",
    email: str = "",
    user: User | None = None,
    language: str = "en",
    organisation: Organisation | None = None,
    received_at: datetime | None = None,
    actor: User | None = None,
    reason: str = "",
) -> tuple[Report, str]:
    """Take a report in and put it to a case. Returns it, and the token of its status page, which is kept nowhere.

    At least one of task_id, model_name and happened_at is needed. email, user: by whom it is answered and known
    again, both may be missing. organisation, received_at, actor, reason: for colleagues who type in a mail; `actor`
    then needs the permission to open cases. Raises ValidationError by field, NotPermitted.
    """
    said = report_rules.cleaned(
        {
            "channel": channel,
            "description": description,
            "category": category,
            "task_id": task_id,
            "model_name": model_name,
            "happened_at": happened_at,
            "url": url,
            "accused": accused,
            "language": language,
            "received_at": received_at,
        }
    )
    if actor is not None:
        acts.require_reason(reason)
        if not permissions.may(actor, permissions.OPEN):
            raise acts.refused(Case(), actor, f"To enter a report needs the permission {permissions.OPEN}.")
    token = random.token_urlsafe(_TOKEN_BYTES)
    text, came_in = said.pop("description"), said.pop("received_at") or clock.now()
    report = Report(**said, received_at=came_in, token_digest=_digest(token))
    report.reporter = reporters.known(email=email, user=user)
    report_texts.seal(report, text)
    report_cases.place(report=report, organisation=organisation, actor=actor)
    _save_numbered(report)
    events.append(
        case=report.case,
        kind=CaseEvent.Kind.REPORT,
        actor=actor,
        after=report.reference,
        reason=f"Came in: {report.get_channel_display()}.",
    )
    if actor is not None:
        shown = acts.SEALED_REASON if report.case.category.is_sealed else reason
        audit.record(actor=actor, action="report.enter", target=report, reason=shown)
    _tell(report, notices.of_report_received)
    return report, token


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
    shown = acts.SEALED_REASON if report.case.category.is_sealed else reason
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


def by_token(token: str) -> Report | None:
    """The report whose status page this token opens, for the one who sent it."""
    return Report.objects.filter(token_digest=_digest(token)).first()


def _digest(token: str) -> bytes:
    return secrets.contact_digest(f"report:{token}")


def _save_numbered(report: Report) -> None:
    """Save a new report under its reference: R-2026-000012. The number is the primary key's."""
    report.reference = uuid4().hex[:20]
    report.save()
    report.reference = f"R-{clock.now().year}-{report.pk:06d}"
    report.save(update_fields=["reference"])


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
    shown = acts.SEALED_REASON if report.case.category.is_sealed else reason
    changes = {"outcome": [_Outcome.OPEN, outcome]}
    audit.record(actor=actor, action="report.close", target=report, reason=shown, changes=changes)
    _tell(report, notices.of_report_outcome)
    return True


def _tell(report: Report, notice: Callable[[Report], CaseNotice]) -> None:
    """Tell the reporter. A text that cannot be rendered stops neither a report nor a decision: operators are told."""
    try:
        with transaction.atomic():
            notice(report)
    except ValidationError as error:
        log.error("the reporter of %s was not told: %s", report.reference, "; ".join(error.messages))
        news.post(
            once=f"report:{report.pk}:{report.outcome}:untold",
            kind="report.untold",
            title=f"The reporter of {report.reference} could not be told",
            body=" ".join(error.messages),
            audience=Notice.Audience.OPERATORS,
            level=Notice.Level.WARNING,
        )
