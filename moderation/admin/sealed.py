"""Unsealing: asked for, granted by another, refused, ended; and every look at a sealed case."""

from typing import Any

from django import forms
from django.contrib import admin
from django.core.exceptions import PermissionDenied, ValidationError
from django.db.models import Model
from django.http import HttpRequest, HttpResponse
from unfold.contrib.filters.admin import AutocompleteSelectFilter, BooleanRadioFilter, RangeDateTimeFilter
from unfold.decorators import action, display
from unfold.enums import ActionVariant

from accounts.admin import exports, pages
from accounts.admin.act_pages import ActPages
from accounts.admin.base import Endless, ReadOnlyAdmin
from accounts.admin.reasons import ReasonedForm
from accounts.admin.requests import actor_of, address_of
from moderation import permissions
from moderation.admin.sealing import enter
from moderation.models import Case, SealedLook, Unsealing
from moderation.services import sealed
from newapi.kernel import clock

# It may tell of what is in the case.
exports.keep_back(Unsealing, "reason")
_STATE = {"Asked": "warning", "Holds": "danger", "Over": None, "Refused": None, "Lapsed": None}


class WhichForm(forms.Form):
    """`?case=7`, as the way here says it."""

    case = forms.ModelChoiceField(Case.objects.select_related("category"))


class GrantForm(ReasonedForm):
    """For how long."""

    hours = forms.IntegerField(
        label="Hours",
        min_value=1,
        max_value=sealed.HOURS_MAX,
        initial=sealed.HOURS_DEFAULT,
        help_text=f"From now, at most {sealed.HOURS_MAX}. Then the case is sealed for this person again.",
    )


@admin.register(Unsealing)
class UnsealingAdmin(ActPages):
    """Who may read which sealed case until when. Why, is shown to the child-safety team only."""

    list_display = ("case", "standing", "asked_by", "asked_at", "granted_by", "ends_at")
    list_select_related = ("case__category", "asked_by", "granted_by")
    list_filter = (("asked_by", AutocompleteSelectFilter), ("asked_at", RangeDateTimeFilter))
    search_fields = ("asked_by__email",)
    search_help_text = "E-mail of who asked"
    actions_detail = ("grant", "refuse", "end")

    def get_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        """The reason may tell of the case, so that it is for those who may know of it."""
        rest = ("case", "standing_text", "asked_by", "asked_at", "granted_by", "granted_at", "refused_at", "ends_at")
        return (*rest, "reason") if self._is_granted(request) else rest

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """The child-safety team, and whoever may look at this record."""
        return super().has_view_permission(request, obj) or self._is_granted(request)

    def has_add_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """Asking."""
        return self._is_granted(request)

    def has_answer_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Granting and refusing."""
        return self._is_granted(request)

    def fitting(self, request: HttpRequest, obj: Unsealing) -> frozenset[str]:
        """By how it stands; nobody grants their own."""
        standing = _standing(obj)
        own = obj.asked_by_id == request.user.pk
        acts = {"Asked": {"refuse"} if own else {"grant", "refuse"}, "Holds": {"end"}}
        return frozenset(acts.get(standing, ()))

    @display(description="State", label=_STATE)
    def standing(self, unsealing: Unsealing) -> str:
        """Of this moment."""
        return _standing(unsealing)

    @display(description="State")
    def standing_text(self, unsealing: Unsealing) -> str:
        """Of this moment."""
        return _standing(unsealing)

    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Ask to read one case; the way here is its own page."""
        if not self.has_add_permission(request):
            raise PermissionDenied
        which = WhichForm(request.GET)
        case: Case | None = which.cleaned_data["case"] if which.is_valid() else None
        if case is None:
            return pages.done(request, "Open the case, and ask from there.", pages.list_url(Case))
        enter(request, case, reads=False)

        def act(data: dict[str, Any]) -> HttpResponse:
            asked = sealed.ask(case=case, actor=actor_of(request), reason=data["reason"], address=address_of(request))
            return pages.done(request, "Asked. Your colleagues are told; one of them must agree.", asked)

        return pages.form_page(
            self,
            request,
            title=f"Ask to read {case.reference}",
            intro="A colleague of the child-safety team must agree. It ends after hours, and every look is recorded.",
            form=ReasonedForm(pages.data_of(request)),
            submit="Ask",
            act=act,
        )

    @action(description="Let them read it", icon="lock_open", permissions=["answer"], variant=ActionVariant.PRIMARY)
    def grant(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """For some hours."""

        def act(unsealing: Unsealing, data: dict[str, Any]) -> HttpResponse:
            sealed.grant(unsealing=unsealing, actor=actor_of(request), address=address_of(request), **data)
            return pages.done(
                request,
                f"{unsealing.asked_by} may read {unsealing.case.reference} until {unsealing.ends_at:%H:%M} UTC.",
                unsealing,
            )

        return self.act_page(
            request,
            object_id,
            verb="Let them read",
            intro="They see what is in the case until the hours are over. Both of you are on record.",
            form=lambda unsealing: GrantForm(pages.data_of(request)),
            act=act,
        )

    @action(description="Refuse", icon="close", permissions=["answer"])
    def refuse(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Or take back what one has asked."""

        def do(unsealing: Unsealing, reason: str) -> None:
            sealed.refuse(unsealing=unsealing, actor=actor_of(request), reason=reason, address=address_of(request))

        return self.reason_page(
            request, object_id, verb="Refuse", do=do, said=lambda one: f"{one.case.reference}: refused."
        )

    @action(description="Seal again", icon="lock", permissions=["answer"], variant=ActionVariant.DANGER)
    def end(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Before the hours are over."""

        def do(unsealing: Unsealing, reason: str) -> None:
            told: dict[str, Any] = {"actor": actor_of(request), "reason": reason, "address": address_of(request)}
            if not sealed.end(unsealing=unsealing, **told):
                raise ValidationError("It was over already.")

        return self.reason_page(
            request,
            object_id,
            verb="Seal again",
            do=do,
            said=lambda one: f"{one.case.reference} is sealed again.",
            is_danger=True,
        )

    def _is_granted(self, request: HttpRequest) -> bool:
        return permissions.is_granted(actor_of(request), permissions.VIEW_SEALED)


@admin.register(SealedLook)
class SealedLookAdmin(Endless, ReadOnlyAdmin):
    """Every look at a sealed case, and every one that was refused. The database refuses any change."""

    ordering = ("-at", "-id")
    list_display = ("at", "case", "user", "what", "was_allowed", "address")
    list_select_related = ("case__category", "user")
    list_filter = (
        ("was_allowed", BooleanRadioFilter),
        ("user", AutocompleteSelectFilter),
        ("at", RangeDateTimeFilter),
    )
    search_fields = ("user__email",)
    search_help_text = "E-mail of who looked"
    fields = ("at", "case", "user", "what", "was_allowed", "address")


def _standing(unsealing: Unsealing) -> str:
    now = clock.now()
    if unsealing.refused_at is not None:
        return "Refused"
    if unsealing.ends_at is not None:
        return "Holds" if now < unsealing.ends_at else "Over"
    return "Asked" if now < unsealing.asked_at + sealed.ASK_HOLDS else "Lapsed"
