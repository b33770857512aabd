"""Re-ratings in the admin: asked for with a preview of what they come to, decided by a second person, watched."""

from datetime import timedelta
from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import Model as AnyModel
from django.http import HttpRequest, HttpResponse
from unfold.contrib.filters.admin import AutocompleteSelectFilter, ChoicesDropdownFilter
from unfold.decorators import display

from accounts.admin import pages, panels
from accounts.admin.base import Endless, ReadOnlyAdmin
from accounts.admin.prefilled import initial_of
from accounts.admin.requests import actor_of, address_of
from billing.admin.prices import in_words
from billing.admin.rerating_forms import AskForm, lines_of, previewed
from billing.admin.second_person import SecondPersonAdmin
from billing.models import RatingDelta, Rerating
from billing.services import rerating
from newapi.kernel import clock, money

State = Rerating.State
TONES = {State.WAITING: "warning", State.RUNNING: "info", State.DONE: "success", State.REJECTED: "danger"}


@admin.register(Rerating)
class ReratingAdmin(SecondPersonAdmin):
    """Adding is asking for one."""

    list_display = ("created_at", "model_name", "organisation_or_all", "state_label", "calls", "sum", "requested_by")
    list_select_related = ("wrong_price__model", "organisation", "requested_by")
    list_filter = (
        ("state", ChoicesDropdownFilter),
        ("wrong_price__model", AutocompleteSelectFilter),
        ("organisation", AutocompleteSelectFilter),
    )
    search_fields = ("wrong_price__model__name", "organisation__name", "reason", "requested_by__email")
    search_help_text = "Model, organisation, reason or who asked"
    fieldsets = (
        (None, {"fields": ("state_label", "model_name", "organisation_or_all", "since", "until", "reason")}),
        ("The prices", {"fields": ("wrong_price", "wrong_rates", "right_price", "right_rates")}),
        ("What it came to", {"fields": ("calls", "sum")}),
        ("Who did what", {"fields": ("requested_by", "created_at", "decided_by", "done_at")}),
    )
    approved_text = "Approved. It runs within half a minute."

    def has_add_permission(self, request: HttpRequest, obj: AnyModel | None = None) -> bool:
        """Who may ask."""
        return request.user.has_perm("billing.add_rerating")

    @display(description="Model", ordering="wrong_price__model__name")
    def model_name(self, of: Rerating) -> str:
        """Whose price was wrong."""
        return f"{of.wrong_price.model} in {of.wrong_price.currency}"

    @display(description="Organisation")
    def organisation_or_all(self, of: Rerating) -> str:
        """Whose calls."""
        return str(of.organisation or "all")

    @display(description="State", label={state.label: tone for state, tone in TONES.items()}, ordering="state")
    def state_label(self, of: Rerating) -> str:
        """As a label."""
        return of.get_state_display()

    @display(description="Calls rated", ordering="rows_seen")
    def calls(self, of: Rerating) -> str:
        """So far."""
        return f"{of.rows_seen:,}"

    @display(description="Charged in addition", ordering="delta_nano")
    def sum(self, of: Rerating) -> str:
        """So far; below zero: given back."""
        return money.display(of.delta_nano, of.wrong_price.currency)

    @display(description="Its rates")
    def wrong_rates(self, of: Rerating) -> str:
        """In a line."""
        return in_words(of.wrong_price)

    @display(description="Its rates")
    def right_rates(self, of: Rerating) -> str:
        """In a line."""
        return in_words(of.right_price)

    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Say what was wrong, look at what it comes to, ask."""
        if not self.has_add_permission(request):
            raise PermissionDenied
        now = clock.now().replace(second=0, microsecond=0)
        initial = {"since": now - timedelta(days=1), "until": now - timedelta(hours=2), **initial_of(request, AskForm)}
        form = AskForm(pages.data_of(request), initial=initial)
        is_preview = "_preview" in request.POST
        lines = previewed(form) if is_preview and form.is_valid() else []

        def act(data: dict[str, Any]) -> HttpResponse:
            made = rerating.request(
                **form.order(), actor=actor_of(request), reason=data["reason"], address=address_of(request)
            )
            return pages.done(request, "Asked for. Somebody else has to approve it.", made)

        return pages.form_page(
            self,
            request,
            title="Rate usage again",
            intro="Calls that were charged at a wrong price are charged what they should have been, as a difference in "
            "their organisations' wallets. Their records stay as they were. A second person has to approve it.",
            form=form,
            submit="Ask for it",
            act=act,
            is_final=not is_preview,
            template="admin/rerating_ask.html",
            context={"lines": lines},
        )

    def question(self, obj: Rerating) -> tuple[str, str]:
        """The model; who asked why, for which calls, and both prices."""
        return (
            f"rate calls of {self.model_name(obj)} again",
            f"Asked for by {obj.requested_by or 'the platform'} on {obj.created_at:%-d %B %Y}: “{obj.reason}”. "
            f"Calls of {self.organisation_or_all(obj)} from {obj.since:%Y-%m-%d %H:%M} UTC "
            f"until {obj.until:%Y-%m-%d %H:%M} UTC, "
            f"at {in_words(obj.right_price)} instead of {in_words(obj.wrong_price)}.",
        )

    def decide(self, obj: Rerating, *, is_approved: bool, **told: Any) -> Rerating:
        """Let it run, or lapse."""
        service = rerating.approve if is_approved else rerating.reject
        return service(of=obj, **told)


@panels.on(Rerating)
def what_it_would_come_to(request: HttpRequest, obj: AnyModel) -> panels.Panel | None:
    """Worked out while it waits, for whoever decides; afterwards the way to each call."""
    assert isinstance(obj, Rerating)
    if obj.state in (State.RUNNING, State.DONE) and request.user.has_perm("billing.view_ratingdelta"):
        url = pages.list_url(RatingDelta, rerating__id__exact=obj.pk)
        link = panels.Link("What each call's new rating came to", url)
        return panels.Panel(title="The calls", links=(link,))
    if obj.state != State.WAITING:
        return None
    told = rerating.estimate(obj)
    tone = "warning" if told.nano > 0 else "info"
    return panels.Panel(
        title="What it would come to now", lines=tuple(lines_of(told, obj.wrong_price.currency)), tone=tone
    )


@admin.register(RatingDelta)
class RatingDeltaAdmin(Endless, ReadOnlyAdmin):
    """What each call's new rating came to."""

    list_display = ("usage", "organisation", "before", "after", "difference", "rerating")
    list_select_related = ("organisation", "rerating__wrong_price")
    list_filter = (("organisation", AutocompleteSelectFilter), ("rerating", AutocompleteSelectFilter))
    search_fields = ("usage__exact", "organisation__name")
    search_help_text = "The call's id, or its organisation"
    ordering = ("-id",)
    fields = ("rerating", "usage", "organisation", "before", "after", "difference", "transaction")

    @display(description="Charged before")
    def before(self, delta: RatingDelta) -> str:
        """With what earlier re-ratings made of it."""
        return money.display(delta.before_nano, delta.rerating.wrong_price.currency)

    @display(description="Charged now")
    def after(self, delta: RatingDelta) -> str:
        """At the right price."""
        return money.display(delta.after_nano, delta.rerating.wrong_price.currency)

    @display(description="Difference")
    def difference(self, delta: RatingDelta) -> str:
        """What was booked of it."""
        return money.display(delta.after_nano - delta.before_nano, delta.rerating.wrong_price.currency)
