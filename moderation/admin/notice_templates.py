"""The texts of notices: every version to look at; the next one is published by an act, after a look at it."""

from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied, ValidationError
from django.db.models import Model
from django.http import HttpRequest, HttpResponse
from unfold.contrib.filters.admin import ChoicesDropdownFilter
from unfold.decorators import action, display
from unfold.enums import ActionVariant

from accounts.admin import pages
from accounts.admin.base import ReadOnlyAdmin
from accounts.admin.prefilled import initial_of
from accounts.admin.requests import actor_of
from moderation import notice_kinds, permissions
from moderation.admin.appeal_forms import PublishForm
from moderation.models import NoticeTemplate
from moderation.services import templates


@admin.register(NoticeTemplate)
class NoticeTemplateAdmin(ReadOnlyAdmin):
    """A version is never changed: notices that were sent name the one that they were written with."""

    list_display = ("kind", "language", "version", "subject", "note", "author", "created_at")
    list_select_related = ("author",)
    list_filter = (("kind", ChoicesDropdownFilter), "language")
    search_fields = ("subject", "body", "note")
    search_help_text = "Subject, text or note"
    fields = ("kind", "language", "version", "subject", "body", "example", "note", "author", "created_at")
    actions_detail = ("publish_next",)

    def has_add_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """Publishing."""
        return permissions.may(actor_of(request), permissions.PUBLISH_NOTICE)

    def has_publish_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Publishing."""
        return self.has_add_permission(request)

    @display(description="As it would be read")
    def example(self, template: NoticeTemplate) -> str:
        """With examples in the gaps."""
        values = {name: getattr(template, name) for name in ("kind", "language", "subject", "body")}
        try:
            return templates.preview(**values)[1]
        except ValidationError as error:
            return " ".join(error.messages)

    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Publish a text, perhaps the first of a language."""
        return self._publish(request, initial=initial_of(request, PublishForm))

    @action(
        description="Publish the next version", icon="publish", permissions=["publish"], variant=ActionVariant.PRIMARY
    )
    def publish_next(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Begin with this text."""
        template: NoticeTemplate = self.object_or_404(request, object_id)
        initial = {name: getattr(template, name) for name in ("kind", "language", "subject", "body")}
        initial["expected_version"] = templates.newest_version(kind=template.kind, language=template.language)
        return self._publish(request, initial=initial, obj=template)

    def _publish(
        self, request: HttpRequest, *, initial: dict[str, Any], obj: NoticeTemplate | None = None
    ) -> HttpResponse:
        if not self.has_add_permission(request):
            raise PermissionDenied
        form = PublishForm(pages.data_of(request), initial=initial)
        is_preview = "_preview" in request.POST
        shown: dict[str, str] = {}
        if is_preview and form.is_valid():
            data = form.cleaned_data
            try:
                values = {name: data[name] for name in ("kind", "language", "subject", "body")}
                shown["subject"], shown["body"] = templates.preview(**values)
            except ValidationError as error:
                pages.put_errors(form, error)

        def act(data: dict[str, Any]) -> HttpResponse:
            made = templates.publish(**data, actor=actor_of(request))
            return pages.done(request, f"Published: {made}. The next notice is written with it.", made)

        fields = [
            (NoticeTemplate.Kind(kind).label, sorted(found.required), sorted(found.known - found.required))
            for kind, found in notice_kinds.KINDS.items()
        ]
        return pages.form_page(
            self,
            request,
            title="Publish a text of notices",
            intro="Notices that were sent stay as they were.",
            form=form,
            submit="Publish",
            act=act,
            obj=obj,
            template="admin/notice_publish.html",
            is_final=not is_preview,
            context={"shown": shown, "kinds": fields},
        )
