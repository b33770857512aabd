"""Adding evidence by hand: a file, a text, or ids."""

from typing import Any

from django.core.exceptions import PermissionDenied
from django.db.models import Model
from django.http import HttpRequest, HttpResponse

from accounts.admin import pages
from accounts.admin.prefilled import initial_of
from accounts.admin.requests import actor_of, address_of
from moderation import permissions
from moderation.admin.act_pages import CaseActPages
from moderation.admin.evidence_forms import StoreForm
from moderation.admin.sealing import enter
from moderation.models import Case
from moderation.services import evidence


class Adding(CaseActPages):
    """For EvidenceAdmin: the page that adds a piece."""

    def has_add_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """Who works on cases."""
        return permissions.may(actor_of(request), *evidence.WRITERS)

    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Add a file, a text, or ids."""
        if not self.has_add_permission(request):
            raise PermissionDenied
        form = StoreForm(pages.data_of(request), request.FILES or None, initial=initial_of(request, StoreForm))

        def act(data: dict[str, Any]) -> HttpResponse:
            case: Case = data["case"]
            enter(request, case, reads=False)
            common = {"case": case, "name": data["name"], "source": "staff", "actor": actor_of(request)}
            if data["file"] is None:
                evidence.store_ids(**common, facts=data["facts"], address=address_of(request))
            else:
                evidence.store(
                    **common,
                    contents=data["file"].read(),
                    content_type=data["file"].content_type or "",
                    address=address_of(request),
                )
            return pages.done(request, f"Kept for {case.reference}, sealed. It is in the case's story.", case)

        return pages.form_page(
            self,
            request,
            title="Add evidence",
            intro="A file or text is sealed under its hash. Of sealed categories enter ids and hashes only.",
            form=form,
            submit="Keep it",
            act=act,
        )
