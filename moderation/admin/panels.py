"""What moderation has to say on the pages of organisations and keys."""

from urllib.parse import urlencode

from django.db.models import Model, Q
from django.http import HttpRequest
from django.urls import reverse

from accounts.admin import panels
from accounts.admin.pages import list_url, object_url
from accounts.admin.requests import actor_of
from accounts.models import APIKey, Organisation
from moderation.models import Case, Restriction
from moderation.selectors import without_sealed
from moderation.services.restrictions import effect
from newapi.kernel import clock

ROWS_MAX = 5


@panels.on(Organisation)
def standing_of(request: HttpRequest, obj: Model) -> panels.Panel | None:
    """Restrictions in force, open cases, and the way to both."""
    assert isinstance(obj, Organisation)
    if not request.user.has_perm("moderation.view_restriction"):
        return None
    now = clock.now()
    running = Restriction.objects.filter(organisation=obj, lifted_at=None, starts_at__lte=now)
    running = running.filter(Q(ends_at=None) | Q(ends_at__gt=now)).select_related("organisation")
    shown = list(without_sealed(running, actor_of(request), case="case__")[:ROWS_MAX])
    lines = tuple((str(one), f"{effect(one)} {_until(one)}") for one in shown)
    links = [panels.Link("Restrictions", list_url(Restriction, organisation__id__exact=obj.pk), "block")]
    if request.user.has_perm("moderation.add_restriction"):
        links.insert(0, panels.Link("Impose a restriction", _impose(organisation=obj.pk), "gavel"))
    if request.user.has_perm("moderation.view_case"):
        links.append(panels.Link("Cases", list_url(Case, organisation__id__exact=obj.pk), "folder_open"))
    return panels.Panel(
        title="Standing",
        note="restricted" if shown else "",
        tone="danger",
        lines=lines or (("Restrictions", "none in force"),),
        links=tuple(links),
    )


@panels.on(APIKey)
def restrict_key(request: HttpRequest, obj: Model) -> panels.Panel | None:
    """The way to restrict just this key."""
    assert isinstance(obj, APIKey)
    if obj.state != "active" or not request.user.has_perm("moderation.add_restriction"):
        return None
    url = _impose(organisation=obj.organisation_id, scope=Restriction.Scope.API_KEY, api_key=obj.hint)
    return panels.Panel(title="Standing", links=(panels.Link("Restrict this key", url, "gavel"),))


@panels.on(Case)
def means_of(request: HttpRequest, obj: Model) -> panels.Panel | None:
    """What can be done about what a case is about, and what was done."""
    assert isinstance(obj, Case)
    if not obj.is_open or not request.user.has_perm("moderation.add_restriction"):
        return None
    url = _impose(organisation=obj.organisation_id, case=obj.pk)
    links = [panels.Link("Impose a restriction", url, "gavel")]
    links += [
        panels.Link(str(one), object_url(one), "block")
        for one in obj.restrictions.select_related("organisation")[:ROWS_MAX]
    ]
    return panels.Panel(title="Restrictions", links=tuple(links))


def _until(restriction: Restriction) -> str:
    return f"until {restriction.ends_at:%Y-%m-%d %H:%M} UTC" if restriction.ends_at else "until lifted"


def _impose(**initial: object) -> str:
    return f"{reverse('admin:moderation_restriction_add')}?{urlencode(initial)}"
