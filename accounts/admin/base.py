"""What every page of the admin shares.

GovernedAdmin: each write asks for a reason and leaves an audit row with it, in the same transaction; nothing
that was ever used is deleted. ReadOnlyAdmin: money, usage, evidence and records, to look at only.
"""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.options import IncorrectLookupParameters
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import models, transaction
from django.db.models import Model, QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from unfold.admin import ModelAdmin, TabularInline
from unfold.paginator import InfinitePaginator
from unfold.views import ChangeList

from accounts.admin import changes, deletion, exports, pages, panels
from accounts.admin.fields import ManyPicker, NanoField, PercentsField, Picker
from accounts.admin.prefilled import initial_of
from accounts.admin.reasons import ReasonedForm, with_reason
from accounts.admin.requests import actor_of, address_of
from accounts.limit_words import WHEN_REACHED
from accounts.models import AuditEvent
from accounts.services import audit

Fieldsets = list[tuple[str | None, dict[str, Any]]]


class PlainFields:
    """Amounts in forms are decimal text, never nano-units; limits say what happens when they are reached."""

    def formfield_for_dbfield(self, db_field: models.Field, request: HttpRequest, **kwargs: Any) -> forms.Field | None:
        """Replace the integer field of every `…_nano` column, and the JSON of percentages."""
        words = WHEN_REACHED.get(db_field.name, "")
        if db_field.name == "budget_alert_percents":
            return PercentsField(label=str(db_field.verbose_name).capitalize(), help_text=words)
        if words:
            kwargs["help_text"] = words
        if not db_field.name.endswith("_nano"):
            return super().formfield_for_dbfield(db_field, request, **kwargs)  # type: ignore[misc]
        return NanoField(
            label=str(db_field.verbose_name).capitalize(),
            required=not db_field.blank,
            help_text=f"{words or db_field.help_text} A decimal number, such as 12.50.".strip(),
            least_nano=0,
        )

    def formfield_for_foreignkey(self, db_field: models.ForeignKey, request: HttpRequest, **kwargs: Any) -> Any:
        """What searches bears whatever an address says."""
        if db_field.name in self.get_autocomplete_fields(request):  # type: ignore[attr-defined]
            kwargs.setdefault("widget", Picker(db_field, self.admin_site))  # type: ignore[attr-defined]
        return super().formfield_for_foreignkey(db_field, request, **kwargs)  # type: ignore[misc]

    def formfield_for_manytomany(self, db_field: models.ManyToManyField, request: HttpRequest, **kwargs: Any) -> Any:
        """The same of several."""
        if db_field.name in self.get_autocomplete_fields(request):  # type: ignore[attr-defined]
            kwargs.setdefault("widget", ManyPicker(db_field, self.admin_site))  # type: ignore[attr-defined]
        return super().formfield_for_manytomany(db_field, request, **kwargs)  # type: ignore[misc]


class List(ChangeList):
    """What no column can hold is a mistake in the address, never an error of the database."""

    def get_filters(self, request: HttpRequest) -> Any:
        """As Django's. Raises IncorrectLookupParameters, which leads back to the list, for all that cannot be read."""
        if any("\x00" in value for values in self.filter_params.values() for value in values):
            raise IncorrectLookupParameters("No text of ours has a NUL in it.")
        try:
            return super().get_filters(request)
        except (OverflowError, ValueError) as error:
            raise IncorrectLookupParameters(error) from error


class BaseAdmin(PlainFields, ModelAdmin):
    """Lists that stay quick, panels of other apps, CSV without secrets, the audit record as history."""

    list_per_page = 50
    list_filter_submit = True
    show_full_result_count = False
    warn_unsaved_form = True
    list_fullwidth = True
    empty_value_display = "–"
    change_form_outer_before_template = "admin/panels.html"
    actions: tuple[str, ...] = ("export_csv",)

    @admin.action(description="Download as CSV", permissions=["view"])
    def export_csv(self, request: HttpRequest, queryset: QuerySet) -> HttpResponse:
        """The selected rows, without secrets. That they left the house is on record."""
        response, count = exports.to_csv(queryset)
        audit.record(
            actor=actor_of(request),
            action=f"{self.noun}.export",
            target=actor_of(request),
            reason=f"Downloaded {count} rows as CSV",
            address=address_of(request),
        )
        return response

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        """The list that reads what an address asks for, whatever stands in it."""
        return List

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        """What a link says of the fields, without what they would refuse."""
        return initial_of(request, self.get_form(request))

    def get_search_results(self, request: HttpRequest, queryset: QuerySet, search_term: str) -> tuple[QuerySet, bool]:
        """As Django's, over what may be searched at all."""
        if "\x00" in search_term:
            return queryset.none(), False
        found, may_repeat = super().get_search_results(request, queryset, search_term)
        return (exports.may_leave(found) if search_term else found), may_repeat

    @property
    def noun(self) -> str:
        """The model as audit actions spell it, such as api_key."""
        return str(self.opts.verbose_name).lower().replace(" ", "_")

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        """Without Django's bulk deletion, which asks no reason."""
        actions = super().get_actions(request)
        actions.pop("delete_selected", None)
        return actions

    def history_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """The history of an object is what the audit record says of it."""
        return HttpResponseRedirect(
            pages.list_url(AuditEvent, object_type__exact=self.opts.label_lower, object_id__exact=object_id)
        )

    def render_change_form(self, request: HttpRequest, context: dict[str, Any], **kwargs: Any) -> HttpResponse:
        """Add the panels that apps have registered for the object."""
        obj = kwargs.get("obj")
        context["panels"] = panels.of(request, obj) if obj else []
        return super().render_change_form(request, context, **kwargs)

    def object_or_404(self, request: HttpRequest, object_id: str) -> Any:
        """The object with this id that the person may see."""
        obj = self.get_object(request, object_id)
        if obj is None:
            raise Http404
        return obj

    # What happened is written once, by the audit service; Django's own log would be a second, poorer copy.
    def log_addition(self, request: HttpRequest, obj: Model, message: Any) -> None:
        """Nothing: the audit record has it."""

    def log_change(self, request: HttpRequest, obj: Model, message: Any) -> None:
        """Nothing: the audit record has it."""


class ReadOnlyAdmin(BaseAdmin):
    """To look at: nobody adds, changes or deletes here, whatever their rights."""

    def has_add_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """Never."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """Never."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """Never."""
        return False


class Endless:
    """For tables that only grow: newest first, no COUNT (facets would be one), no sorting by what has no index."""

    paginator = InfinitePaginator
    list_disable_select_all = True
    show_facets = admin.ShowFacets.NEVER
    sortable_by = ()


class GovernedAdmin(BaseAdmin):
    """Add and change with a reason and an audit row. Deletion only where `deletable`, and only of the unused."""

    deletable = False
    change_form_after_template = "admin/reason.html"

    def get_form(
        self, request: HttpRequest, obj: Model | None = None, change: bool = False, **kwargs: Any
    ) -> type[forms.ModelForm]:
        """The form, with the reason asked in it."""
        kwargs["form"] = with_reason(kwargs.get("form") or self.form)
        return super().get_form(request, obj, change=change, **kwargs)

    def get_fieldsets(self, request: HttpRequest, obj: Model | None = None) -> Fieldsets:
        """The fields without the reason, which the page asks last, below the inlines."""
        return [
            (name, {**options, "fields": [field for field in options["fields"] if field != "reason"]})
            for name, options in self.sections(request, obj)
        ]

    def render_change_form(self, request: HttpRequest, context: dict[str, Any], **kwargs: Any) -> HttpResponse:
        """Ask for the reason if the page is a form for this person."""
        context["asks_reason"] = self.may_write(request, kwargs.get("obj"))
        return super().render_change_form(request, context, **kwargs)

    def sections(self, request: HttpRequest, obj: Model | None) -> Fieldsets:
        """The fieldsets without the reason. Pages whose fields depend on the object say so here."""
        return super().get_fieldsets(request, obj)

    def may_write(self, request: HttpRequest, obj: Model | None) -> bool:
        """Whether the page is a form for this person, or only to look at."""
        return self.has_add_permission(request) if obj is None else self.has_change_permission(request, obj)

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """As Django's; what a service refuses after the form was found valid is said, and nothing is written."""
        try:
            return super().changeform_view(request, object_id, form_url, extra_context)
        except ValidationError as error:
            for complaint in error.messages:
                messages.error(request, complaint)
            return HttpResponseRedirect(request.path)

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        """After everything is saved, in the same transaction: the audit rows."""
        super().save_related(request, form, formsets, change)
        self.record(request, form, change=change)
        for formset in formsets:
            self.record_inline(request, formset, reason=form.cleaned_data["reason"])

    def record(self, request: HttpRequest, form: Any, *, change: bool) -> None:
        """One audit row for the object itself; none when only its inlines changed."""
        found = changes.of_change(form) if change else changes.of_addition(form)
        if found or not change:
            self.write_down(
                request,
                form.instance,
                verb="change" if change else "add",
                reason=form.cleaned_data["reason"],
                changed=found,
            )

    def record_inline(self, request: HttpRequest, formset: Any, *, reason: str) -> None:
        """One audit row for each row of an inline that was added, changed or deleted."""
        for inline in self.audited(formset):
            if not inline.has_changed() or inline.instance.pk is None:
                continue
            added = inline.instance in formset.new_objects
            found = changes.of_addition(inline) if added else changes.of_change(inline)
            self.write_down(request, inline.instance, verb="add" if added else "change", reason=reason, changed=found)

    def audited(self, formset: Any) -> list[Any]:
        """The forms of an inline that are recorded here, because no service does."""
        return list(formset.forms)

    def write_down(
        self, request: HttpRequest, obj: Model, *, verb: str, reason: str, changed: dict[str, list[Any]] | None = None
    ) -> None:
        """Append an audit row about an object of this or of an inline's model."""
        noun = str(obj._meta.verbose_name).lower().replace(" ", "_")
        audit.record(
            actor=actor_of(request),
            action=f"{noun}.{verb}",
            target=obj,
            reason=reason,
            changes=changed or {},
            address=address_of(request),
        )

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """Only where deletion exists at all, for those with the right to it."""
        return self.deletable and super().has_delete_permission(request, obj)

    def delete_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Ask for a reason; refuse, kindly, what has been used."""
        obj = self.object_or_404(request, object_id)
        if not self.has_delete_permission(request, obj):
            raise PermissionDenied
        if user := deletion.used_by(obj):
            messages.warning(
                request,
                f"“{obj}” cannot be deleted: it is used by {user}, and those records stay. "
                "Switch it off instead; that takes effect with the next call.",
            )
            return HttpResponseRedirect(pages.object_url(obj))

        def act(data: dict[str, Any]) -> HttpResponse:
            name = str(obj)
            with transaction.atomic():
                self.write_down(request, obj, verb="delete", reason=data["reason"])
                self.delete_model(request, obj)
            return pages.done(request, f"Deleted “{name}”.", pages.list_url(self.model))

        return pages.form_page(
            self,
            request,
            title=f"Delete “{obj}”?",
            intro="Nothing has ever used it. This cannot be undone.",
            form=ReasonedForm(pages.data_of(request)),
            submit="Delete",
            act=act,
            obj=obj,
            is_danger=True,
        )


class GovernedInline(PlainFields, TabularInline):
    """Rows of another model on an object's page; the page's reason counts for them as well."""

    extra = 0
    can_delete = False
    show_change_link = True


class ReadOnlyInline(GovernedInline):
    """Rows to look at."""

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Never."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """Never."""
        return False
