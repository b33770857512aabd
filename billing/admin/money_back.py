"""Money that went back: refunds that we gave, disputes that took it. To look at; an order's page starts them."""

from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from unfold.contrib.filters.admin import ChoicesDropdownFilter, RangeDateTimeFilter, RelatedDropdownFilter
from unfold.decorators import action, display
from unfold.enums import ActionVariant

from accounts.admin import pages
from accounts.admin.base import ReadOnlyAdmin
from accounts.admin.reasons import ReasonedForm
from accounts.admin.requests import actor_of, address_of
from billing.admin.order_timeline import BACK_TONES
from billing.models import MoneyBack
from billing.payments import minor
from billing.services import money_back


@admin.register(MoneyBack)
class MoneyBackAdmin(ReadOnlyAdmin):
    """Each row is one decision, or one piece of news."""

    list_display = ("created_at", "order", "organisation_name", "kind", "amount", "state_label", "ground", "document")
    list_select_related = ("order__organisation",)
    list_filter = (
        ("kind", ChoicesDropdownFilter),
        ("state", ChoicesDropdownFilter),
        ("ground", ChoicesDropdownFilter),
        ("order__provider", RelatedDropdownFilter),
        ("created_at", RangeDateTimeFilter),
    )
    ordering = ("-id",)
    search_fields = ("reference", "provider_reference", "order__reference", "order__organisation__name", "document")
    search_help_text = "Reference, order, organisation or document"
    fields = (
        "order",
        "organisation_name",
        "kind",
        "amount",
        "state_text",
        "ground",
        "document",
        "reason",
        "requested_by",
        "reference",
        "provider_reference",
        "transaction",
        "undone",
        "created_at",
        "tries",
        "next_try_at",
    )
    readonly_fields = fields
    actions_detail = ("went_back", "did_not")

    @display(description="Organisation")
    def organisation_name(self, back: MoneyBack) -> str:
        """Whose order it was."""
        return str(back.organisation)

    @display(description="Amount", ordering="amount_minor")
    def amount(self, back: MoneyBack) -> str:
        """In the order's currency."""
        return minor.display(back.amount_minor, back.order.currency)

    @display(description="State", label=BACK_TONES)
    def state_label(self, back: MoneyBack) -> tuple[str, str]:
        """As a label."""
        return back.state, back.get_state_display()

    @display(description="State")
    def state_text(self, back: MoneyBack) -> str:
        """In words, with what explains it."""
        return f"{back.get_state_display()}: {back.why}" if back.why else back.get_state_display()

    def get_actions_detail(self, request: HttpRequest, object_id: Any) -> list[Any]:
        """Only for refunds of which the provider does not tell what became of them."""
        back = self.get_object(request, object_id)
        waits = back is not None and back.kind == MoneyBack.Kind.REFUND and back.state == MoneyBack.State.ASKED
        return super().get_actions_detail(request, object_id) if waits and back.next_try_at is None else []

    def has_decide_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Who may say what became of a refund."""
        return request.user.has_perm("billing.change_moneyback")

    @action(description="It went back", icon="check_circle", permissions=["decide"])
    def went_back(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """The provider's pages say that it is done."""
        intro = "Say so when the provider's own pages show the refund as done. The wallet stays as it is."
        return self._settle(request, object_id, "It went back", intro, went_back=True)

    @action(description="It did not go back", icon="cancel", permissions=["decide"], variant=ActionVariant.DANGER)
    def did_not(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """The provider's pages know nothing of it; the wallet gets it again."""
        intro = "Say so when the provider's own pages show no such refund. The wallet gets the money again."
        return self._settle(request, object_id, "It did not go back", intro, went_back=False)

    def _settle(self, request: HttpRequest, object_id: str, what: str, intro: str, *, went_back: bool) -> HttpResponse:
        back: MoneyBack = self.object_or_404(request, object_id)
        if not self.has_view_permission(request, back) or not self.has_decide_permission(request):
            raise PermissionDenied

        def act(data: dict[str, Any]) -> HttpResponse:
            money_back.settle(
                money_back=back,
                went_back=went_back,
                actor=actor_of(request),
                reason=data["reason"],
                address=address_of(request),
            )
            return pages.done(request, "Noted, with your reason.", back)

        return pages.form_page(
            self,
            request,
            title=f"{what}: {back}, {self.amount(back)}",
            intro=intro,
            form=ReasonedForm(pages.data_of(request)),
            submit=what,
            act=act,
            obj=back,
            is_danger=not went_back,
        )
