"""What an organisation's page says about its approvals."""

from django.db.models import Model
from django.http import HttpRequest

from accounts.admin import panels
from accounts.admin.pages import list_url, object_url
from accounts.models import Organisation
from moderation.admin.approval_standing import standings
from moderation.models import Approval
from moderation.services import approval_rules

ROWS_MAX = 5


@panels.on(Organisation)
def approvals_of(request: HttpRequest, obj: Model) -> panels.Panel | None:
    """What is allowed, and what waits for a decision."""
    assert isinstance(obj, Organisation)
    if not request.user.has_perm("moderation.view_approval"):
        return None
    rows = Approval.objects.filter(organisation=obj).select_related("category")
    waiting = rows.filter(state=Approval.State.REQUESTED)
    granted = rows.filter(standings()["in_force"])
    links = [panels.Link("Approvals", list_url(Approval, organisation__id__exact=obj.pk), "verified_user")]
    links += [
        panels.Link(f"Decide: {approval_rules.short(row)}", object_url(row), "gavel") for row in waiting[:ROWS_MAX]
    ]
    lines = tuple((approval_rules.what(row), _until(row)) for row in granted[:ROWS_MAX])
    return panels.Panel(
        title="Approvals",
        note="waiting" if len(links) > 1 else "",
        tone="warning",
        lines=lines or (("Approvals", "none in force"),),
        links=tuple(links),
    )


def _until(approval: Approval) -> str:
    return f"until {approval.ends_at:%Y-%m-%d %H:%M} UTC" if approval.ends_at else "until revoked"
