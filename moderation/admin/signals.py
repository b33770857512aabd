"""Signals: what detectors and upstreams noticed, judged by people. A pattern of them opens a case."""

from typing import Any
from urllib.parse import urlencode

from django.contrib import admin
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from unfold.contrib.filters.admin import (
    AutocompleteSelectFilter,
    BooleanRadioFilter,
    ChoicesDropdownFilter,
    DropdownFilter,
    RangeDateTimeFilter,
)
from unfold.decorators import action, display
from unfold.enums import ActionVariant

from accounts.admin.requests import actor_of, address_of
from moderation import permissions
from moderation.admin.act_pages import CaseActPages
from moderation.models import Case, DetectorRule, Signal
from moderation.selectors import without_sealed
from moderation.services import signals

_VERDICTS = {"Not looked at": "warning", "Confirmed": "danger", "False positive": "success"}
_Verdict = Signal.Verdict


class DetectorFilter(DropdownFilter):
    """By the detector, whatever its version."""

    title = "detector"
    parameter_name = "detector"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """The choices."""
        return [(str(value), str(label)) for value, label in DetectorRule.Detector.choices]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Signal]) -> QuerySet[Signal]:
        """Only signals of that detector."""
        known = self.value() in DetectorRule.Detector.values
        return queryset.filter(rule__detector=self.value()) if known else queryset


@admin.register(Signal)
class SignalAdmin(CaseActPages):
    """Nobody adds or edits a signal; a person says whether it was right."""

    list_display = (
        "category_code",
        "noticed_by",
        "organisation",
        "about",
        "times",
        "effect",
        "verdict_label",
        "last_at",
    )
    list_display_links = ("category_code", "noticed_by")
    list_select_related = ("category", "rule", "organisation", "api_key", "user")
    list_filter = (
        ("verdict", ChoicesDropdownFilter),
        DetectorFilter,
        ("source", ChoicesDropdownFilter),
        ("is_shadow", BooleanRadioFilter),
        ("category", AutocompleteSelectFilter),
        ("organisation", AutocompleteSelectFilter),
        ("last_at", RangeDateTimeFilter),
    )
    search_fields = ("organisation__name", "category__code", "api_key__name", "user__email")
    search_help_text = "Organisation, policy code, key or person"
    date_hierarchy = "last_at"
    fields = ("organisation", "api_key", "user", "category", "noticed_by", "effect_text", "times", "first_at",
              "last_at", "verdict_text", "verdict_by", "verdict_at", "case")  # fmt: skip
    actions_detail = ("confirm", "mistaken", "open_case")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Signal]:
        """Without those of sealed categories, for whom they are sealed."""
        return without_sealed(super().get_queryset(request), actor_of(request))

    def has_judge_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Who may say whether a signal was right."""
        return request.user.has_perm(permissions.JUDGE_SIGNAL)

    def has_open_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Who may open cases."""
        return permissions.may(actor_of(request), permissions.OPEN)

    @display(description="Category", ordering="category__code")
    def category_code(self, signal: Signal) -> str:
        """By its code."""
        return signal.category.code

    @display(description="Noticed by")
    def noticed_by(self, signal: Signal) -> str:
        """The detector and its version, or an upstream's filter."""
        return str(signal.rule) if signal.rule else signal.get_source_display()

    @display(description="About")
    def about(self, signal: Signal) -> str:
        """The key, or the person whose keys it was."""
        return str(signal.api_key or signal.user or "–")

    @display(description="Count", ordering="count")
    def times(self, signal: Signal) -> str:
        """How often in its window."""
        return f"{signal.count:,}"

    @display(description="Effect", label={"Shadow": "info", "Signal": "warning"})
    def effect(self, signal: Signal) -> str:
        """Whether its rule was in shadow mode."""
        return "Shadow" if signal.is_shadow else "Signal"

    @display(description="Effect")
    def effect_text(self, signal: Signal) -> str:
        """In words."""
        if signal.is_shadow:
            return "none: the rule was in shadow mode"
        return "counts towards a throttle of the key" if signal.rule and signal.api_key else "for people to look at"

    @display(description="Verdict", label=_VERDICTS, ordering="verdict")
    def verdict_label(self, signal: Signal) -> str:
        """What a person said of it."""
        return signal.get_verdict_display()

    @display(description="Verdict")
    def verdict_text(self, signal: Signal) -> str:
        """What a person said of it."""
        return signal.get_verdict_display()

    def fitting(self, request: HttpRequest, obj: Signal) -> frozenset[str]:
        """Only what would change something."""
        done = {_Verdict.CONFIRMED: "confirm", _Verdict.FALSE_POSITIVE: "mistaken"}.get(_Verdict(obj.verdict))
        return frozenset(self.actions_detail) - {done}

    @action(description="Confirm", icon="check", permissions=["judge"], variant=ActionVariant.PRIMARY)
    def confirm(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """It was right."""
        intro = "It was right. It goes to a case within a minute, a new one if there is none. Nobody is restricted."
        return self._judge(request, object_id, _Verdict.CONFIRMED, "Confirm", intro)

    @action(description="False positive", icon="close", permissions=["judge"])
    def mistaken(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """It was not."""
        intro = "It was mistaken, and counts towards no throttle. One that runs already is lifted by an act of its own."
        return self._judge(request, object_id, _Verdict.FALSE_POSITIVE, "False positive", intro)

    @action(description="Open a case", icon="gavel", permissions=["open"])
    def open_case(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """The form of a new case, with what the signal knows filled in."""
        signal = self.acted_on(request, object_id)
        about = f"{self.noticed_by(signal)}: {self.about(signal)}, {signal.count:,} times"
        initial = {
            "organisation": signal.organisation_id,
            "category": signal.category_id,
            "source": Case.Source.AUTOMATED,
            "summary": f"{about}, {signal.first_at:%Y-%m-%d %H:%M} to {signal.last_at:%Y-%m-%d %H:%M} UTC. "
            f"Signal {signal.pk}.",
        }
        return HttpResponseRedirect(f"{reverse('admin:moderation_case_add')}?{urlencode(initial)}")

    def _judge(
        self, request: HttpRequest, object_id: str, verdict: Signal.Verdict, what: str, intro: str
    ) -> HttpResponse:
        def do(signal: Signal, reason: str) -> None:
            words: dict[str, Any] = {"actor": actor_of(request), "reason": reason, "address": address_of(request)}
            if not signals.judge(signal=signal, verdict=verdict, **words):
                raise ValidationError("It says so already.")

        said = verdict.label.lower()
        return self.reason_page(
            request, object_id, verb=what, intro=intro, do=do, said=lambda signal: f"{signal}: {said}."
        )
