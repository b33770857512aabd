"""What a case's page says of its evidence, of authorities, and of who may read it when it is sealed."""

from urllib.parse import urlencode

from django.db.models import Model
from django.http import HttpRequest
from django.urls import reverse

from accounts.admin import panels
from accounts.admin.pages import list_url, object_url
from accounts.admin.requests import actor_of
from moderation import permissions
from moderation.models import AuthorityReport, Case, Evidence, LegalRequest, Unsealing
from moderation.services import evidence, sealed

ROWS_MAX = 5


@panels.on(Case)
def evidence_of(request: HttpRequest, obj: Model) -> panels.Panel | None:
    """The last pieces, and the way to add one."""
    assert isinstance(obj, Case)
    actor = actor_of(request)
    if not sealed.may_read(user=actor, case=obj):
        return None
    pieces = Evidence.objects.filter(case=obj)
    links = []
    if permissions.may(actor, *evidence.WRITERS):
        url = f"{reverse('admin:moderation_evidence_add')}?{urlencode({'case': obj.pk})}"
        links.append(panels.Link("Add evidence", url, "attach_file_add"))
    if actor.has_perm("moderation.view_evidence") or obj.category.is_sealed:
        links += [
            panels.Link(str(piece), object_url(piece), "attach_file") for piece in pieces.order_by("-pk")[:ROWS_MAX]
        ]
        if pieces.count() > ROWS_MAX:
            links.append(panels.Link("All of it", list_url(Evidence, case__id__exact=obj.pk), "list"))
    count = pieces.count()
    lines = (("Kept", f"{count} piece{'' if count == 1 else 's'}"),)
    return panels.Panel(title="Evidence", lines=lines, links=tuple(links))


@panels.on(Case)
def authorities_of(request: HttpRequest, obj: Model) -> panels.Panel | None:
    """What an authority is told of it, or has asked."""
    assert isinstance(obj, Case)
    actor = actor_of(request)
    if not permissions.may(actor, permissions.HANDLE_LEGAL, permissions.APPROVE_LEGAL):
        return None
    reports = list(AuthorityReport.objects.filter(case=obj)[:ROWS_MAX])
    asked = list(LegalRequest.objects.filter(case=obj)[:ROWS_MAX])
    links = [panels.Link(f"Report: {one.get_state_display()}", object_url(one), "local_police") for one in reports]
    links += [panels.Link(f"{one}: {one.get_state_display()}", object_url(one), "balance") for one in asked]
    if permissions.may(actor, permissions.HANDLE_LEGAL):
        for name, title in (("authorityreport", "Report it"), ("legalrequest", "Enter a legal request")):
            query = {"case": obj.pk, **({"organisation": obj.organisation_id} if name == "legalrequest" else {})}
            links.append(panels.Link(title, f"{reverse(f'admin:moderation_{name}_add')}?{urlencode(query)}", "add"))
    is_open = any(one.state in AuthorityReport.OPEN_STATES for one in reports)
    return panels.Panel(title="Authorities", note="report due" if is_open else "", tone="danger", links=tuple(links))


@panels.on(Case)
def unsealing_of(request: HttpRequest, obj: Model) -> panels.Panel | None:
    """Of a sealed case: until when it is open to this person, and who asks."""
    assert isinstance(obj, Case)
    if not obj.category.is_sealed:
        return None
    holds = sealed.unsealing_of(user=actor_of(request), case=obj)
    lines = [("Open to you until", f"{holds.ends_at:%Y-%m-%d %H:%M} UTC")] if holds and holds.ends_at else []
    links = [
        panels.Link(f"{asked.asked_by} asks", object_url(asked), "lock_open")
        for asked in sealed.waiting(obj).select_related("asked_by")[:ROWS_MAX]
    ]
    links.append(panels.Link("Who was let in", list_url(Unsealing), "history"))
    return panels.Panel(
        title="Sealed", note="every look is recorded", tone="danger", lines=tuple(lines), links=tuple(links)
    )
