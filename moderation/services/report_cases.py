"""Which case a report belongs to, and whom it is about."""

from typing import Any

from django.db.models import Q

from accounts.models import APIKey, Membership, Organisation, User
from moderation import calls
from moderation.calls import KnownCall
from moderation.models import Case, Report
from moderation.models.policy import Level
from moderation.services import joining, report_rules, reporters


def place(*, report: Report, organisation: Organisation | None, actor: User | None) -> None:
    """Give a report that is about to be saved its organisation and its case: one that is open, or a new one.

    organisation: as a colleague says; else the call tells that the report names, if it is known.
    """
    report.organisation, call = _whom(report, organisation)
    category = report.category or report_rules.catch_all()
    where: dict[str, Any] = {"organisation": report.organisation, "category": category}
    if report.organisation is None:
        where["like"] = _alike(report)
    elif call is not None:
        where |= _subject_of(call)
    if reporters.is_measured(report.reporter) and not category.is_sealed:
        where = _measured(report, where)
    report.case, _ = joining.open_or_join(
        **where,
        acted_at=report.happened_at or (call.at if call else None),
        summary=f"Reported as {category}. What is said stands in the report.",
        source=Case.Source.REPORT,
        received_at=report.received_at,
        actor=actor,
        reason=f"A report came in: {report.get_channel_display()}",
    )


def _whom(report: Report, told: Organisation | None) -> tuple[Organisation | None, KnownCall | None]:
    """Whom it is about: as a colleague says, or as the call does that it names; and that call, if it is theirs."""
    call = calls.find(report.task_id)
    if call is None:
        return told, None
    if told is None:
        return Organisation.objects.get(pk=call.organisation_id), call
    return told, call if call.organisation_id == told.pk else None


def _subject_of(call: KnownCall) -> dict[str, Any]:
    """Whose act a call was, as far as it belongs to the organisation: a report is never lost over that."""
    key = APIKey.objects.select_related("project", "user").filter(pk=call.api_key_id).first()
    if key is None or key.organisation_id != call.organisation_id:
        return {}
    is_member = Membership.objects.filter(organisation=call.organisation_id, user=key.user_id).exists()
    return {"api_key": key, "project": key.project, "user": key.user if is_member else None}


def _alike(report: Report) -> Q:
    """Which cases about nobody known a report belongs to: those of the same reporter, task or address.

    Or of the same words about the same: a form letter, whoever sends it, or a form that was sent twice.
    """
    same = Q(
        reports__description_digest=report.description_digest,
        reports__accused=report.accused,
        reports__model_name=report.model_name,
        reports__happened_at=report.happened_at,
        reports__task_id=report.task_id,
        reports__url=report.url,
    )
    if report.reporter is not None:
        same |= Q(reports__reporter=report.reporter)
    if report.task_id:
        same |= Q(reports__task_id=report.task_id)
    if report.url:
        same |= Q(reports__url=report.url)
    return same


def _measured(report: Report, where: dict[str, Any]) -> dict[str, Any]:
    """Where the report of one who misuses reporting goes: to a case that there is, else to one case for all of it.

    That one is of the mildest level, and about nobody, until a person takes something out of it. What names a sealed
    category never comes here, as only the child-safety team may read it.
    """
    there_is: dict[str, Any] = {name: where.get(name) for name in ("organisation", "category", "like")}
    if joining.joinable(**there_is).exists():
        return where
    return {
        "organisation": None,
        "category": report_rules.catch_all(),
        "level": Level.L4,
        "like": Q(reports__reporter=report.reporter),
    }
