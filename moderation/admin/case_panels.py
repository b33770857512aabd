"""What a reviewer needs beside a case: whose history it is, what is in force, what is asked."""

from django.db.models import Model
from django.http import HttpRequest

from accounts.admin import panels
from accounts.admin.pages import list_url, object_url
from moderation.models import Case, Demand, EnforcementAction
from moderation.services import measures, strikes

ROWS_MAX = 5


@panels.on(Case)
def conduct_of(request: HttpRequest, obj: Model) -> panels.Panel | None:
    """The strikes that count against whom it is about."""
    assert isinstance(obj, Case)
    if obj.organisation_id is None:
        return panels.Panel(title="Whom it is about", note="unknown", tone="warning")
    record = strikes.record_of(obj)
    count = strikes.points(record)
    lines = tuple(
        (str(strike), f"until {strike.expires_at:%Y-%m-%d}" if strike.expires_at else "for good")
        for strike in strikes.active(record).order_by("-starts_at")[:ROWS_MAX]
    )
    whose = obj.user or obj.organisation
    others = panels.Link("Their cases", list_url(Case, organisation__id__exact=obj.organisation_id), "folder_open")
    return panels.Panel(
        title=f"Conduct of {whose}",
        note=f"{count} point{'' if count == 1 else 's'}",
        tone="danger" if count >= strikes.SUSPEND_SHORT else "warning" if count else "success",
        lines=lines or (("Strikes", "none that count"),),
        links=(others,),
    )


@panels.on(Case)
def in_force_on(request: HttpRequest, obj: Model) -> panels.Panel | None:
    """What the case has imposed."""
    assert isinstance(obj, Case)
    actions = EnforcementAction.objects.filter(case=obj)
    if not actions.exists():
        return None
    running = {action.pk for action in measures.in_force(obj)}
    lines = tuple((str(action), _state(action, running)) for action in actions[:ROWS_MAX])
    tone = "danger" if running else "info"
    return panels.Panel(title="Measures", note="in force" if running else "", tone=tone, lines=lines)


@panels.on(Case)
def asked_in(request: HttpRequest, obj: Model) -> panels.Panel | None:
    """What the organisation was asked."""
    assert isinstance(obj, Case)
    asked = list(Demand.objects.filter(case=obj).order_by("-asked_at")[:ROWS_MAX])
    if not asked:
        return None
    lines = tuple(
        (str(demand), f"{demand.get_state_display().lower()}, due {demand.due_at:%Y-%m-%d}") for demand in asked
    )
    waits = any(demand.state == Demand.State.ANSWERED for demand in asked)
    return panels.Panel(
        title="Demands",
        note="answered" if waits else "",
        tone="warning",
        lines=lines,
        links=tuple(panels.Link(demand.reference, object_url(demand), "contact_support") for demand in asked),
    )


def _state(action: EnforcementAction, running: set[int]) -> str:
    until = f" until {action.ends_at:%Y-%m-%d %H:%M} UTC" if action.pk in running and action.ends_at else ""
    interim = "interim, " if action.is_interim else ""
    return f"{interim}{action.get_state_display().lower()}{until}"
