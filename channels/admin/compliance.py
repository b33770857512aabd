"""The page that gives out the compliance report."""

from typing import Any

from django.contrib.admin import ModelAdmin
from django.forms import Form
from django.http import HttpRequest, HttpResponse

from accounts.admin import pages
from accounts.admin.requests import actor_of, address_of
from accounts.services import audit
from channels import reports
from newapi.kernel import clock

# Who may see all that the report tells.
RIGHTS = ("channels.view_authorisationevidence", "channels.view_channel", "channels.view_upstreamterms")


def report_page(admin: ModelAdmin, request: HttpRequest) -> HttpResponse:
    """Says what is in the report; sent, answers with the file. The caller has checked the rights."""

    def act(data: dict[str, Any]) -> HttpResponse:
        return _download(request)

    return pages.form_page(
        admin,
        request,
        title="Compliance report",
        intro="One row for each channel, disabled ones too: whose it is, its evidence and who approved it, when the "
        "terms were reviewed and what they say, why it has several keys, export control, safety filtering, and which "
        "of its models retire. It holds no keys.",
        form=Form(pages.data_of(request)),
        submit="Download as CSV",
        act=act,
    )


def _download(request: HttpRequest) -> HttpResponse:
    """The report as a file. That it left the house is on record. Raises ValidationError when it is too large."""
    rows = list(reports.compliance_rows())
    audit.record(
        actor=actor_of(request),
        action="compliance_report.export",
        target=actor_of(request),
        reason=f"Downloaded the compliance report of {len(rows)} channels as CSV",
        address=address_of(request),
    )
    response = HttpResponse(reports.to_csv(rows), content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="compliance-{clock.today():%Y-%m-%d}.csv"'
    response["Cache-Control"] = "no-store"
    return response
