"""The page that edits many channels: by a tag, or those that were selected in the list."""

from collections.abc import Iterator
from typing import Any

from django import forms
from django.contrib.admin import ModelAdmin
from django.core.exceptions import PermissionDenied, ValidationError
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from unfold.contrib.filters.admin import DropdownFilter

from accounts.admin import pages
from accounts.admin.fields import LinesField, style
from accounts.admin.reasons import ReasonedForm
from accounts.admin.requests import actor_of, address_of
from channels.admin import live
from channels.models import Channel
from channels.services import bulk
from channels.services.bulk import FIELDS, Plan, readable


class TagFilter(DropdownFilter):
    """Channels with a tag."""

    title = "tag"
    parameter_name = "tag"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """The tags that are in use."""
        return [(tag, f"{tag} ({count})") for tag, count in sorted(bulk.tags_in_use().items())]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Channel]) -> QuerySet[Channel]:
        """Only channels that have it."""
        tag = self.value()
        return bulk.with_tag(queryset, tag) if tag else queryset


class BulkForm(ReasonedForm):
    """Each field with a tick before it: only what is ticked is set."""

    add_tags = LinesField(label="Add tags", help_text="One a line, or with commas.", widget=forms.TextInput())
    remove_tags = LinesField(label="Remove tags", help_text="One a line, or with commas.", widget=forms.TextInput())

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name in FIELDS:
            tick, field = _fields_for(name)
            self.fields[f"set_{name}"], self.fields[name] = tick, field
            style(tick)
            style(field)
        self.order_fields([*(f"{part}{name}" for name in FIELDS for part in ("set_", "")), "add_tags", "remove_tags"])
        self.fields["reason"] = self.fields.pop("reason")

    def pairs(self) -> Iterator[tuple[forms.BoundField, forms.BoundField]]:
        """Tick and field of each that can be set."""
        for name in FIELDS:
            yield self[f"set_{name}"], self[name]

    def clean(self) -> dict[str, Any]:
        """What is not ticked does not matter; what is ticked has a value, unless it may be empty."""
        data = super().clean() or {}
        for name in FIELDS:
            column: Any = Channel._meta.get_field(name)
            if not data.get(f"set_{name}"):
                self.errors.pop(name, None)
            elif name not in self.errors and data.get(name) in (None, "") and not column.null:
                self.add_error(name, "Type a value, or take the tick away.")
        return data

    def order(self) -> dict[str, Any]:
        """The arguments of bulk.change: what is ticked, and the tags."""
        data = self.cleaned_data
        return {
            "fields": {name: data.get(name) for name in FIELDS if data.get(f"set_{name}")},
            "add_tags": data.get("add_tags", []),
            "remove_tags": data.get("remove_tags", []),
        }


def edit_page(admin: ModelAdmin, request: HttpRequest) -> HttpResponse:
    """Choose a tag; then tick, look at what would change, and change it."""
    if not admin.has_change_permission(request):
        raise PermissionDenied
    tag, ids = request.GET.get("tag", ""), live.ids_in(request.GET.get("ids", ""))
    if not tag and not ids:
        return _choose(admin, request)
    found = bulk.with_tag(Channel.objects.all(), tag) if tag else Channel.objects.filter(pk__in=ids)
    channels = list(found.order_by("name")[: bulk.CHANNELS_MAX + 1])
    form = BulkForm(pages.data_of(request), initial=_initial(request))
    is_preview = "_preview" in request.POST
    plans = _preview(form, channels) if is_preview else None

    def act(data: dict[str, Any]) -> HttpResponse:
        done = bulk.change(
            channels=channels,
            **form.order(),
            actor=actor_of(request),
            reason=data["reason"],
            address=address_of(request),
        )
        return pages.done(request, f"{len(done)} of {len(channels)} channels changed.", pages.list_url(Channel))

    counted = f"{len(channels)} channel{'' if len(channels) == 1 else 's'}"
    return pages.form_page(
        admin,
        request,
        title=f"Edit {counted}" + (f" with the tag “{tag}”" if tag else ""),
        intro="Only what is ticked is set, for all of them or for none. A channel that is enabled by this needs "
        "evidence in force.",
        form=form,
        submit="Change them",
        act=act,
        is_final=not is_preview,
        template="admin/channels/bulk.html",
        context={"channels": channels, "plans": plans},
    )


def _initial(request: HttpRequest) -> dict[str, Any]:
    """What is ticked beforehand: nothing, or the status that a link names with `?status=`."""
    asked = request.GET.get("status", "")
    is_asked = asked in Channel.Status.values
    return {"status": asked if is_asked else Channel.Status.ENABLED, "set_status": is_asked}


def _choose(admin: ModelAdmin, request: HttpRequest) -> HttpResponse:
    context = {
        **admin.admin_site.each_context(request),
        "opts": admin.opts,
        "title": "Edit by tag",
        "tags": sorted(bulk.tags_in_use().items()),
        "back_url": pages.list_url(Channel),
    }
    return TemplateResponse(request, "admin/channels/tags.html", context)


def _preview(form: BulkForm, channels: list[Channel]) -> list[dict[str, Any]] | None:
    """What would change, in words; None when something is wrong, which the form says then."""
    form.is_valid()
    # A preview needs no reason yet.
    form.errors.pop("reason", None)
    if form.errors:
        return None
    try:
        return [_shown(one) for one in bulk.plan(channels=channels, **form.order())]
    except ValidationError as error:
        pages.put_errors(form, error)
        return None


def _shown(plan: Plan) -> dict[str, Any]:
    return {
        "channel": plan.channel,
        "lines": [
            (bulk.title(name).capitalize(), _text(before), _text(after))
            for name, (before, after) in plan.changes.items()
        ],
    }


def _text(value: Any) -> str:
    shown = readable(value)
    return "empty" if shown in ("", None) else str(shown)


def _fields_for(name: str) -> tuple[forms.BooleanField, forms.Field]:
    column: Any = Channel._meta.get_field(name)
    label = bulk.title(name).capitalize()
    if name == "price_groups_allowed":
        field: forms.Field = LinesField(label=label, help_text="One a line. Empty: all.", widget=forms.TextInput())
    else:
        field = column.formfield(required=False)
    return forms.BooleanField(label=f"Set {label.lower()}", required=False), field
