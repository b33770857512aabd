"""Opening a case by hand."""

from typing import Any

from django.core.exceptions import PermissionDenied
from django.db.models import Model
from django.http import HttpRequest, HttpResponse

from accounts.admin import pages
from accounts.admin.prefilled import initial_of
from accounts.admin.requests import actor_of
from moderation import permissions
from moderation.admin.case_acts import CaseActs
from moderation.admin.case_forms import OpenForm
from moderation.models import Case
from moderation.services import opening


class Opening(CaseActs):
    """For CaseAdmin: the page that adds a case."""

    def has_add_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """Opening."""
        return request.user.has_perm(permissions.OPEN)

    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Open a case."""
        if not self.has_add_permission(request):
            raise PermissionDenied

        def act(data: dict[str, Any]) -> HttpResponse:
            case = opening.open_case(**{**data, "level": data["level"] or None}, actor=actor_of(request))
            if not permissions.may_see(actor_of(request), case):
                message = f"Opened {case.reference}. It is sealed: the child-safety team takes it from here."
                return pages.done(request, message, pages.list_url(Case))
            return pages.done(request, f"Opened {case.reference}. Its clocks are running.", case)

        return pages.form_page(
            self,
            request,
            title="Open a case",
            intro="A suspicion, not yet a decision. Its clocks start at once.",
            form=OpenForm(pages.data_of(request), initial=initial_of(request, OpenForm)),
            submit="Open the case",
            act=act,
        )
