"""Typing in a report that came by mail."""

from typing import Any

from django.core.exceptions import PermissionDenied
from django.db.models import Model
from django.http import HttpRequest, HttpResponse

from accounts.admin import pages
from accounts.admin.act_pages import ActPages
from accounts.admin.requests import actor_of
from moderation import permissions
from moderation.admin.report_forms import EntryForm
from moderation.models import Report
from moderation.services import reports


class Entering(ActPages):
    """For ReportAdmin: the page that adds a report."""

    def has_add_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """Typing in a mail is opening a case."""
        return request.user.has_perm(permissions.OPEN)

    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Type in a mail."""
        if not self.has_add_permission(request):
            raise PermissionDenied

        def act(data: dict[str, Any]) -> HttpResponse:
            report, _ = reports.submit(channel=Report.Channel.MAIL, actor=actor_of(request), **data)
            case = report.case
            if not (self.has_view_permission(request, report) and permissions.may_see(actor_of(request), case)):
                return pages.done(request, f"Entered {report.reference}.", pages.list_url(Report))
            return pages.done(request, f"Entered {report.reference}; it is in {case.reference}.", report)

        return pages.form_page(
            self,
            request,
            title="Enter a report from mail",
            intro="It joins an open case, or opens one. Its writer is answered at the address that you enter.",
            form=EntryForm(pages.data_of(request)),
            submit="Enter the report",
            act=act,
        )
