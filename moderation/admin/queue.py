"""The reviewer's queue: cases whose next promise is due first, mine, nobody's or everybody's; worked by keyboard."""

from dataclasses import dataclass
from typing import Any

from django import forms
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.views.decorators.http import require_safe

from accounts.admin import pages
from accounts.admin.pages import object_url
from accounts.admin.reasons import PageForm
from accounts.admin.requests import actor_of
from accounts.models import User
from moderation import board, permissions
from moderation.admin import clocks
from moderation.admin.board import may_look
from moderation.admin.clocks import Reading
from moderation.models import Case, PolicyCategory
from moderation.models.policy import Level
from newapi.kernel import clock

ROWS_A_PAGE = 50
# Deeper than this nobody pages; filters lead there.
PAGES_MAX = 200
TABS = {"mine": "Mine", "nobody": "Nobody's", "all": "Everybody's"}


@dataclass(frozen=True, slots=True)
class Row:
    """A case with what its next promise says. `take_url` is empty where it cannot be assigned to oneself."""

    case: Case
    reading: Reading
    url: str
    take_url: str


class QueueForm(PageForm):
    """What to narrow the queue to."""

    level = forms.ChoiceField(label="Level", required=False, choices=[("", "All"), *Level.choices])
    state = forms.ChoiceField(
        label="State",
        required=False,
        choices=[("", "All"), *((state.value, state.label) for state in Case.UNDECIDED_STATES)],
    )
    category = forms.ChoiceField(label="Category", required=False)

    def __init__(self, request: HttpRequest) -> None:
        super().__init__(request.GET)
        field = self.fields["category"]
        assert isinstance(field, forms.ChoiceField)
        seen = PolicyCategory.objects.order_by("code")
        if not permissions.is_granted(actor_of(request), permissions.VIEW_SEALED):
            seen = seen.filter(is_sealed=False)
        field.choices = [("", "All"), *((category.code, str(category)) for category in seen)]


@require_safe
def show(request: HttpRequest) -> HttpResponse:
    """`…queue/?whose=mine|nobody|all&level=…&state=…&category=…&page=…`. Unknown values are ignored."""
    user = actor_of(request)
    if not may_look(user):
        raise PermissionDenied
    form = QueueForm(request)
    form.is_valid()
    asked = {name: form.cleaned_data.get(name, "") for name in form.fields}
    whose = request.GET.get("whose", "")
    whose = whose if whose in TABS else "mine"
    page = _page(request)
    start = (page - 1) * ROWS_A_PAGE
    found = list(board.queue(user, whose=whose, **asked)[start : start + ROWS_A_PAGE + 1])
    now = clock.now()
    may_take = permissions.may(user, permissions.ASSIGN, permissions.REVIEW)
    rows = [
        Row(sla.case, clocks.read(sla, now), object_url(sla.case), _take_url(sla.case, user) if may_take else "")
        for sla in found[:ROWS_A_PAGE]
    ]
    query = request.GET.copy()
    query.pop("page", None)
    context: dict[str, Any] = {
        **admin.site.each_context(request),
        "title": "Queue",
        "form": form,
        "rows": rows,
        "whose": whose,
        "tabs": _tabs(request, whose),
        "page": page,
        "has_next": len(found) > ROWS_A_PAGE and page < PAGES_MAX,
        "query": query.urlencode(),
        "is_narrowed": any(asked.values()),
        "outdated": board.outdated(),
        "board_url": reverse("admin:moderation_board"),
    }
    return TemplateResponse(request, "admin/moderation/queue.html", context, headers={"Cache-Control": "no-store"})


def _take_url(case: Case, user: User) -> str:
    """The act that assigns it, offering oneself."""
    return reverse("admin:moderation_case_assign", args=[case.pk]) if case.assignee_id != user.pk else ""


def _tabs(request: HttpRequest, whose: str) -> list[dict[str, Any]]:
    found = []
    for name, title in TABS.items():
        query = request.GET.copy()
        query.pop("page", None)
        query["whose"] = name
        found.append({"title": title, "url": f"?{query.urlencode()}", "is_active": name == whose})
    return found


def _page(request: HttpRequest) -> int:
    asked = request.GET.get("page", "")
    is_number = asked.isascii() and asked.isdigit() and len(asked) < 6
    return min(max(int(asked), 1), PAGES_MAX) if is_number else 1


pages.mount("moderation/queue/", show, name="moderation_queue")
