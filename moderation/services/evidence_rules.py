"""How long evidence is kept, and why a piece must not be purged yet."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta

from django.db.models import Q, QuerySet

from accounts.models import LegalHold, LogClass, RetentionRule
from accounts.services import retention
from moderation.models import Appeal, AuthorityReport, Case, Evidence, LegalRequest
from newapi.kernel import clock

_Report = AuthorityReport.State
_Request = LegalRequest.State
# Requests of authorities that are not done.
OPEN_REQUESTS = (_Request.RECEIVED, _Request.APPROVED_ONCE, _Request.APPROVED)


@contextmanager
def no_hold_begins() -> Iterator[None]:
    """Inside a transaction: none of the holds that keep evidence begins before its end.

    Whoever imposes one locks the same rows (accounts.services.retention.impose); on SQLite the transaction is the lock.
    """
    list(RetentionRule.objects.select_for_update().filter(log_class=LogClass.EVIDENCE))
    yield


def holds_on(case: Case) -> QuerySet[LegalHold]:
    """The legal holds in force that keep the evidence of a case: its organisation's, and those on everybody."""
    whose = Q(organisation=None)
    if case.organisation_id is not None:
        whose |= Q(organisation=case.organisation_id)
    return retention.in_force().filter(whose, log_class__in=("", LogClass.EVIDENCE))


def why_kept(evidence: Evidence) -> str:
    """Why it must not be purged now, whoever wants it; empty when nothing keeps it."""
    case = Case.objects.select_related("category").get(pk=evidence.case_id)
    if holds_on(case).exists():
        return "it is under a legal hold."
    if _requests(case).exists():
        return "a request of an authority is open."
    reports = AuthorityReport.objects.filter(case=case, is_test=False)
    if reports.filter(state__in=AuthorityReport.OPEN_STATES).exists():
        return "it has to be reported to an authority first."
    if reports.filter(preserve_until__gt=clock.now()).exists():
        return "what was reported to an authority is preserved."
    if case.state in Case.UNDECIDED_STATES:
        return f"{case.reference} is not decided."
    if Appeal.objects.filter(decision__case=case, state__in=Appeal.OPEN_STATES).exists():
        return "an appeal is open."
    if evidence.retention == Evidence.Retention.CHILD_SAFETY and not is_due(evidence, case):
        return "evidence of child safety is kept for its whole time."
    return ""


def is_due(evidence: Evidence, case: Case) -> bool:
    """Whether its time is up by now."""
    ends_at = kept_until(evidence, case)
    return ends_at is not None and ends_at < clock.now()


def kept_until(evidence: Evidence, case: Case) -> datetime | None:
    """Until when it is kept by its class; None as long as that is not known: the case is open, or its request is."""
    days = Evidence.DAYS[Evidence.Retention(evidence.retention)]
    if case.closed_at is None:
        return None
    if days is None:
        return None if _requests(case).exists() else case.closed_at
    counted = [case.closed_at]
    if evidence.retention == Evidence.Retention.CHILD_SAFETY:
        told = AuthorityReport.objects.filter(case=case, is_test=False, submitted_at__isnull=False)
        counted += [moment for moment in told.values_list("submitted_at", flat=True) if moment is not None]
    return max(counted) + timedelta(days=days)


def days(count: int | None) -> timedelta:
    """A time of retention; None, which is until a request is done, is no time by itself."""
    return timedelta(days=count or 0)


def _requests(case: Case) -> QuerySet[LegalRequest]:
    about = Q(case=case)
    if case.organisation_id is not None:
        about |= Q(case=None, organisation=case.organisation_id)
    return LegalRequest.objects.filter(about, state__in=OPEN_REQUESTS)
