"""Detectors: their rules in force, what each has noticed, and a page that publishes the next version."""

from datetime import timedelta
from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import Count, IntegerField, Model, OuterRef, Q, QuerySet, Subquery
from django.db.models.functions import Coalesce
from django.http import HttpRequest, HttpResponse
from unfold.contrib.filters.admin import ChoicesDropdownFilter
from unfold.decorators import action, display
from unfold.enums import ActionVariant

from accounts.admin import pages, panels
from accounts.admin.base import ReadOnlyAdmin
from accounts.admin.requests import actor_of, address_of
from moderation import permissions
from moderation.admin.detector_forms import VersionForm
from moderation.detection import newest
from moderation.detectors.table import DETECTORS
from moderation.models import DetectorRule, Signal
from moderation.services import detector_rules
from newapi.kernel import clock

MODES = {"Off": None, "Shadow": "info", "Signal": "warning", "Block": "danger"}
VERSIONS_SHOWN_MAX = 20


@admin.register(DetectorRule)
class DetectorRuleAdmin(ReadOnlyAdmin):
    """One line a detector, by the version that counts. A version never changes; a new one takes its place."""

    list_display = ("name", "mode_label", "current", "category_code", "last_day", "last_month", "in_shadow",
                    "false_positives", "author")  # fmt: skip
    list_select_related = ("category", "author")
    list_filter = (("mode", ChoicesDropdownFilter),)
    search_fields = ("detector", "note", "category__code")
    search_help_text = "Detector, note or policy code"
    ordering = ("detector",)
    sortable_by = ()
    fields = ("detector", "words", "version", "state", "mode", "category", "note", "author", "created_at")
    actions_detail = ("new_version",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[DetectorRule]:
        """The list shows each detector once, with what all its versions have noticed."""
        rules = super().get_queryset(request)
        match = request.resolver_match
        if match is None or not (match.url_name or "").endswith("_changelist"):
            return rules
        now = clock.now()
        day, month = Q(last_at__gt=now - timedelta(days=1)), Q(last_at__gt=now - timedelta(days=30))
        return newest(rules).annotate(
            signals_day=_count(day, is_shadow=False),
            signals_month=_count(month, is_shadow=False),
            shadow_month=_count(month, is_shadow=True),
            false_month=_count(month, verdict=Signal.Verdict.FALSE_POSITIVE),
            judged_month=_count(month & ~Q(verdict=Signal.Verdict.OPEN)),
        )

    def has_publish_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Who may publish versions."""
        return request.user.has_perm(permissions.PUBLISH_DETECTOR)

    @display(description="Detector")
    def name(self, rule: DetectorRule) -> str:
        """In words."""
        return rule.get_detector_display()

    @display(description="Mode", label=MODES)
    def mode_label(self, rule: DetectorRule) -> str:
        """What it does when it trips."""
        return rule.mode.capitalize()

    @display(description="Version")
    def current(self, rule: DetectorRule) -> str:
        """The one that counts."""
        return f"v{rule.version}"

    @display(description="Category")
    def category_code(self, rule: DetectorRule) -> str:
        """By its code."""
        return rule.category.code

    @display(description="24 h")
    def last_day(self, rule: Any) -> int:
        """With effect."""
        return int(rule.signals_day)

    @display(description="30 d")
    def last_month(self, rule: Any) -> int:
        """With effect."""
        return int(rule.signals_month)

    @display(description="Shadow, 30 d")
    def in_shadow(self, rule: Any) -> int:
        """Without effect."""
        return int(rule.shadow_month)

    @display(description="False positives")
    def false_positives(self, rule: Any) -> str:
        """Of those that a person has judged, 30 days."""
        return share(rule.false_month, rule.judged_month)

    @display(description="Looks for")
    def words(self, rule: DetectorRule) -> str:
        """What the detector is for."""
        return DETECTORS[rule.detector].words

    @display(description="State")
    def state(self, rule: DetectorRule) -> str:
        """Whether it is the version that counts."""
        later = DetectorRule.objects.filter(detector=rule.detector, version__gt=rule.version)
        following = later.order_by("version").first()
        return f"replaced by v{following.version}" if following else "in force"

    @action(description="New version", icon="edit", permissions=["publish"], variant=ActionVariant.PRIMARY)
    def new_version(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Publish the next version, starting from the one that counts."""
        shown: DetectorRule = self.object_or_404(request, object_id)
        if not self.has_view_permission(request, shown):
            raise PermissionDenied
        rule = DetectorRule.objects.select_related("category").filter(detector=shown.detector).latest("version")
        form = VersionForm(pages.data_of(request), rule=rule)

        def act(data: dict[str, Any]) -> HttpResponse:
            made = detector_rules.publish(
                detector=rule.detector, **form.order(), actor=actor_of(request), address=address_of(request)
            )
            return pages.done(request, f"Published: {made}, {made.get_mode_display().lower()}.", made)

        return pages.form_page(
            self,
            request,
            title=f"New version: {rule.get_detector_display()}",
            intro=f"{DETECTORS[rule.detector].words} What is filled in is v{rule.version}, which counts now. "
            "A published version never changes.",
            form=form,
            submit="Publish",
            act=act,
            obj=rule,
        )


@panels.on(DetectorRule)
def looks_for(request: HttpRequest, obj: Model) -> panels.Panel | None:
    """The version's numbers and phrases."""
    assert isinstance(obj, DetectorRule)
    detector = DETECTORS[obj.detector]
    now = detector.defaults() | obj.parameters
    lines = tuple((one.label, one.shown(now[one.name])) for one in detector.parameters)
    return panels.Panel(title="Trips at", lines=lines, note=obj.mode, tone=MODES[obj.mode.capitalize()] or "info")


@panels.on(DetectorRule)
def versions_of(request: HttpRequest, obj: Model) -> panels.Panel | None:
    """The detector's history, newest first, with what each version has noticed and how often that was mistaken."""
    assert isinstance(obj, DetectorRule)
    same = DetectorRule.objects.filter(detector=obj.detector).select_related("author").order_by("-version")
    counted = same.annotate(
        noticed=Count("signals"),
        mistaken=Count("signals", filter=Q(signals__verdict=Signal.Verdict.FALSE_POSITIVE)),
        judged=Count("signals", filter=~Q(signals__verdict=Signal.Verdict.OPEN)),
    )[:VERSIONS_SHOWN_MAX]
    lines = tuple((f"v{rule.version}, {rule.mode}", _history(rule)) for rule in counted)
    links = [panels.Link(f"v{rule.version}", pages.object_url(rule), "history") for rule in counted if rule != obj]
    if request.user.has_perm("moderation.view_signal"):
        signals = pages.list_url(Signal, detector=obj.detector)
        links.insert(0, panels.Link("Signals of the detector", signals, "sensors"))
    return panels.Panel(title="Versions", lines=lines, links=tuple(links))


def share(part: int, whole: int) -> str:
    """Such as `25 % of 8`; a dash when nothing was judged."""
    return f"{part * 100 // whole} % of {whole}" if whole else "–"


def _history(rule: Any) -> str:
    who = rule.author or "the house"
    found = f"signals: {rule.noticed}, false positives: {share(rule.mistaken, rule.judged)}"
    return f"{rule.created_at:%Y-%m-%d %H:%M} by {who}: {rule.note} ({found})"


def _count(condition: Q, **fields: Any) -> Coalesce:
    """Signals of all versions of the row's detector."""
    found = Signal.objects.filter(condition, rule__detector=OuterRef("detector"), **fields)
    counted = found.order_by().values("rule__detector").annotate(n=Count("pk")).values("n")
    return Coalesce(Subquery(counted, output_field=IntegerField()), 0)
