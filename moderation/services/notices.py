"""Writing what organisations and reporters are told about cases: rendered at once, whole, or not at all (NOT-05).

Who reported is never named, nor who decided; what is reasoned for colleagues never appears. Sending is the business
of moderation.services.delivery, after commit.
"""

from collections.abc import Sequence
from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction

from moderation import notice_kinds
from moderation.models import (
    Appeal,
    Case,
    CaseEvent,
    CaseNotice,
    Decision,
    Delivery,
    Demand,
    EnforcementAction,
    NoticeHook,
    NoticeTemplate,
    Report,
)
from moderation.notice_words import DEFAULT, Words
from moderation.services import acts, appeal_window, events, notice_values
from moderation.services.notice_values import Values
from newapi.kernel import clock, nudges

DELIVER = "moderation.tasks.deliver_notices"
_Kind = NoticeTemplate.Kind
_Audience, _Channel = CaseNotice.Audience, Delivery.Channel
_PLANNED = EnforcementAction.State.PLANNED


def of_decision(decision: Decision) -> CaseNotice:
    """Tell an organisation what was decided; before it takes effect, when a measure waits for the notice.

    Raises ValidationError when a field is missing; nothing is written then.
    """
    waits = decision.actions.filter(state=_PLANNED, ended_at=None).exists()
    words = notice_values.words_for(decision.case.organisation)
    values = notice_values.of_decision(decision, words)
    kind = _Kind.PRIOR if waits else _Kind.DECISION
    return _to_organisation(appeal_window.once_of(decision), kind, decision.case, words, values, decision=decision)


def of_interim(action: EnforcementAction) -> CaseNotice:
    """Tell of a measure that stands before there is a decision."""
    words = notice_values.words_for(action.case.organisation)
    values = notice_values.of_interim(action, words)
    return _to_organisation(f"interim:{action.pk}", _Kind.INTERIM, action.case, words, values)


def of_lifted(action: EnforcementAction, reason: str) -> CaseNotice:
    """Tell that a measure has ended before its time. `reason` is the colleague's: it stays in the case's story."""
    acts.require_reason(reason)
    words = notice_values.words_for(action.case.organisation)
    values = notice_values.of_lifted(action, words)
    return _to_organisation(f"lifted:{action.pk}", _Kind.LIFTED, action.case, words, values, decision=action.decision)


def of_demand(demand: Demand) -> CaseNotice:
    """Tell what is asked, by when (NOT-06)."""
    words = notice_values.words_for(demand.organisation)
    values = notice_values.of_demand(demand, words)
    return _to_organisation(f"demand:{demand.pk}", _Kind.DEMAND, demand.case, words, values, demand=demand)


def of_appeal_received(appeal: Appeal) -> CaseNotice:
    """Tell that an appeal came in."""
    words = notice_values.words_for(appeal.decision.case.organisation)
    values = notice_values.of_appeal_received(appeal, words)
    return _of_appeal(appeal, "received", _Kind.APPEAL_RECEIVED, words, values)


def of_appeal_outcome(appeal: Appeal) -> CaseNotice:
    """Tell what became of an appeal, and why; also that it came too late, which is no outcome yet if it is admitted."""
    words = notice_values.words_for(appeal.decision.case.organisation)
    values = notice_values.of_appeal_outcome(appeal, words)
    what = "late" if appeal.state == Appeal.State.REJECTED_LATE else "outcome"
    return _of_appeal(appeal, what, _Kind.APPEAL_OUTCOME, words, values)


def of_report_received(report: Report) -> CaseNotice:
    """Tell a reporter that a report came in."""
    words = notice_values.words_for(None, report.language)
    values = notice_values.of_report_received(report, words)
    return _to_reporter(report, "received", _Kind.REPORT_RECEIVED, words, values)


def of_report_outcome(report: Report) -> CaseNotice:
    """Tell a reporter what came of a report, by its class only."""
    words = notice_values.words_for(None, report.language)
    values = notice_values.of_report_outcome(report, words)
    return _to_reporter(report, "outcome", _Kind.REPORT_OUTCOME, words, values)


@transaction.atomic
def render_again(notice: CaseNotice) -> bool:
    """Render the notice of a decision anew when its appeal window would end on another day than its text says.

    It is sent on another day than it was written on: the text names the window that really counts. False when the
    text is right as it is. Raises ValidationError.
    """
    decision = notice.decision
    if decision is None or notice.once != appeal_window.once_of(decision):
        return False
    until = appeal_window.would_end(notice.organisation)
    if appeal_window.told_until(notice) == until:
        return False
    words = notice_values.words_for(notice.organisation)
    values = {**notice_values.common(notice.case, words), **notice_values.of_decision(decision, words)}
    notice.subject, notice.body = rendered(notice.template, values)
    notice.save(update_fields=["subject", "body"])
    events.append(case=notice.case, kind=CaseEvent.Kind.NOTICE, after=appeal_window.note_until(notice, until))
    return True


def template_for(kind: str, language: str) -> NoticeTemplate:
    """The newest text of a kind in a language, its parent language or English. Raises ValidationError."""
    for spoken in dict.fromkeys((language, language.partition("-")[0], DEFAULT)):
        found = NoticeTemplate.objects.filter(kind=kind, language=spoken).order_by("-version").first()
        if found is not None:
            return found
    raise ValidationError(f"There is no text for notices of the kind “{kind}”. Publish one first.")


def rendered(template: NoticeTemplate, values: Values) -> tuple[str, str]:
    """Subject and body. Raises ValidationError naming what is unresolved or empty, in subject or body."""
    both = f"{template.subject}\n{template.body}"
    if lacking := notice_kinds.missing(template.kind, both, values):
        names = ", ".join(f"{{{name}}}" for name in lacking)
        raise ValidationError(f"The notice is not sent: {names} of “{template}” would stay empty.")
    if notice_kinds.has_loose_brace(both):
        raise ValidationError(f"The notice is not sent: “{template}” has a brace that belongs to no placeholder.")
    subject = " ".join(notice_kinds.fill(template.subject, values).split())
    return subject[:200], notice_kinds.fill(template.body, values)


def _of_appeal(appeal: Appeal, what: str, kind: NoticeTemplate.Kind, words: Words, values: Values) -> CaseNotice:
    case = appeal.decision.case
    once = f"appeal:{appeal.pk}:{what}"
    return _to_organisation(once, kind, case, words, values, appeal=appeal, decision=appeal.decision)


def _to_organisation(
    once: str, kind: NoticeTemplate.Kind, case: Case, words: Words, values: Values, **about: Any
) -> CaseNotice:
    """By mail, and by webhook where one is on; by a message in the portal when nothing else takes it."""
    hooked = NoticeHook.objects.filter(organisation=case.organisation_id, is_on=True).exists()
    channels = [(_Channel.EMAIL, 0), *([(_Channel.WEBHOOK, 0)] if hooked else []), (_Channel.MESSAGE, 1)]
    about |= {"organisation": case.organisation, "user": case.user}
    return _write(once, kind, case, _Audience.ORGANISATION, words, values, channels, about)


def _to_reporter(report: Report, what: str, kind: NoticeTemplate.Kind, words: Words, values: Values) -> CaseNotice:
    """By mail where there is an address; else on the page that the report's own token opens."""
    reporter = report.reporter
    has_address = reporter is not None and bool(reporter.sealed_email or reporter.user_id)
    channels = [*([(_Channel.EMAIL, 0)] if has_address else []), (_Channel.MESSAGE, 1)]
    once = f"report:{report.pk}:{what}"
    return _write(once, kind, report.case, _Audience.REPORTER, words, values, channels, {"report": report})


@transaction.atomic
def _write(
    once: str,
    kind: NoticeTemplate.Kind,
    case: Case,
    audience: CaseNotice.Audience,
    words: Words,
    values: Values,
    channels: Sequence[tuple[Delivery.Channel, int]],
    about: dict[str, Any],
) -> CaseNotice:
    """Render and keep a notice with its deliveries, once for what it is about; told again, the first one stays."""
    if told := CaseNotice.objects.filter(once=once).first():
        return told
    template = template_for(kind, words.language)
    ours: Values = {} if audience == _Audience.ORGANISATION else {"organisation": "", "portal_link": ""}
    subject, body = rendered(template, {**notice_values.common(case, words), **ours, **values})
    now = clock.now()
    notice = CaseNotice.objects.create(
        case=case, audience=audience, template=template, once=once, subject=subject, body=body,
        created_at=now, attention_at=now, **about,
    )  # fmt: skip
    Delivery.objects.bulk_create(
        [Delivery(notice=notice, channel=channel, position=position) for channel, position in channels]
    )
    events.append(case=case, kind=CaseEvent.Kind.NOTICE, after=f"{once}: written", reason=str(template))
    if "appeal_deadline" in values:
        until = appeal_window.would_end(case.organisation)
        events.append(case=case, kind=CaseEvent.Kind.NOTICE, after=appeal_window.note_until(notice, until))
    nudges.after_commit(DELIVER)
    return notice
