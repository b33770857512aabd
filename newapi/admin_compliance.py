"""The page “compliance”: the checklist as it stands, and the evidence of a period as an archive (MOD-33, DSH-08)."""

import tempfile
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from django import forms
from django.contrib import admin
from django.core.exceptions import PermissionDenied, ValidationError
from django.http import FileResponse, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.template.response import TemplateResponse
from django.views.decorators.http import require_http_methods

from accounts.admin import pages
from accounts.admin.reasons import ReasonedForm
from accounts.admin.requests import actor_of, address_of
from accounts.services import audit
from channels.admin import compliance as channel_report
from newapi import compliance, compliance_pack
from newapi.kernel import clock

# Whoever may read the audit record sees the checklist; the archive holds the channels and the promises as well.
LOOK = "accounts.view_auditevent"
TAKE = (LOOK, "moderation.view_slaclock", *channel_report.RIGHTS)
# Archives up to here stay in memory while they are made.
MEMORY_BYTES_MAX = 8 * 1024 * 1024


class PackForm(ReasonedForm):
    """Which period. Both days at midnight, in UTC."""

    first = forms.DateField(label="From", help_text="The first day in it.")
    after = forms.DateField(label="Until before", help_text="The first day no longer in it.")


@require_http_methods(["GET", "HEAD", "POST"])
def show(request: HttpRequest) -> HttpResponseBase:
    """`/admin/compliance/`: the list; a POST with a period and a reason answers with the archive."""
    if not request.user.has_perm(LOOK):
        raise PermissionDenied
    may_take = request.user.has_perms(TAKE)
    if request.method == "POST" and not may_take:
        raise PermissionDenied
    today = clock.today()
    form = PackForm(pages.data_of(request), initial={"first": today - timedelta(days=91), "after": today})
    if request.method == "POST" and form.is_valid():
        try:
            return _archive(request, form.cleaned_data)
        except ValidationError as error:
            pages.put_errors(form, error)
    return _page(request, form, may_take=may_take)


def _page(request: HttpRequest, form: PackForm, *, may_take: bool) -> HttpResponse:
    items = compliance.items()
    context: dict[str, Any] = {
        **admin.site.each_context(request),
        "title": "Compliance",
        "items": items,
        "missing": sum(not item.is_met for item in items),
        "form": form if may_take else None,
    }
    return TemplateResponse(request, "admin/moderation/compliance.html", context, headers={"Cache-Control": "no-store"})


def _archive(request: HttpRequest, data: dict[str, Any]) -> FileResponse:
    """Made into a file that is gone with the answer. That it left the house is on record."""
    # Closed by the response, or here when there is none.
    file = tempfile.SpooledTemporaryFile(max_size=MEMORY_BYTES_MAX)  # noqa: SIM115
    span = {"starts_at": _midnight(data["first"]), "ends_at": _midnight(data["after"])}
    try:
        counts = compliance_pack.write(file, **span, user=actor_of(request))
    except Exception:
        file.close()
        raise
    audit.record(
        actor=actor_of(request),
        action="compliance_pack.export",
        target=actor_of(request),
        reason=data["reason"],
        changes={name: [None, count] for name, count in counts.items()},
        address=address_of(request),
    )
    file.seek(0)
    name = f"compliance-{data['first']}-{data['after']}.zip"
    return FileResponse(
        file, as_attachment=True, filename=name, content_type="application/zip", headers={"Cache-Control": "no-store"}
    )


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)


pages.mount("compliance/", show, name="compliance")
