"""The acts of the case page that move it on: to its next state, into somebody's hands, to a level, with a note."""

from typing import Any

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from unfold.decorators import action
from unfold.enums import ActionVariant

from accounts.admin import pages
from accounts.admin.requests import actor_of
from moderation import permissions
from moderation.admin.act_pages import CaseActPages
from moderation.admin.case_forms import AssignForm, LevelForm, MoveForm, NoteForm
from moderation.models import Case
from moderation.services import cases, moves


class CaseActs(CaseActPages):
    """What all acts on cases have in common, and those that need no module of their own."""

    def in_title(self, obj: Case) -> str:
        """By its reference."""
        return obj.reference

    def below_title(self, obj: Case) -> str:
        """What it is judged as, and where it stands."""
        return f"{obj.category} · {obj.get_level_display()} · {obj.get_state_display()}"


class Moving(CaseActs):
    """For CaseAdmin. Each act is a form with a reason, and a service that judges it."""

    def has_move_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Whoever may do some step of the work."""
        steps = (permissions.TRIAGE, permissions.REVIEW, permissions.DECIDE_MINOR)
        return permissions.may(actor_of(request), *steps, permissions.DECIDE_SEVERE, permissions.DECIDE_CRITICAL)

    def has_assign_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Whoever may assign, or review and so take a case."""
        return permissions.may(actor_of(request), permissions.ASSIGN, permissions.REVIEW)

    def has_level_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Whoever may review."""
        return permissions.may(actor_of(request), permissions.REVIEW)

    def has_note_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Whoever works on cases."""
        return permissions.may(actor_of(request), permissions.REVIEW, permissions.TRIAGE)

    def moving_possible(self, case: Case, request: HttpRequest) -> dict[str, bool]:
        """Which of these acts can be done with the case as it stands, by this person."""
        return {
            "move": bool(moves.open_to(case=case, user=actor_of(request))),
            "assign": case.is_open,
            "set_level": case.state in moves.IN_WORK,
            "add_note": True,
        }

    @action(description="Move", icon="arrow_forward", permissions=["move"], variant=ActionVariant.PRIMARY)
    def move(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """To its next state."""
        case = self.acted_on(request, object_id)
        states = moves.open_to(case=case, user=actor_of(request))
        if not states:
            raise PermissionDenied

        def act(data: dict[str, Any]) -> HttpResponse:
            cases.transition(case=case, actor=actor_of(request), **data)
            return pages.done(request, f"{case.reference} is now: {case.get_state_display().lower()}.", case)

        form = MoveForm(pages.data_of(request), case=case, states=states)
        return self.page_of(request, case, "Move", form, act)

    @action(description="Assign", icon="person_add", permissions=["assign"])
    def assign(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """To a reviewer, or to oneself."""
        case = self.acted_on(request, object_id)

        def act(data: dict[str, Any]) -> HttpResponse:
            cases.assign(case=case, actor=actor_of(request), **data)
            return pages.done(request, f"{case.reference} is with {case.assignee or 'nobody'} now.", case)

        form = AssignForm(pages.data_of(request), case=case, initial={"assignee": case.assignee_id or request.user.pk})
        return self.page_of(request, case, "Assign", form, act)

    @action(description="Set level", icon="priority_high", permissions=["level"])
    def set_level(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """As severe as it turned out to be."""
        case = self.acted_on(request, object_id)

        def act(data: dict[str, Any]) -> HttpResponse:
            cases.set_level(case=case, actor=actor_of(request), **data)
            return pages.done(request, f"{case.reference} is {case.get_level_display()} now.", case)

        form = LevelForm(pages.data_of(request), case=case, initial={"level": case.level})
        return self.page_of(request, case, "Set level", form, act)

    @action(description="Add note", icon="edit_note", permissions=["note"])
    def add_note(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """For colleagues."""
        case = self.acted_on(request, object_id)

        def act(data: dict[str, Any]) -> HttpResponse:
            cases.add_note(case=case, text=data["text"], actor=actor_of(request))
            return pages.done(request, f"Noted in {case.reference}.", case)

        return self.page_of(request, case, "Add note", NoteForm(pages.data_of(request)), act)
