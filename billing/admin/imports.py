"""Price lists in the admin: uploaded, looked at row by row, then published or discarded."""

from collections.abc import Callable
from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.db.models import Model as AnyModel
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from unfold.contrib.filters.admin import AutocompleteSelectFilter
from unfold.decorators import action, display
from unfold.enums import ActionVariant

from accounts.admin import pages
from accounts.admin.base import ReadOnlyAdmin
from accounts.admin.reasons import ReasonedForm
from accounts.admin.requests import actor_of, address_of
from billing.admin import import_preview
from billing.admin.import_forms import ChosenForm, UploadForm
from billing.models import PriceImport, PriceImportRow
from billing.services import imports

_STATES = {"To be looked at": "warning", "Published": "success", "Discarded": None}
_VERDICTS = {"No price yet": "info", "Changes the price": "warning", "Cannot be read": "danger"}


@admin.register(PriceImport)
class PriceImportAdmin(ReadOnlyAdmin):
    """Adding is uploading. What becomes of a list is decided on its preview."""

    list_display = ("name", "state_label", "currency", "price_group", "uploaded_by", "uploaded_at", "decided_at")
    list_select_related = ("uploaded_by",)
    list_filter = ("state", "currency", "price_group")
    search_fields = ("name", "sha256", "uploaded_by__email")
    search_help_text = "File, its SHA-256, or who uploaded it"
    date_hierarchy = "uploaded_at"
    fields = (
        "name",
        "state_label",
        "currency",
        "price_group",
        "effective_from",
        "markup_ppm",
        "sha256",
        "warnings",
        "uploaded_by",
        "uploaded_at",
        "decided_at",
    )
    actions_detail = ("preview", "publish", "discard")

    @display(description="State", label=_STATES)
    def state_label(self, of: PriceImport) -> str:
        """What became of it."""
        return of.get_state_display()

    def has_add_permission(self, request: HttpRequest, obj: AnyModel | None = None) -> bool:
        """For those who publish prices."""
        return request.user.has_perm("billing.add_priceversion")

    def has_decide_permission(self, request: HttpRequest, object_id: str | None = None) -> bool:
        """The same people, while nothing is decided."""
        if not self.has_add_permission(request) or not self.has_view_permission(request):
            return False
        of = self.get_object(request, object_id) if object_id is not None else None
        return of is None or of.state == PriceImport.State.PREVIEW

    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Upload a list; what is read is shown, and nothing is published yet."""
        if not self.has_add_permission(request):
            raise PermissionDenied
        form = UploadForm(pages.data_of(request), request.FILES or None)

        def act(data: dict[str, Any]) -> HttpResponse:
            made = imports.read(**form.order(), actor=actor_of(request), address=address_of(request))
            return pages.done(request, "The list was read. Nothing is published yet.", preview_url(made))

        return pages.form_page(
            self,
            request,
            title="Import a price list",
            intro="The list is read and shown with what would change. Nothing is published before you say so.",
            form=form,
            submit="Read it",
            act=act,
            template="admin/price_import_upload.html",
        )

    @action(description="Look at it", icon="preview", permissions=["view"])
    def preview(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """The rows, with what each would do. Sent, it notes what is chosen."""
        of = self._seen(request, object_id)
        may_decide = self.has_decide_permission(request, object_id)
        if request.method == "POST":
            if not may_decide:
                raise PermissionDenied
            return self._choose(request, of)
        context = {
            **self.admin_site.each_context(request),
            **import_preview.context_of(of, request.GET.dict()),
            "opts": self.opts,
            "original": of,
            "title": f"Price list {of.name}",
            "may_decide": may_decide,
            "back_url": pages.object_url(of),
        }
        return TemplateResponse(request, "admin/price_import.html", context, headers={"Cache-Control": "no-store"})

    @action(description="Publish", icon="publish", permissions=["decide"], variant=ActionVariant.PRIMARY)
    def publish(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Publish what is chosen, for a reason."""
        of = self._seen(request, object_id)
        chosen = import_preview.mark_of(of)

        def act(data: dict[str, Any]) -> HttpResponse:
            if data["chosen"] != chosen:
                raise ValidationError("Somebody has changed the choice since this page was opened. Go back to it.")
            made = imports.publish(of=of, actor=actor_of(request), reason=data["reason"], address=address_of(request))
            prices = "1 price" if len(made) == 1 else f"{len(made):,} prices"
            return pages.done(request, f"Published {prices} of {of.name}.", of)

        form = ChosenForm(pages.data_of(request), initial={"chosen": chosen})
        return self._decide(request, of, "Publish the chosen prices", import_preview.plan_of(of), "Publish", act, form)

    @action(description="Discard", icon="delete", permissions=["decide"], variant=ActionVariant.DANGER)
    def discard(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Publish nothing of it."""
        of = self._seen(request, object_id)

        def act(data: dict[str, Any]) -> HttpResponse:
            imports.discard(of=of, actor=actor_of(request), reason=data["reason"], address=address_of(request))
            return pages.done(request, "Nothing of it is published.", of)

        intro = "Nothing of it is published, and its rows are forgotten. The list can be uploaded again."
        form = ReasonedForm(pages.data_of(request))
        return self._decide(request, of, f"Discard “{of.name}”?", intro, "Discard", act, form, is_danger=True)

    def _seen(self, request: HttpRequest, object_id: str) -> PriceImport:
        of: PriceImport = self.object_or_404(request, object_id)
        if not self.has_view_permission(request, of):
            raise PermissionDenied
        return of

    def _choose(self, request: HttpRequest, of: PriceImport) -> HttpResponse:
        """What was ticked on a page of rows; or all, or nothing."""
        act = request.POST.get("act", "")
        try:
            if act in ("all", "none"):
                imports.choose_all(of=of, is_chosen=act == "all")
            else:
                shown, chosen = (_ids(request.POST.getlist(name)) for name in ("shown", "chosen"))
                imports.choose(of=of, shown=shown, chosen=chosen)
        except ValidationError as error:
            messages.error(request, " ".join(error.messages))
            return HttpResponseRedirect(pages.object_url(of))
        if act == "publish":
            return HttpResponseRedirect(reverse("admin:billing_priceimport_publish", args=[of.pk]))
        query = request.GET.urlencode()
        return pages.done(request, "The choice is saved.", preview_url(of) + (f"?{query}" if query else ""))

    def _decide(
        self,
        request: HttpRequest,
        of: PriceImport,
        title: str,
        intro: str,
        submit: str,
        act: Callable[[dict[str, Any]], HttpResponse],
        form: ReasonedForm,
        *,
        is_danger: bool = False,
    ) -> HttpResponse:
        return pages.form_page(
            self,
            request,
            title=title,
            intro=intro,
            form=form,
            submit=submit,
            act=act,
            obj=of,
            is_danger=is_danger,
            context={"back_url": preview_url(of)},
        )


@admin.register(PriceImportRow)
class PriceImportRowAdmin(ReadOnlyAdmin):
    """The rows of all lists, to search in."""

    list_display = ("listed_name", "verdict_label", "of", "is_chosen", "version")
    list_select_related = ("of", "version__model")
    list_filter = ("verdict", "is_chosen", ("model", AutocompleteSelectFilter))
    search_fields = ("listed_name", "of__name")
    search_help_text = "Name in the list, or the list's file"
    ordering = ("-id",)
    fields = ("of", "listed_name", "model", "verdict_label", "rates", "warnings", "is_chosen", "version")

    @display(description="Verdict", label=_VERDICTS)
    def verdict_label(self, row: PriceImportRow) -> str:
        """What it would do."""
        return row.get_verdict_display()


def preview_url(of: PriceImport) -> str:
    """The page of a list's rows."""
    return reverse("admin:billing_priceimport_preview", args=[of.pk])


def _ids(sent: list[str]) -> list[int]:
    """The ids of rows; what is none is dropped."""
    return [int(one) for one in sent[: import_preview.PER_PAGE] if one.isascii() and one.isdigit() and len(one) < 19]
