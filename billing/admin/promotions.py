"""Promotions: handed in, reviewed by somebody else, stopped; nothing of them is edited. What they gave is listed."""

from typing import Any

from django import forms
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import F, Q, QuerySet
from django.db.models import Model as AnyModel
from django.http import HttpRequest, HttpResponse
from unfold.contrib.filters.admin import (
    AutocompleteSelectFilter,
    ChoicesDropdownFilter,
    DropdownFilter,
    RangeDateTimeFilter,
)
from unfold.decorators import action, display
from unfold.enums import ActionVariant

from accounts.admin import pages, panels
from accounts.admin.base import ReadOnlyAdmin
from accounts.admin.prefilled import initial_of
from accounts.admin.reasons import ReasonedForm
from accounts.admin.requests import actor_of, address_of
from billing.admin.promotion_forms import ReviewForm, SubmitForm
from billing.models import Promotion, PromotionUse
from billing.services import promotion_rules, promotions
from newapi.kernel import clock, money

_STATE = {
    "Waits for review": "warning",
    "To come": "info",
    "Runs": "success",
    "Used up": "warning",
    "Over": None,
    "Stopped": "danger",
}
_ENDED = ("Over", "Stopped")


class StandingFilter(DropdownFilter):
    """As the list shows it: judged by the clock."""

    title = "state"
    parameter_name = "standing"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """The choices."""
        return [(word.lower().replace(" ", "_"), word) for word in _STATE]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Promotion]) -> QuerySet[Promotion]:
        """Only promotions in that state."""
        now = clock.now()
        ended, used_up = Q(stopped_at=None, ends_at__lte=now), Q(given_nano__gte=F("budget_nano"))
        waits = Q(stopped_at=None, reviewed_at=None, ends_at__gt=now)
        wanted = {
            "waits_for_review": waits,
            "to_come": Q(stopped_at=None, reviewed_at__isnull=False, starts_at__gt=now),
            "runs": promotion_rules.in_force() & ~used_up,
            "used_up": promotion_rules.in_force() & used_up,
            "over": ended,
            "stopped": Q(stopped_at__isnull=False),
        }
        return queryset.filter(wanted[self.value()]) if self.value() in wanted else queryset


@admin.register(Promotion)
class PromotionAdmin(ReadOnlyAdmin):
    """Adding is handing in for review; another person reviews."""

    list_display = ("name", "state_label", "kind", "gives", "starts_at", "ends_at", "given", "budget")
    list_filter = (StandingFilter, ("kind", ChoicesDropdownFilter), "currency", ("starts_at", RangeDateTimeFilter))
    ordering = ("-starts_at",)
    search_fields = ("name", "review_document")
    search_help_text = "Name or review"
    date_hierarchy = "starts_at"
    fields = (
        "name", "state_text", "kind", "gives", "starts_at", "ends_at", "countries_text", "times_per_organisation",
        "grant_days", "budget", "given", "submitted_by", "created_at", "reviewed_by", "reviewed_at", "review_document",
        "stopped_at",
    )  # fmt: skip
    actions_detail = ("review", "stop")

    def has_add_permission(self, request: HttpRequest, obj: AnyModel | None = None) -> bool:
        """Handing in."""
        return request.user.has_perm("billing.add_promotion")

    def has_decide_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Who may review and stop."""
        return request.user.has_perm("billing.change_promotion")

    @display(description="State", label=_STATE)
    def state_label(self, promotion: Promotion) -> str:
        """Of this moment."""
        return promotion_rules.standing(promotion)

    @display(description="State")
    def state_text(self, promotion: Promotion) -> str:
        """Of this moment."""
        return promotion_rules.standing(promotion)

    @display(description="Gives")
    def gives(self, promotion: Promotion) -> str:
        """In a line."""
        if promotion.kind == Promotion.Kind.TOP_UP:
            return f"{promotion.bonus_percent} % of what is paid in {promotion.currency}"
        if promotion.kind == Promotion.Kind.CODES:
            return f"what its codes say, in {promotion.currency}"
        sides = (money.display(nano, promotion.currency) for nano in (promotion.inviter_nano, promotion.invitee_nano))
        return "{} to who invites, {} to who is invited".format(*sides)

    @display(description="Countries")
    def countries_text(self, promotion: Promotion) -> str:
        """By code."""
        return ", ".join(promotion.countries) or "all"

    @display(description="Budget", ordering="budget_nano")
    def budget(self, promotion: Promotion) -> str:
        """The most that it gives."""
        return money.display(promotion.budget_nano, promotion.currency)

    @display(description="Given", ordering="given_nano")
    def given(self, promotion: Promotion) -> str:
        """So far."""
        return money.display(promotion.given_nano, promotion.currency)

    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Hand in."""
        if not self.has_add_permission(request):
            raise PermissionDenied

        def act(data: dict[str, Any]) -> HttpResponse:
            made = promotions.submit(**data, actor=actor_of(request), address=address_of(request))
            return pages.done(request, "Handed in. It gives nothing until a colleague has reviewed it.", made)

        return pages.form_page(
            self,
            request,
            title="Hand in a promotion",
            intro="It runs after somebody else has entered its legal review, and never changes after this page.",
            form=SubmitForm(pages.data_of(request), initial=initial_of(request, SubmitForm)),
            submit="Hand in",
            act=act,
        )

    def get_actions_detail(self, request: HttpRequest, object_id: Any) -> list[Any]:
        """Only what can be done with it as it stands, by this person."""
        promotion = self.get_object(request, object_id)
        if promotion is None:
            return []
        standing = promotion_rules.standing(promotion)
        may_review = standing == "Waits for review" and promotion.submitted_by_id != request.user.pk
        possible = {"review": may_review, "stop": standing not in _ENDED}
        allowed = super().get_actions_detail(request, object_id)
        return [found for found in allowed if possible.get(found.path, True)]

    @action(description="Enter the legal review", icon="gavel", permissions=["decide"], variant=ActionVariant.PRIMARY)
    def review(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Let it run."""
        promotion = self._promotion(request, object_id)

        def act(data: dict[str, Any]) -> HttpResponse:
            promotions.review(promotion=promotion, **data, actor=actor_of(request), address=address_of(request))
            return pages.done(request, "Reviewed. It runs from its start on.", promotion)

        return self._page(request, promotion, "Enter the legal review", ReviewForm(pages.data_of(request)), act)

    @action(description="Stop", icon="block", permissions=["decide"], variant=ActionVariant.DANGER)
    def stop(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """End it before its time."""
        promotion = self._promotion(request, object_id)

        def act(data: dict[str, Any]) -> HttpResponse:
            promotions.stop(promotion=promotion, **data, actor=actor_of(request), address=address_of(request))
            return pages.done(request, "Stopped. It gives nothing any more; what was given stays.", promotion)

        return self._page(request, promotion, "Stop", ReasonedForm(pages.data_of(request)), act, is_danger=True)

    def _promotion(self, request: HttpRequest, object_id: str) -> Promotion:
        promotion: Promotion = self.object_or_404(request, object_id)
        if not self.has_view_permission(request, promotion):
            raise PermissionDenied
        return promotion

    def _page(
        self,
        request: HttpRequest,
        promotion: Promotion,
        verb: str,
        form: forms.Form,
        act: pages.Act,
        *,
        is_danger: bool = False,
    ) -> HttpResponse:
        dates = f"from {promotion.starts_at:%Y-%m-%d %H:%M} until {promotion.ends_at:%Y-%m-%d %H:%M} UTC"
        return pages.form_page(
            self,
            request,
            title=f"{verb}: {promotion}",
            intro=f"{promotion.get_kind_display()}: {self.gives(promotion)}; {dates}; "
            f"at most {self.budget(promotion)}; countries: {self.countries_text(promotion)}.",
            form=form,
            submit=verb,
            act=act,
            obj=promotion,
            is_danger=is_danger,
        )


@admin.register(PromotionUse)
class PromotionUseAdmin(ReadOnlyAdmin):
    """Who gained what by which promotion. The database refuses any change to it."""

    list_display = ("at", "promotion", "organisation", "number", "amount")
    list_select_related = ("promotion", "organisation")
    list_filter = (
        ("promotion", AutocompleteSelectFilter),
        ("organisation", AutocompleteSelectFilter),
        ("at", RangeDateTimeFilter),
    )
    search_fields = ("promotion__name", "organisation__name", "organisation__slug")
    search_help_text = "Promotion or organisation"
    fields = ("promotion", "organisation", "number", "amount", "transaction", "at")

    @display(description="Amount", ordering="nano")
    def amount(self, use: PromotionUse) -> str:
        """In the promotion's currency."""
        return money.display(use.nano, use.promotion.currency)


@panels.on(Promotion)
def uses_of(request: HttpRequest, obj: AnyModel) -> panels.Panel | None:
    """The way to what it gave, and what it waits for."""
    assert isinstance(obj, Promotion)
    waits = promotion_rules.standing(obj) == "Waits for review"
    is_own = waits and obj.submitted_by_id == request.user.pk
    links: tuple[panels.Link, ...] = ()
    if request.user.has_perm("billing.view_promotionuse"):
        url = pages.list_url(PromotionUse, promotion__id__exact=obj.pk)
        links = (panels.Link("What it gave", url, "redeem"),)
    lines = [("Left of the budget", money.display(obj.budget_nano - obj.given_nano, obj.currency))]
    if waits:
        who = "somebody else, because you handed it in yourself" if is_own else "somebody who has not handed it in"
        lines.insert(0, ("Has to be reviewed by", who))
    return panels.Panel(
        title="Promotion",
        note="waits for review" if waits else "",
        tone="warning" if waits else "info",
        lines=tuple(lines),
        links=links,
    )
