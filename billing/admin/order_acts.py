"""What people decide of orders: release, reject, credit what was paid, refund, ask the provider. Each with a reason."""

from collections.abc import Callable
from typing import Any

from django.core.exceptions import PermissionDenied, ValidationError
from django.http import HttpRequest, HttpResponse
from unfold.decorators import action
from unfold.enums import ActionVariant

from accounts.admin import pages
from accounts.admin.base import BaseAdmin
from accounts.admin.reasons import ReasonedForm
from accounts.admin.requests import actor_of, address_of
from billing.admin.order_forms import RefundForm
from billing.models import TopUpOrder
from billing.payments import minor
from billing.payments.refusals import GroundMissing
from billing.services import money_back, orders


class OrderActs(BaseAdmin):
    """The acts on the page of an order."""

    def has_decide_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Who may release, reject, and have the provider asked."""
        return request.user.has_perm("billing.change_topuporder")

    def has_refund_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Who may give money back."""
        return request.user.has_perm("billing.add_moneyback")

    @action(description="Release", icon="check_circle", permissions=["decide"], variant=ActionVariant.PRIMARY)
    def release(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Let a held order go on to the payment."""
        order = self._order(request, object_id, self.has_decide_permission)

        def act(data: dict[str, Any]) -> HttpResponse:
            orders.release(order=order, actor=actor_of(request), reason=data["reason"], address=address_of(request))
            return pages.done(request, "Released. Its page leads on to the payment now.", order)

        intro = f"Held because: {order.why} Once released, {order.organisation} can pay it."
        return self._page(request, order, "Release", intro, ReasonedForm(pages.data_of(request)), act)

    @action(description="Reject", icon="cancel", permissions=["decide"], variant=ActionVariant.DANGER)
    def reject(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """End a held order; nothing is charged."""
        order = self._order(request, object_id, self.has_decide_permission)

        def act(data: dict[str, Any]) -> HttpResponse:
            orders.reject(order=order, actor=actor_of(request), reason=data["reason"], address=address_of(request))
            return pages.done(request, "Rejected. Nothing is charged.", order)

        intro = f"Held because: {order.why} Rejecting is final. Your reason is shown to the organisation."
        form = ReasonedForm(pages.data_of(request))
        return self._page(request, order, "Reject", intro, form, act, is_danger=True)

    @action(description="Refund", icon="undo", permissions=["refund"], variant=ActionVariant.DANGER)
    def refund(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Give money back by the way it came, with a ground and its document."""
        order = self._order(request, object_id, self.has_refund_permission)
        refused: list[GroundMissing] = []

        def act(data: dict[str, Any]) -> HttpResponse:
            try:
                asked = money_back.refund(
                    order=order,
                    amount_minor=data["amount_minor"],
                    ground=data["ground"],
                    document=data["document"],
                    actor=actor_of(request),
                    reason=data["reason"],
                    address=address_of(request),
                    once=data["once"],
                )
            except GroundMissing as refusal:
                refused.append(refusal)
                raise ValidationError({"ground": str(refusal)}) from None
            except ValidationError as refusal:
                raise _about_the_amount(refusal) from None
            said = "It left the wallet, and the provider is being asked. This page tells what comes of it."
            return pages.done(request, said, asked.order)

        form = RefundForm(pages.data_of(request), order=order)
        response = self._page(request, order, "Refund", _rights_of(order), form, act, is_danger=True)
        if refused:
            response.status_code = 403
        return response

    @action(description="Credit what was paid", icon="add_card", permissions=["decide"])
    def accept_paid(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Credit a payment that was not the one ordered."""
        order = self._order(request, object_id, self.has_decide_permission)

        def act(data: dict[str, Any]) -> HttpResponse:
            orders.accept_paid(order=order, actor=actor_of(request), reason=data["reason"], address=address_of(request))
            return pages.done(request, f"Credited {_paid(order)}.", order)

        intro = f"{order.why} What was paid, {_paid(order)}, is credited. Otherwise give it back at the provider."
        form = ReasonedForm(pages.data_of(request))
        return self._page(request, order, "Credit what was paid", intro, form, act)

    @action(description="Ask the provider now", icon="sync", permissions=["decide"])
    def ask_now(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Ask how the order stands there, in the background."""
        order = self._order(request, object_id, self.has_decide_permission)

        def act(data: dict[str, Any]) -> HttpResponse:
            orders.ask_now(order=order, actor=actor_of(request), reason=data["reason"], address=address_of(request))
            return pages.done(request, "The provider is being asked. Look again in a moment.", order)

        intro = "What it answers is acted on as if it had told us by itself; nothing is credited twice."
        return self._page(request, order, "Ask the provider now", intro, ReasonedForm(pages.data_of(request)), act)

    def _order(self, request: HttpRequest, object_id: str, may: Callable[[HttpRequest], bool]) -> TopUpOrder:
        order: TopUpOrder = self.object_or_404(request, object_id)
        if not self.has_view_permission(request, order) or not may(request):
            raise PermissionDenied
        return order

    def _page(
        self,
        request: HttpRequest,
        order: TopUpOrder,
        what: str,
        intro: str,
        form: ReasonedForm,
        act: pages.Act,
        **options: Any,
    ) -> HttpResponse:
        return pages.form_page(
            self,
            request,
            title=f"{what}: {order.reference}, {minor.display(order.amount_minor, order.currency)}",
            intro=intro,
            form=form,
            submit=what,
            act=act,
            obj=order,
            **options,
        )


def _paid(order: TopUpOrder) -> str:
    return minor.display(order.paid_minor or 0, order.currency)


def _rights_of(order: TopUpOrder) -> str:
    """What decides on a refund, in words."""
    organisation = order.organisation
    who = "A consumer" if organisation.is_consumer else "A business"
    where = f" in {organisation.country}" if organisation.country else ""
    may = "may withdraw now" if money_back.may_withdraw(order) else "has no right to withdraw now"
    paid = minor.display(order.paid_minor or 0, order.currency)
    when = f" on {order.credited_at:%Y-%m-%d}" if order.credited_at else ""
    return f"{organisation} paid {paid}{when}. {who}{where}, who {may}. What is spent already cannot be given back."


def _about_the_amount(refusal: ValidationError) -> ValidationError:
    """The service's complaint beside the field that it is about."""
    if not hasattr(refusal, "error_dict"):
        return refusal
    found = refusal.error_dict.items()
    return ValidationError({"amount" if name == "amount_minor" else name: complaints for name, complaints in found})
