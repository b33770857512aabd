"""Reporting abuse, and what became of a report: for everybody, without a login (MOD-08)."""

from django.core.exceptions import ValidationError
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.debug import sensitive_post_parameters, sensitive_variables
from django.views.decorators.http import require_http_methods, require_safe

from moderation.services import reports
from newapi.portal import reporting
from newapi.portal.reporting import ReportForm
from newapi.portal.throttle import too_many

# What a link may fill in: what a call is known by, and nothing about people.
PREFILLED = ("task_id", "model_name", "category")


@require_http_methods(["GET", "HEAD", "POST"])
@sensitive_post_parameters("email", "description", "accused", "url")
def report(request: HttpRequest) -> HttpResponse:
    """`/report`: the form; sent, on to the page that follows the report."""
    author = reporting.author_of(request)
    if request.method != "POST":
        initial = {name: request.GET.get(name, "").replace("\x00", "")[:200] for name in PREFILLED}
        return _page(request, ReportForm(author=author, initial={**initial, "opened": reporting.opened_now()}))
    if wait_s := reporting.wait_s(request, "tried"):
        return too_many(request, wait_s=wait_s)
    return _sent(request, ReportForm(request.POST, author=author))


@sensitive_variables("form")
def _sent(request: HttpRequest, form: ReportForm) -> HttpResponse:
    if not form.is_valid():
        return _page(request, form.renewed(), status=400)
    if wait_s := reporting.wait_s(request, "sent", increment=False):
        return too_many(request, wait_s=wait_s)
    try:
        _, token = reports.submit(channel="web", language=reporting.language_of(request), **form.order())
    except ValidationError as error:
        form.take_errors(error)
        return _page(request, form, status=400)
    # Counted is what came in: who has a form sent back is not kept from sending it again.
    reporting.wait_s(request, "sent")
    return redirect("portal:report_status", token)


@require_safe
def status(request: HttpRequest, token: str) -> HttpResponse:
    """`/report/<token>`: reference, receipt and outcome, for whoever has the link."""
    if wait_s := reporting.wait_s(request, "asked"):
        return too_many(request, wait_s=wait_s)
    found = reports.by_token(token)
    if found is None:
        raise Http404
    link = request.build_absolute_uri(request.path)
    response = render(request, "portal/report_status.html", {"report": found, "link": link})
    return _kept_to_oneself(response)


def _page(request: HttpRequest, form: ReportForm, *, status: int = 200) -> HttpResponse:
    return _kept_to_oneself(render(request, "portal/report.html", {"form": form}, status=status))


def _kept_to_oneself(response: HttpResponse) -> HttpResponse:
    """In no cache, and in no search engine."""
    response["Cache-Control"] = "private, no-store"
    response["X-Robots-Tag"] = "noindex"
    return response
