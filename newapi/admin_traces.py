"""From the id in an answer back to who asked: key, person, organisation, moment, model (GW-25).

For those who handle cases. It asks a reason, and every look is on record, also one that finds nothing.
"""

import uuid
from typing import Any

from django import forms
from django.contrib import admin
from django.core.exceptions import PermissionDenied, ValidationError
from django.db.models import Model
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse

from accounts.admin import pages, panels
from accounts.admin.reasons import ReasonedForm
from accounts.admin.requests import actor_of, address_of
from accounts.models import User
from accounts.services import audit
from billing.models import UsageEvent
from moderation import permissions
from moderation.models import Case, Restriction

UNKNOWN = "No call with this id is on record. One that still runs appears when it is over."
# A request id with its dashes, and room for what was pasted around it.
ID_LENGTH_MAX = 64


class TraceForm(ReasonedForm):
    """Which call, and why it must be known."""

    request_id = forms.CharField(
        label="Request id",
        max_length=ID_LENGTH_MAX,
        help_text="As in the header x-request-id of the answer.",
        widget=forms.TextInput(attrs={"autocomplete": "off", "spellcheck": "false"}),
    )


def may_look_up(user: User) -> bool:
    """Whether a person may learn who made a call: those who see cases, be it the sealed ones only."""
    return permissions.may(user, permissions.VIEW) or permissions.is_granted(user, permissions.VIEW_SEALED)


def find(*, request_id: str, actor: User, reason: str, address: str | None) -> UsageEvent | None:
    """The call with an id, or None for one that is unknown or no id at all. Either way an audit row is left."""
    found = _call(request_id)
    audit.record(
        actor=actor,
        action="trace.lookup",
        target=found or actor,
        reason=reason,
        changes={"request_id": [None, request_id], "is_known": [None, found is not None]},
        address=address,
    )
    return found


def look_up(request: HttpRequest) -> HttpResponse:
    """The page that asks, and answers."""
    if not may_look_up(actor_of(request)):
        raise PermissionDenied
    cases = admin.site.get_model_admin(Case)

    def act(data: dict[str, Any]) -> HttpResponse:
        found = find(
            request_id=data["request_id"],
            actor=actor_of(request),
            reason=data["reason"],
            address=address_of(request),
        )
        if found is None:
            raise ValidationError({"request_id": UNKNOWN})
        context = {
            **admin.site.each_context(request),
            "opts": cases.opts,
            "title": f"Call {found.pk}",
            "panels": [_panel(request, found)],
            "back_url": reverse("admin:traces"),
        }
        return TemplateResponse(request, "admin/trace.html", context, headers={"Cache-Control": "no-store"})

    return pages.form_page(
        cases,
        request,
        title="Look up a request",
        intro="Who made a call, and when. What was asked and answered is stored nowhere. Each look is on record.",
        form=TraceForm(pages.data_of(request)),
        submit="Look up",
        act=act,
    )


def _call(request_id: str) -> UsageEvent | None:
    try:
        key = uuid.UUID(request_id)
    except ValueError:
        return None
    related = ("organisation", "project", "user", "api_key", "model", "channel")
    return UsageEvent.objects.select_related(*related).filter(pk=key).first()


def _panel(request: HttpRequest, call: UsageEvent) -> panels.Panel:
    lines = (
        ("Moment", f"{call.at:%Y-%m-%d %H:%M:%S} UTC"),
        ("Organisation", str(call.organisation)),
        ("Project", call.project.name),
        ("Member", str(call.user)),
        ("API key", str(call.api_key)),
        ("Model", call.model.name),
        ("Endpoint", call.endpoint),
        ("Outcome", f"{call.get_outcome_display()}, HTTP {call.status}"),
        ("From", call.client_address or "unknown"),
        ("Channel", str(call.channel or "none was reached")),
    )
    seen: tuple[tuple[str, Model, str], ...] = (
        ("The call", call, "receipt_long"),
        ("The key", call.api_key, "key"),
        ("The organisation", call.organisation, "apartment"),
    )
    links = [
        panels.Link(title, pages.object_url(obj), icon)
        for title, obj, icon in seen
        if request.user.has_perm(f"{obj._meta.app_label}.view_{obj._meta.model_name}")
    ]
    return panels.Panel(title=str(call.pk), lines=lines, links=tuple(links))


@panels.on(Case)
@panels.on(Restriction)
def way_here(request: HttpRequest, obj: Model) -> panels.Panel | None:
    """The way to this page from those where one wants to know."""
    if not may_look_up(actor_of(request)):
        return None
    return panels.Panel(title="Requests", links=(panels.Link("Look up a request", reverse("admin:traces"), "search"),))


pages.mount("traces/", look_up, name="traces")
