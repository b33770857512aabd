"""What signals have to say: on their own pages, and on those of organisations and keys."""

from django.db.models import Model
from django.http import HttpRequest

from accounts.admin import pages, panels
from accounts.admin.requests import actor_of
from accounts.models import APIKey, Organisation
from moderation.models import Signal
from moderation.selectors import without_sealed


@panels.on(Signal)
def what_was_counted(request: HttpRequest, obj: Model) -> panels.Panel | None:
    """The facts, which are numbers, and the calls to look at first."""
    assert isinstance(obj, Signal)
    lines = [(name.capitalize(), f"{value:,}") for name, value in obj.facts.items()]
    lines += [("Call", request_id) for request_id in obj.request_ids]
    return panels.Panel(title="What was counted", lines=tuple(lines))


@panels.on(Organisation)
@panels.on(APIKey)
def open_signals(request: HttpRequest, obj: Model) -> panels.Panel | None:
    """How many signals with effect nobody has looked at yet."""
    if not request.user.has_perm("moderation.view_signal"):
        return None
    name = "organisation" if isinstance(obj, Organisation) else "api_key"
    waiting = Signal.objects.filter(**{name: obj}, verdict=Signal.Verdict.OPEN, is_shadow=False)
    count = without_sealed(waiting, actor_of(request)).count()
    if not count:
        return None
    url = pages.list_url(Signal, **{f"{name}__id__exact": obj.pk, "verdict__exact": Signal.Verdict.OPEN})
    return panels.Panel(
        title="Signals",
        note=f"{count} not looked at",
        tone="warning",
        links=(panels.Link("Signals", url, "sensors"),),
    )
