"""Taking reports in: checked, sealed, put to a case, and acknowledged with the token of a status page (MOD-08).

No event, audit row, log line or error repeats what a report says, or says from whom it is.
"""

import logging
import secrets as random
from collections.abc import Callable
from datetime import datetime
from uuid import uuid4

from django.core.exceptions import ValidationError
from django.db import transaction

from accounts.models import Notice, Organisation, User
from accounts.services import audit
from accounts.services import notices as news
from moderation import permissions
from moderation.models import Case, CaseEvent, CaseNotice, PolicyCategory, Report
from moderation.services import acts, events, notices, report_cases, report_rules, report_texts, reporters
from newapi.kernel import clock, secrets

log = logging.getLogger(__name__)

_TOKEN_BYTES = 24


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
        _require_clerk(actor, reason)
    token = random.token_urlsafe(_TOKEN_BYTES)
    text, came_in = said.pop("description"), said.pop("received_at") or clock.now()
    report = Report(**said, received_at=came_in, token_digest=_digest(token))
    report.reporter = reporters.known(email=email, user=user)
    report_texts.seal(report, text)
    report_cases.place(report=report, organisation=organisation, actor=actor)
    _save_numbered(report)
    came = f"Came in: {report.get_channel_display()}."
    events.append(case=report.case, kind=CaseEvent.Kind.REPORT, actor=actor, after=report.reference, reason=came)
    if actor is not None:
        shown = acts.told_outside(report.case, reason)
        audit.record(actor=actor, action="report.enter", target=report, reason=shown)
    tell_reporter(report, notices.of_report_received)
    return report, token


def by_token(token: str) -> Report | None:
    """The report whose status page this token opens, for the one who sent it."""
    return Report.objects.filter(token_digest=_digest(token)).first()


def tell_reporter(report: Report, notice: Callable[[Report], CaseNotice]) -> None:
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


def _require_clerk(actor: User, reason: str) -> None:
    acts.require_reason(reason)
    if not permissions.may(actor, permissions.OPEN):
        raise acts.refused(Case(), actor, f"To enter a report needs the permission {permissions.OPEN}.")


def _digest(token: str) -> bytes:
    return secrets.contact_digest(f"report:{token}")


def _save_numbered(report: Report) -> None:
    """Save a new report under its reference: R-2026-000012. The number is the primary key's."""
    report.reference = uuid4().hex[:20]
    report.save()
    report.reference = f"R-{clock.now().year}-{report.pk:06d}"
    report.save(update_fields=["reference"])
