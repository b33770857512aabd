"""What authorities wait for: the operators are told before it is late, and when it is."""

from datetime import timedelta

from django.urls import reverse

from accounts.models import Notice
from accounts.services import notices
from moderation.models import AuthorityReport, LegalRequest
from moderation.services import authority
from moderation.services.legal_requests import OPEN_STATES
from newapi.kernel import clock

REPORTS_WARN = timedelta(hours=12)
REQUESTS_WARN = timedelta(days=2)
LIMIT = 500


def sweep() -> int:
    """Tell of what is due soon and of what is late, once each. Returns how many notices that were."""
    now, told = clock.now(), 0
    reports = AuthorityReport.objects.filter(
        state__in=AuthorityReport.OPEN_STATES, is_test=False, due_at__lt=now + REPORTS_WARN
    )
    for report in reports.select_related("case").order_by("due_at", "pk")[:LIMIT]:
        name = f"The report of {report.case.reference} to an authority"
        told += _tell(f"authority:{report.pk}", name, authority.link(report), is_late=report.due_at < now)
    requests = LegalRequest.objects.filter(state__in=OPEN_STATES, due_at__lt=now + REQUESTS_WARN)
    for request in requests.order_by("due_at", "pk")[:LIMIT]:
        link = reverse("admin:moderation_legalrequest_change", args=[request.pk])
        told += _tell(f"legal:{request.pk}", f"Legal request {request.reference}", link, is_late=request.due_at < now)
    return told


def _tell(what: str, name: str, link: str, *, is_late: bool) -> bool:
    return notices.post(
        once=f"{what}:{'late' if is_late else 'soon'}",
        kind="authority.late" if is_late else "authority.soon",
        level=Notice.Level.DANGER if is_late else Notice.Level.WARNING,
        audience=Notice.Audience.OPERATORS,
        title=f"{name} is {'late' if is_late else 'due soon'}",
        link=link,
    )
