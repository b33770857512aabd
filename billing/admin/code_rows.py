"""Single codes, known by their last symbols, and what they were redeemed for."""

from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied, ValidationError
from django.http import HttpRequest, HttpResponse
from django.utils.decorators import method_decorator
from django.views.decorators.debug import sensitive_post_parameters, sensitive_variables
from unfold.contrib.filters.admin import AutocompleteSelectFilter
from unfold.decorators import action, display
from unfold.enums import ActionVariant

from accounts.admin import pages
from accounts.admin.base import Endless, ReadOnlyAdmin
from accounts.admin.requests import actor_of, address_of
from billing.admin.code_forms import LookUpForm, VoidForm
from billing.models import CodeBatch, Redemption, RedemptionCode
from billing.services import codes
from newapi.kernel import clock, money

_STATE = {"Void": "danger", "Redeemed": "success", "Redeemable": "info", "Expired": None, "Not out": None}


@admin.register(RedemptionCode)
class RedemptionCodeAdmin(Endless, ReadOnlyAdmin):
    """To look at, and to void one by one. The digests are no column anywhere."""

    list_display = ("hint", "batch", "number", "uses", "state")
    list_select_related = ("batch",)
    list_filter = (("batch", AutocompleteSelectFilter),)
    ordering = ("-id",)
    search_fields = ("=last4", "batch__name")
    search_help_text = "Last four symbols, or name of the batch. To find a whole code, use “Look a code up”"
    fields = ("hint", "batch", "number", "uses", "state", "voided_at")
    actions_list = ("look_up",)
    actions_detail = ("void",)

    def has_view_codes_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Who may look codes up."""
        return request.user.has_perm("billing.view_redemptioncode")

    def has_void_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Who may void."""
        return request.user.has_perm("billing.change_codebatch")

    @display(description="Code", ordering="last4")
    def hint(self, code: RedemptionCode) -> str:
        """All that is known of it in the clear."""
        return str(code)

    @display(description="State", label=_STATE)
    def state(self, code: RedemptionCode) -> str:
        """What would happen to who typed it now."""
        batch = code.batch
        if code.voided_at is not None or batch.state == CodeBatch.State.VOIDED:
            return "Void"
        if code.uses >= batch.uses_per_code:
            return "Redeemed"
        if batch.state != CodeBatch.State.OUT:
            return "Not out"
        return "Expired" if batch.expires_at <= clock.now() else "Redeemable"

    @action(description="Look a code up", icon="search", permissions=["view_codes"], url_path="look-up")
    @method_decorator(sensitive_post_parameters("code"))
    def look_up(self, request: HttpRequest) -> HttpResponse:
        """Type a code, get its page. Sent by POST, so that it stands in no address and no log."""

        @sensitive_variables("data")
        def act(data: dict[str, Any]) -> HttpResponse:
            found = codes.find(raw=data["code"])
            if found is None:
                raise ValidationError({"code": "There is no such code."})
            return pages.done(request, f"This is code {found.number + 1:,} of “{found.batch}”.", found)

        return pages.form_page(
            self,
            request,
            title="Look a code up",
            intro="It is found by its keyed digest. Nothing of what you type is kept.",
            form=LookUpForm(pages.data_of(request)),
            submit="Look it up",
            act=act,
        )

    @action(description="Void", icon="block", permissions=["void"], variant=ActionVariant.DANGER)
    def void(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """This one code is not redeemed any more."""
        code: RedemptionCode = self.object_or_404(request, object_id)
        if not self.has_view_permission(request, code):
            raise PermissionDenied

        def act(data: dict[str, Any]) -> HttpResponse:
            taken_nano = codes.void_code(
                code=code,
                takes_back=data["takes_back"],
                actor=actor_of(request),
                reason=data["reason"],
                address=address_of(request),
            )
            back = f" {money.display(taken_nano, code.batch.currency)} were taken back." if taken_nano else ""
            return pages.done(request, f"The code is void from this moment on.{back}", code)

        return pages.form_page(
            self,
            request,
            title=f"Void the code {code}",
            intro=f"Of “{code.batch}”, redeemed {code.uses:,} of {code.batch.uses_per_code:,} times.",
            form=VoidForm(pages.data_of(request)),
            submit="Void",
            act=act,
            obj=code,
            is_danger=True,
        )


@admin.register(Redemption)
class RedemptionAdmin(Endless, ReadOnlyAdmin):
    """Who redeemed what, and what is left of it."""

    list_display = ("at", "organisation", "code", "batch", "amount", "remaining", "user")
    list_select_related = ("organisation", "code", "batch", "grant", "user")
    list_filter = (("batch", AutocompleteSelectFilter), ("organisation", AutocompleteSelectFilter))
    ordering = ("-id",)
    search_fields = ("organisation__name", "batch__name", "=code__last4")
    search_help_text = "Organisation, batch or the code's last four symbols"
    fields = ("at", "organisation", "user", "code", "batch", "number", "amount", "remaining", "grant", "transaction")

    @display(description="Credited")
    def amount(self, redemption: Redemption) -> str:
        """What the code was worth."""
        return money.display(redemption.grant.amount_nano, redemption.batch.currency)

    @display(description="Remains")
    def remaining(self, redemption: Redemption) -> str:
        """What is neither spent, expired nor taken back."""
        return money.display(redemption.grant.remaining_nano, redemption.batch.currency)
