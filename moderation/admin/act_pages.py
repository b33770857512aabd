"""What pages of acts on cases and their parts have beside others: sealed cases, and files that are only taken."""

from django.http import HttpResponse
from django.utils.http import content_disposition_header

from accounts.admin.act_pages import ActPages
from moderation.admin.sealing import Sealing


class CaseActPages(Sealing, ActPages):
    """Acts on cases and on what belongs to them: of a sealed case each try is on record."""


def attachment(name: str, contents: bytes) -> HttpResponse:
    """A file to take, which no browser shows: whatever it is, it is called bytes."""
    response = HttpResponse(contents, content_type="application/octet-stream")
    response["Content-Disposition"] = content_disposition_header(True, name) or "attachment"
    response["X-Content-Type-Options"] = "nosniff"
    response["Cache-Control"] = "no-store"
    response["Content-Security-Policy"] = "default-src 'none'; sandbox"
    return response
