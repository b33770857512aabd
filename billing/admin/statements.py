"""The page of a statement in the admin: of a wallet or of an account, for any period, as CSV and as JSON."""

from collections.abc import Callable
from datetime import date, timedelta
from typing import Any
from urllib.parse import urlencode

from django import forms
from django.contrib.admin import ModelAdmin
from django.core.exceptions import ValidationError
from django.core.paginator import Paginator
from django.db.models import Model
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from unfold.widgets import UnfoldAdminTextInputWidget

from accounts.admin import pages
from accounts.admin.reasons import PageForm
from accounts.admin.requests import actor_of, address_of
from accounts.services import audit
from billing import reports, statement_files
from billing.statement_lines import Statement, Step
from newapi.kernel import clock

LINES_A_PAGE = 200
FILES = {
    "csv": (statement_files.to_csv, "text/csv; charset=utf-8"),
    "json": (statement_files.to_json, "application/json"),
}
# Called with since, until and step; raises ValidationError for a period it cannot have.
Read = Callable[..., Statement]


class DayInput(UnfoldAdminTextInputWidget):
    """A day in the browser's own picker."""

    input_type = "date"


class PeriodForm(PageForm):
    """The days of a statement, both included, in UTC."""

    first = forms.DateField(label="First day", widget=DayInput)
    last = forms.DateField(label="Last day", widget=DayInput)
    by = forms.ChoiceField(
        label="Usage", choices=[(Step.DAY.value, "Summed by day"), (Step.HOUR.value, "Summed by hour")]
    )

    def statement(self, read: Read) -> Statement | None:
        """What was asked for; None, with errors on the form, when it cannot be had."""
        if not self.is_valid():
            return None
        try:
            return read(
                since=reports.midnight(self.cleaned_data["first"]),
                until=reports.midnight(self.cleaned_data["last"] + timedelta(days=1)),
                step=Step(self.cleaned_data["by"]),
            )
        except OverflowError:
            self.add_error("last", "Such a day does not exist.")
        except ValidationError as error:
            self.add_error(None, error)
        return None


def page(admin: ModelAdmin, request: HttpRequest, *, obj: Model, title: str, read: Read) -> HttpResponse:
    """Show a statement, of this month unless another period is asked for. The caller has checked the right to see."""
    query = {**_this_month(), **{name: request.GET[name] for name in ("first", "last", "by") if name in request.GET}}
    form = PeriodForm(query)
    found = form.statement(read)
    wanted = request.GET.get("format", "")
    if found is not None and wanted in FILES:
        return _download(request, obj, found, wanted, "statement-{first}-{last}".format(**form.cleaned_data))
    context: dict[str, Any] = {
        **admin.admin_site.each_context(request),
        "opts": admin.opts,
        "original": obj,
        "title": title,
        "form": form,
        "statement": found,
        "query": urlencode(query),
        "page": Paginator(found.lines if found else (), LINES_A_PAGE).get_page(request.GET.get("page")),
        "is_hourly": query["by"] == Step.HOUR,
        "may_open": request.user.has_perm("billing.view_ledgertransaction"),
        "back_url": pages.object_url(obj),
    }
    return TemplateResponse(request, "admin/statement.html", context, headers={"Cache-Control": "no-store"})


def _this_month() -> dict[str, str]:
    today: date = clock.today()
    return {"first": today.replace(day=1).isoformat(), "last": today.isoformat(), "by": Step.DAY.value}


def _download(request: HttpRequest, obj: Model, found: Statement, kind: str, name: str) -> HttpResponse:
    """The statement as a file. That it left the house is on record."""
    audit.record(
        actor=actor_of(request),
        action="statement.export",
        target=obj,
        reason=f"Downloaded the statement from {found.since:%Y-%m-%d} to before {found.until:%Y-%m-%d} as {kind}",
        address=address_of(request),
    )
    write, content_type = FILES[kind]
    response = HttpResponse(write(found, for_staff=True), content_type=content_type)
    response["Content-Disposition"] = f'attachment; filename="{name}.{kind}"'
    response["Cache-Control"] = "no-store"
    return response
