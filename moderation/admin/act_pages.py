"""What pages of acts on cases and their parts have in common: one question, one act, and files that are only taken."""

from collections.abc import Callable
from typing import Any

from django import forms
from django.core.exceptions import PermissionDenied
from django.db.models import Model
from django.http import HttpRequest, HttpResponse
from django.utils.http import content_disposition_header

from accounts.admin import pages
from accounts.admin.base import ReadOnlyAdmin
from moderation.admin.sealing import Sealing


class ActPages(ReadOnlyAdmin):
    """Nothing is a field to edit: what is decided is decided by acts, each offered only where it fits."""

    def fitting(self, request: HttpRequest, obj: Any) -> frozenset[str]:
        """The names of the acts that can be done with it as it stands, by this person."""
        return frozenset(self.actions_detail)

    def get_actions_detail(self, request: HttpRequest, object_id: Any) -> list[Any]:
        """Only what can be done with it as it stands."""
        obj = self.get_object(request, object_id)
        if obj is None:
            return []
        fitting = self.fitting(request, obj)
        return [found for found in super().get_actions_detail(request, object_id) if found.path in fitting]

    def act_page(
        self,
        request: HttpRequest,
        object_id: str,
        *,
        verb: str,
        form: Callable[[Any], forms.Form],
        act: Callable[[Any, dict[str, Any]], HttpResponse],
        intro: str = "",
        is_danger: bool = False,
    ) -> HttpResponse:
        """The page of one act: `form` is made of the object, `act` is told the object and what was answered."""
        obj: Model = self.object_or_404(request, object_id)
        if not self.has_view_permission(request, obj):
            raise PermissionDenied
        return pages.form_page(
            self,
            request,
            title=f"{verb}: {obj}",
            intro=intro,
            form=form(obj),
            submit=verb,
            act=lambda data: act(obj, data),
            obj=obj,
            is_danger=is_danger,
        )


class CaseActPages(Sealing, ActPages):
    """The same for cases and what belongs to them."""


def attachment(name: str, contents: bytes) -> HttpResponse:
    """A file to take, which no browser shows: whatever it is, it is called bytes."""
    response = HttpResponse(contents, content_type="application/octet-stream")
    response["Content-Disposition"] = content_disposition_header(True, name) or "attachment"
    response["X-Content-Type-Options"] = "nosniff"
    response["Cache-Control"] = "no-store"
    response["Content-Security-Policy"] = "default-src 'none'; sandbox"
    return response
