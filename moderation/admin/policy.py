"""The taxonomy of acceptable use. Codes come from the source documents; a deployer may retire one, never rename it."""

from typing import Any

from django.contrib import admin
from django.core.exceptions import ValidationError
from django.db.models import Model
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from unfold.contrib.filters.admin import BooleanRadioFilter, ChoicesDropdownFilter
from unfold.decorators import action, display
from unfold.enums import ActionVariant

from accounts.admin import pages, panels
from accounts.admin.act_pages import ActPages
from accounts.admin.requests import actor_of
from moderation import permissions
from moderation.models import PolicyCategory, PolicyText
from moderation.services import policy

LEVEL_LABELS = {"L1": "danger", "L2": "warning", "L3": "info", "L4": None}


@admin.register(PolicyCategory)
class PolicyCategoryAdmin(ActPages):
    """To look at; what decisions cite stays as it was. Only retirement is left to the deployer, once and for good."""

    list_display = ("code", "name", "level_label", "policy_class", "pack", "dsa_category", "state")
    list_filter = (
        ("level", ChoicesDropdownFilter),
        ("policy_class", ChoicesDropdownFilter),
        ("pack", ChoicesDropdownFilter),
        ("is_sealed", BooleanRadioFilter),
        ("is_retired", BooleanRadioFilter),
    )
    search_fields = ("code", "name", "sources", "dsa_category")
    search_help_text = "Code, name, source or DSA category"
    fields = ("code", "name", "level", "level_note", "level_is_stated", "policy_class", "approval_rule", "is_sealed",
              "sources", "dsa_category", "pack", "pack_note", "is_retired")  # fmt: skip
    actions_detail = ("retire",)

    @display(description="Level", label=LEVEL_LABELS, ordering="level")
    def level_label(self, category: PolicyCategory) -> tuple[str, str]:
        """L1 is the worst."""
        return category.level, category.get_level_display()

    @display(description="State", label={"In force": "success", "Not in force here": None, "Retired": "danger"})
    def state(self, category: PolicyCategory) -> str:
        """Whether a new case may cite it."""
        if category.is_retired:
            return "Retired"
        return "In force" if category.is_in_force else "Not in force here"

    def get_search_results(self, request: HttpRequest, queryset: Any, search_term: str) -> tuple[Any, bool]:
        """Choices for new cases offer what is in force only."""
        results: tuple[Any, bool] = super().get_search_results(request, queryset, search_term)
        found, is_distinct = results
        if request.path.endswith("/autocomplete/"):
            found = found.in_force()
        return found, is_distinct

    def has_retire_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Whoever may change categories."""
        return permissions.may(actor_of(request), permissions.RETIRE_CATEGORY)

    def fitting(self, request: HttpRequest, obj: PolicyCategory) -> frozenset[str]:
        """Retired once."""
        return frozenset() if obj.is_retired else frozenset({"retire"})

    def in_title(self, obj: PolicyCategory) -> str:
        """By its code."""
        return obj.code

    @action(description="Retire", icon="archive", permissions=["retire"], variant=ActionVariant.DANGER)
    def retire(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Take it out of use for good."""

        def do(category: PolicyCategory, reason: str) -> None:
            if not policy.retire(category=category, actor=actor_of(request), reason=reason):
                raise ValidationError("It is retired already.")

        return self.reason_page(
            request,
            object_id,
            verb="Retire",
            intro="No new case, restriction or approval can cite it. Its code is never given again: this is for good.",
            do=do,
            said=lambda category: f"{category.code} is retired. What cites it stays as it is.",
            is_danger=True,
        )


@panels.on(PolicyCategory)
def text_of(request: HttpRequest, obj: Model) -> panels.Panel | None:
    """The text in force, what is to come, and the way to the next version."""
    assert isinstance(obj, PolicyCategory)
    if not request.user.has_perm("moderation.view_policytext"):
        return None
    now = policy.text_in_force(obj, policy.FALLBACK_LANGUAGE)
    languages = PolicyText.objects.filter(category=obj).order_by("language").values_list("language", flat=True)
    spoken = ", ".join(dict.fromkeys(languages)) or "none"
    lines = [("Text", now.text if now else "There is none: nothing can be decided on it."), ("Languages", spoken)]
    if now:
        lines.insert(1, ("Version", f"{now.version}, in force since {now.starts_at:%Y-%m-%d %H:%M} UTC"))
    forbidding = list(obj.forbidden_by.filter(binds=True))
    lines += [("Forbidden outright", str(document)) for document in forbidding]
    links = [panels.Link("All versions", pages.list_url(PolicyText, category__id__exact=obj.pk), "history")]
    if permissions.may(actor_of(request), permissions.PUBLISH_TEXT) and not obj.is_retired:
        url = f"{reverse('admin:moderation_policytext_add')}?category={obj.pk}&language={policy.FALLBACK_LANGUAGE}"
        links.insert(0, panels.Link("Publish a new version", url, "edit_note"))
    return panels.Panel(title="What everybody reads", lines=tuple(lines), links=tuple(links))
