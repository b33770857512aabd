"""What reports have to say on the pages of cases, and of each other's."""

from django.db.models import Model
from django.http import HttpRequest

from accounts.admin import pages, panels
from accounts.admin.requests import actor_of
from moderation import permissions
from moderation.models import Case, Report
from moderation.services import reporters

ROWS_MAX = 10


@panels.on(Case)
def reports_of(request: HttpRequest, obj: Model) -> panels.Panel | None:
    """What was reported, by reference; never by whom."""
    assert isinstance(obj, Case)
    if not request.user.has_perm("moderation.view_report"):
        return None
    found = list(obj.reports.select_related("category").order_by("received_at")[: ROWS_MAX + 1])
    if not found:
        return None
    lines = [
        (report.reference, f"{report.category.code if report.category else 'no category'} · "
         f"{report.received_at:%Y-%m-%d %H:%M} UTC · {report.get_outcome_display().lower()}")
        for report in found[:ROWS_MAX]
    ]  # fmt: skip
    links = [panels.Link(report.reference, pages.object_url(report), "flag") for report in found[:ROWS_MAX]]
    if len(found) > ROWS_MAX:
        links.append(panels.Link("All of them", pages.list_url(Report, q=obj.reference), "list"))
    waiting = obj.reports.filter(outcome=Report.Outcome.OPEN).count()
    note = f"{waiting} open" if waiting else ""
    return panels.Panel(title="Reports", note=note, tone="warning", lines=tuple(lines), links=tuple(links))


@panels.on(Case)
def before_and_after(request: HttpRequest, obj: Model) -> panels.Panel | None:
    """The case that this one follows, those that were merged into it, and where it went itself."""
    assert isinstance(obj, Case)
    tied = [("Follows", obj.follows), ("Went on in", obj.merged_into)]
    tied += [("Merged into this", case) for case in obj.merged.select_related("category")[:ROWS_MAX]]
    tied += [("Followed by", case) for case in obj.followed_by.select_related("category")[:ROWS_MAX]]
    seen = [(how, case) for how, case in tied if case is not None and permissions.may_see(actor_of(request), case)]
    if not seen:
        return None
    links = tuple(panels.Link(f"{how} {case.reference}", pages.object_url(case), "link") for how, case in seen)
    return panels.Panel(title="Tied to", links=links)


@panels.on(Report)
def came_from(request: HttpRequest, obj: Model) -> panels.Panel | None:
    """Whether anybody is known to have sent it, and the way to the case."""
    assert isinstance(obj, Report)
    links = [panels.Link(obj.case.reference, pages.object_url(obj.case), "gavel")]
    if not permissions.may(actor_of(request), permissions.VIEW_REPORTER):
        return panels.Panel(title="Case", links=tuple(links))
    if obj.reporter is not None:
        links.append(panels.Link(str(obj.reporter), pages.object_url(obj.reporter), "person_alert"))
    note = "measured" if reporters.is_measured(obj.reporter) else ""
    return panels.Panel(title="Case and reporter", note=note, tone="warning", links=tuple(links))
