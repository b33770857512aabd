"""What can be done with an appeal in the admin: each act asks for its own right, and one service stands behind it."""

from typing import Any

from django import forms
from django.core.exceptions import PermissionDenied, ValidationError
from django.db.models import Model
from django.http import HttpRequest, HttpResponse
from unfold.decorators import action
from unfold.enums import ActionVariant

from accounts.admin import pages
from accounts.admin.prefilled import initial_of
from accounts.admin.reasons import ReasonedForm
from accounts.admin.requests import actor_of, address_of
from moderation import permissions
from moderation.admin.act_pages import CaseActPages
from moderation.admin.appeal_forms import UNKNOWN_DECISION, AssignForm, EnterForm, ModifyForm, OutcomeForm
from moderation.models import Appeal, Case
from moderation.services import appeals, sealed

_State = Appeal.State
_CLERKS = (permissions.TRIAGE, permissions.REVIEW_APPEAL, permissions.ADMIT_APPEAL)
_ADMIT = (permissions.ADMIT_APPEAL,)
# Act → the states in which it can be done, and one of the permissions that it needs.
_ACTS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "assign": ((_State.SUBMITTED, _State.ASSIGNED), (permissions.REVIEW_APPEAL, permissions.ASSIGN, *_ADMIT)),
    "start": ((_State.ASSIGNED,), (permissions.REVIEW_APPEAL,)),
    "decide": ((_State.IN_REVIEW,), (permissions.REVIEW_APPEAL,)),
    "modify": ((_State.IN_REVIEW,), (permissions.REVIEW_APPEAL,)),
    "admit": ((_State.REJECTED_LATE,), _ADMIT),
    "stay": (Appeal.OPEN_STATES, _ADMIT),
    "unstay": (Appeal.OPEN_STATES, _ADMIT),
    "withdraw": (Appeal.OPEN_STATES, _CLERKS),
}


class AppealActs(CaseActPages):
    """Entering, assigning, deciding, and what a lead may order meanwhile."""

    def has_add_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """Entering one that came by mail."""
        return permissions.may(actor_of(request), *_CLERKS)

    def has_act_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Whoever may do any of the acts; each asks for its own right."""
        return permissions.may(actor_of(request), *_CLERKS, permissions.ASSIGN)

    def fitting(self, request: HttpRequest, obj: Appeal) -> frozenset[str]:
        """As it stands, by this person."""
        return frozenset(name for name in _ACTS if self._can(request, obj, name))

    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Enter an appeal that came by mail."""
        if not self.has_add_permission(request):
            raise PermissionDenied

        def act(data: dict[str, Any]) -> HttpResponse:
            _require_sight(request, data["decision"].case)
            made = appeals.submit(**data, via=Appeal.Via.MAIL, actor=actor_of(request), address=address_of(request))
            late = " It came too late; whoever may admits it." if made.state == _State.REJECTED_LATE else ""
            return pages.done(request, f"Entered as {made.reference}.{late}", made)

        return pages.form_page(
            self,
            request,
            title="Enter an appeal that came by mail",
            intro="In the organisation's own words. One for each decision.",
            form=EnterForm(pages.data_of(request), initial=initial_of(request, EnterForm)),
            submit="Enter the appeal",
            act=act,
        )

    @action(description="Assign", icon="person_add", permissions=["act"])
    def assign(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """To a reviewer, or to oneself."""
        appeal = self._appeal(request, object_id, "assign")

        def act(data: dict[str, Any]) -> HttpResponse:
            appeals.assign(appeal=appeal, actor=actor_of(request), **data)
            return pages.done(request, f"{appeal.reference} is with {appeal.reviewer} now.", appeal)

        form = AssignForm(pages.data_of(request), initial={"reviewer": appeal.reviewer_id or request.user.pk})
        return self._page(request, appeal, "Assign", form, act)

    @action(description="Start", icon="play_arrow", permissions=["act"], variant=ActionVariant.PRIMARY)
    def start(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Begin to look at it."""
        appeal = self._appeal(request, object_id, "start")

        def act(data: dict[str, Any]) -> HttpResponse:
            appeals.start_review(appeal=appeal, actor=actor_of(request))
            return pages.done(request, f"{appeal.reference} is in review.", appeal)

        return self._page(request, appeal, "Start", forms.Form(pages.data_of(request)), act)

    @action(description="Uphold or overturn", icon="gavel", permissions=["act"], variant=ActionVariant.PRIMARY)
    def decide(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Whether the decision stands."""
        appeal = self._appeal(request, object_id, "decide")

        def act(data: dict[str, Any]) -> HttpResponse:
            appeals.decide(appeal=appeal, actor=actor_of(request), **data)
            return pages.done(
                request, f"{appeal.reference}: {appeal.get_state_display().lower()}. The organisation is told.", appeal
            )

        return self._page(request, appeal, "Decide", OutcomeForm(pages.data_of(request)), act)

    @action(description="Modify", icon="tune", permissions=["act"])
    def modify(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Put something milder in the decision's place."""
        appeal = self._appeal(request, object_id, "modify")
        decision = appeal.decision
        initial = {"category": decision.category_id, "facts": decision.facts, "is_automated": decision.is_automated}
        form = ModifyForm(pages.data_of(request), case=decision.case, initial=initial)

        def act(data: dict[str, Any]) -> HttpResponse:
            proposal = form.proposal()
            appeals.decide(
                appeal=appeal,
                outcome=_State.MODIFIED,
                reasons=data["reasons"],
                proposal=proposal,
                actor=actor_of(request),
            )
            return pages.done(request, f"{appeal.reference}: modified. The organisation is told.", appeal)

        return self._page(request, appeal, "Modify", form, act)

    @action(description="Admit though late", icon="more_time", permissions=["act"])
    def admit(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Take up what came after the window."""
        return self._simple(request, object_id, "admit", "Admit though late", appeals.admit_late, "it is taken up.")

    @action(description="Let measures stand still", icon="pause", permissions=["act"])
    def stay(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """While it is decided."""
        done = "what the decision imposed stands still."
        return self._simple(request, object_id, "stay", "Let measures stand still", appeals.stay, done)

    @action(description="Let measures go on", icon="resume", permissions=["act"])
    def unstay(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Before there is an outcome."""
        done = "what the decision imposed goes on."
        return self._simple(request, object_id, "unstay", "Let measures go on", appeals.unstay, done)

    @action(description="Withdraw", icon="undo", permissions=["act"])
    def withdraw(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """As the organisation asked by mail."""
        done = "it is withdrawn. The organisation is told."
        return self._simple(request, object_id, "withdraw", "Withdraw", appeals.withdraw, done)

    def _simple(
        self, request: HttpRequest, object_id: str, name: str, title: str, service: Any, done: str
    ) -> HttpResponse:
        """An act that needs a reason only."""
        appeal = self._appeal(request, object_id, name)

        def act(data: dict[str, Any]) -> HttpResponse:
            service(appeal=appeal, actor=actor_of(request), reason=data["reason"])
            return pages.done(request, f"{appeal.reference}: {done}", appeal)

        return self._page(request, appeal, title, ReasonedForm(pages.data_of(request)), act)

    def _can(self, request: HttpRequest, appeal: Appeal, name: str) -> bool:
        states, needed = _ACTS[name]
        own = name not in ("start", "decide", "modify") or appeal.reviewer_id == request.user.pk
        right_way = {"stay": not appeal.is_stayed, "unstay": appeal.is_stayed}.get(name, True)
        return appeal.state in states and own and right_way and permissions.may(actor_of(request), *needed)

    def in_title(self, obj: Appeal) -> str:
        """By its reference."""
        return obj.reference

    def below_title(self, obj: Appeal) -> str:
        """Against which decision, and where it stands."""
        return f"Against {obj.decision.reference} · {obj.get_state_display()}"

    def _appeal(self, request: HttpRequest, object_id: str, name: str) -> Appeal:
        appeal: Appeal = self.acted_on(request, object_id)
        if not permissions.may(actor_of(request), *_ACTS[name][1]):
            raise PermissionDenied
        return appeal

    def _page(self, request: HttpRequest, appeal: Appeal, what: str, form: forms.Form, act: pages.Act) -> HttpResponse:
        is_readable = sealed.may_read(user=actor_of(request), case=appeal.decision.case)
        shown: dict[str, Any] = {"template": "admin/appeal_act.html", "context": {"is_readable": is_readable}}
        return self.page_of(request, appeal, what, form, act, **shown)


def _require_sight(request: HttpRequest, case: Case) -> None:
    """Raises ValidationError, in the words for what there is not, for a sealed case; the try is on record."""
    actor = actor_of(request)
    if case.category.is_sealed and not permissions.may_see(actor, case):
        what = f"{request.method} {request.path}"
        sealed.note(user=actor, case=case, what=what, was_allowed=False, address=address_of(request))
        raise ValidationError({"decision": UNKNOWN_DECISION})
