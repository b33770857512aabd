"""The acts of the case page that lead to a decision: suspend first, ask, propose, decide, agree, send back."""

from typing import Any

from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from unfold.decorators import action
from unfold.enums import ActionVariant

from accounts.admin import pages
from accounts.admin.requests import actor_of
from moderation import permissions
from moderation.admin.case_acts import CaseActs
from moderation.admin.decision_forms import ProposeForm, SeenDecisionForm, seen_mark
from moderation.admin.demand_forms import AskForm
from moderation.admin.measure_forms import InterimForm
from moderation.models import Case, Decision, PolicyText
from moderation.models.policy import Level
from moderation.services import conflicts, decisions, demands, interim, ladder, moves, policy, sealed, strikes

SIMILAR_MAX = 5
_DECIDERS = (permissions.DECIDE_MINOR, permissions.DECIDE_SEVERE, permissions.DECIDE_CRITICAL)


class Deciding(CaseActs):
    """For CaseAdmin. Each act is a form with a reason, and a service that judges it."""

    def has_propose_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Whoever may review."""
        return permissions.may(actor_of(request), permissions.REVIEW)

    def has_decide_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Whoever may decide some level."""
        return permissions.may(actor_of(request), *_DECIDERS)

    def has_agree_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Whoever may approve what others decided."""
        return permissions.may(actor_of(request), permissions.APPROVE)

    def deciding_possible(self, case: Case, request: HttpRequest) -> dict[str, bool]:
        """Which of these acts can be done with the case as it stands, by this person."""
        actor, state = actor_of(request), Case.State
        may_suspend = interim.BY.get(Level(case.level))
        pending = pending_of(case)
        took_part = pending is not None and actor.pk in conflicts.persons((pending.proposed_by, pending.decided_by))
        return {
            "suspend": (
                case.state in Case.UNDECIDED_STATES
                and case.organisation_id is not None
                and may_suspend is not None
                and permissions.may(actor, may_suspend)
            ),
            "ask": case.state in (state.IN_REVIEW, state.AWAITING_USER) and case.organisation_id is not None,
            "propose": case.state == state.IN_REVIEW and case.organisation_id is not None,
            "decide": case.state == state.PROPOSED and permissions.may(actor, moves.DECIDE[case.level]),
            "approve": case.state == state.HELD and not took_part,
            "send_back": case.state in (state.PROPOSED, state.HELD),
        }

    @action(description="Suspend now", icon="block", permissions=["propose"], variant=ActionVariant.DANGER)
    def suspend(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Before there is a decision, because it cannot wait."""
        case = self.acted_on(request, object_id)

        def act(data: dict[str, Any]) -> HttpResponse:
            interim.impose(case=case, step=form.step(), actor=actor_of(request), reason=data["reason"])
            return pages.done(request, f"{case.reference}: suspended. The next call is refused.", case)

        form = InterimForm(pages.data_of(request), case=case)
        return self.page_of(request, case, "Suspend now", form, act)

    @action(description="Ask", icon="contact_support", permissions=["propose"])
    def ask(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Something of the organisation."""
        case = self.acted_on(request, object_id)

        def act(data: dict[str, Any]) -> HttpResponse:
            demand = demands.ask(case=case, actor=actor_of(request), **data)
            return pages.done(request, f"{case.reference}: asked {demand}. The organisation is told.", case)

        form = AskForm(pages.data_of(request), case=case)
        return self.page_of(request, case, "Ask", form, act)

    @action(description="Propose decision", icon="gavel", permissions=["propose"], variant=ActionVariant.PRIMARY)
    def propose(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """What was found, and what follows."""
        case = self.acted_on(request, object_id)

        def act(data: dict[str, Any]) -> HttpResponse:
            decision = decisions.propose(
                case=case,
                proposal=form.proposal(),
                expected_version=data["expected_version"],
                actor=actor_of(request),
            )
            return pages.done(
                request, f"{case.reference}: proposed {decision.reference}. It counts once it is decided.", case
            )

        form = ProposeForm(pages.data_of(request), case=case, initial={"category": case.category_id})
        return self.page_of(
            request,
            case,
            "Propose",
            form,
            act,
            title=f"Propose a decision: {case.reference}",
            template="admin/case_propose.html",
            context={"beside": beside(case)},
        )

    @action(description="Decide", icon="gavel", permissions=["decide"], variant=ActionVariant.PRIMARY)
    def decide(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """As proposed."""
        case = self.acted_on(request, object_id)

        def act(data: dict[str, Any]) -> HttpResponse:
            done = decisions.issue(decision=_pending(case, data), actor=actor_of(request), reason=data["reason"])
            if done.state == Decision.State.HELD:
                return pages.done(
                    request, f"{case.reference}: {done.reference} waits for a second person: {held_for(done)}.", case
                )
            return pages.done(request, f"{case.reference} is decided: {done.reference} counts from now.", case)

        return self._decision_page(request, case, "Decide", act)

    @action(description="Approve", icon="done_all", permissions=["agree"], variant=ActionVariant.PRIMARY)
    def approve(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """As the second person."""
        case = self.acted_on(request, object_id)

        def act(data: dict[str, Any]) -> HttpResponse:
            done = decisions.approve(decision=_pending(case, data), actor=actor_of(request), reason=data["reason"])
            return pages.done(request, f"{case.reference} is approved: {done.reference} counts from now.", case)

        return self._decision_page(request, case, "Approve", act)

    @action(description="Send back", icon="undo", permissions=["propose"])
    def send_back(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """To review, without a ruling."""
        case = self.acted_on(request, object_id)

        def act(data: dict[str, Any]) -> HttpResponse:
            pending = _pending(case, data)
            end = decisions.cancel if pending.state == Decision.State.HELD else decisions.send_back
            end(decision=pending, actor=actor_of(request), reason=data["reason"])
            return pages.done(request, f"{case.reference} is in review again. Nobody was told.", case)

        return self._decision_page(request, case, "Send back", act)

    def _decision_page(self, request: HttpRequest, case: Case, what: str, act: pages.Act) -> HttpResponse:
        pending = pending_of(case)
        form = SeenDecisionForm(pages.data_of(request), decision=pending)
        return self.page_of(
            request,
            case,
            what,
            form,
            act,
            template="admin/case_decide.html",
            # Of a sealed case, what was found is read while an unsealing holds, as on every page.
            context={"decision": pending, "is_readable": sealed.may_read(user=actor_of(request), case=case)},
        )


def pending_of(case: Case) -> Decision | None:
    """The decision that is being made."""
    pending = Decision.objects.filter(case=case, state__in=(Decision.State.PROPOSED, Decision.State.HELD))
    return pending.select_related("category", "proposed_by", "decided_by").prefetch_related("actions").first()


def _pending(case: Case, data: dict[str, Any]) -> Decision:
    """The decision that the page showed, as it showed it. Raises ValidationError when it is another by now."""
    decision = pending_of(case)
    if decision is None:
        raise ValidationError("Nothing is proposed any more. Look at the case again.")
    if seen_mark(decision) != data["seen"]:
        raise ValidationError("It is not what this page showed: somebody was faster. Look at the case again.")
    return decision


def held_for(decision: Decision) -> str:
    """Why a second person must agree, in words."""
    return ", ".join(Decision.Hold(hold).label.lower() for hold in decision.holds)


def beside(case: Case) -> dict[str, Any]:
    """What somebody who decides should have before their eyes: the text, the history, the ladder, what was alike."""
    known = case.organisation_id is not None
    text: PolicyText | None = policy.text_in_force(case.category, "en", at=case.acted_at or case.received_at)
    alike = Decision.objects.filter(category=case.category, state=Decision.State.ISSUED).exclude(case=case)
    return {
        "text": text,
        "approval_rule": case.category.approval_rule,
        "points": strikes.points(strikes.record_of(case)) if known else 0,
        "is_first": strikes.is_first(case) if known else True,
        "recommended": ladder.recommend(case),
        "similar": list(alike.select_related("case").prefetch_related("actions")[:SIMILAR_MAX]),
    }
