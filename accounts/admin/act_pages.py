"""Pages of acts on one row: a button where the act fits, one question, and one service behind it that judges."""

from collections.abc import Callable
from typing import Any

from django import forms
from django.core.exceptions import PermissionDenied
from django.db.models import Model
from django.http import HttpRequest, HttpResponse

from accounts.admin import pages
from accounts.admin.base import ReadOnlyAdmin
from accounts.admin.reasons import ReasonedForm


class ActPages(ReadOnlyAdmin):
    """Nothing is a field to edit: what is decided is decided by acts, each offered only where it fits."""

    def fitting(self, request: HttpRequest, obj: Any) -> frozenset[str]:
        """The names of the acts that can be done with it as it stands, by this person."""
        return frozenset(self.actions_detail)

    def in_title(self, obj: Any) -> str:
        """How the title of an act's page names what it is about."""
        return str(obj)

    def below_title(self, obj: Any) -> str:
        """What an act's page says below its title, where the act has nothing of its own to say."""
        return ""

    def get_actions_detail(self, request: HttpRequest, object_id: Any) -> list[Any]:
        """Only what can be done with it as it stands."""
        obj = self.get_object(request, object_id)
        if obj is None:
            return []
        fitting = self.fitting(request, obj)
        return [found for found in super().get_actions_detail(request, object_id) if found.path in fitting]

    def acted_on(self, request: HttpRequest, object_id: str) -> Any:
        """What an act is about. Raises Http404, PermissionDenied."""
        obj: Model = self.object_or_404(request, object_id)
        if not self.has_view_permission(request, obj):
            raise PermissionDenied
        return obj

    def page_of(
        self,
        request: HttpRequest,
        obj: Any,
        verb: str,
        form: forms.Form,
        act: pages.Act,
        *,
        intro: str = "",
        **more: Any,
    ) -> HttpResponse:
        """The page of one act on what was found. `more`: as pages.form_page takes it."""
        told = {
            "title": f"{verb}: {self.in_title(obj)}",
            "intro": intro or self.below_title(obj),
            "submit": verb,
            **more,
        }
        return pages.form_page(self, request, form=form, act=act, obj=obj, **told)

    def act_page(
        self,
        request: HttpRequest,
        object_id: str,
        *,
        verb: str,
        form: Callable[[Any], forms.Form],
        act: Callable[[Any, dict[str, Any]], HttpResponse],
        **more: Any,
    ) -> HttpResponse:
        """The same of an id: `form` is made of the object, `act` is told the object and what was answered."""
        obj = self.acted_on(request, object_id)
        return self.page_of(request, obj, verb, form(obj), lambda data: act(obj, data), **more)

    def reason_page(
        self,
        request: HttpRequest,
        object_id: str,
        *,
        verb: str,
        do: Callable[[Any, str], Any],
        said: Callable[[Any], str],
        **more: Any,
    ) -> HttpResponse:
        """The page of an act that asks for nothing but the reason, which `do` is told; `said` is what was done."""

        def act(obj: Any, data: dict[str, Any]) -> HttpResponse:
            do(obj, data["reason"])
            return pages.done(request, said(obj), obj)

        def form(obj: Any) -> forms.Form:
            return ReasonedForm(pages.data_of(request))

        return self.act_page(request, object_id, verb=verb, form=form, act=act, **more)
