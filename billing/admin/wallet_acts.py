"""Acts on a wallet that book nothing: credit limit, alerts, freezing. And the page that every act is asked on."""

from collections.abc import Callable
from typing import Any

from django import forms
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from unfold.decorators import action
from unfold.enums import ActionVariant

from accounts.admin import pages
from accounts.admin.base import GovernedAdmin
from accounts.admin.reasons import ReasonedForm
from accounts.admin.requests import actor_of, address_of
from billing.admin.wallet_columns import WalletColumns
from billing.admin.wallet_forms import AlertsForm, LimitForm
from billing.models import Wallet
from billing.services import alerts, wallets


class WalletActs(WalletColumns, GovernedAdmin):
    """For those with the right to change wallets."""

    def has_limit_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Who may change wallets."""
        return request.user.has_perm("billing.change_wallet")

    @action(description="Set credit limit", icon="tune", permissions=["limit"])
    def set_credit_limit(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Say how far below zero it may go, and until when."""
        wallet = self._wallet(request, object_id)

        def act(data: dict[str, Any]) -> HttpResponse:
            wallets.set_credit_limit(
                wallet=wallet,
                credit_limit_nano=data["credit_limit_nano"],
                credit_until=data["credit_until"],
                actor=actor_of(request),
                reason=data["reason"],
                address=address_of(request),
            )
            return pages.done(request, "The credit limit holds from the next call on.", wallet)

        initial = {"credit_limit_nano": wallet.credit_limit_nano, "credit_until": wallet.credit_until}
        form = LimitForm(pages.data_of(request), wallet=wallet, initial=initial)
        return self._page(request, wallet, "Set credit limit", form, act)

    @action(description="Set alerts", icon="notifications", permissions=["limit"])
    def set_alerts(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Say below which balances the organisation is told."""
        wallet = self._wallet(request, object_id)
        form = AlertsForm(pages.data_of(request), wallet=wallet)

        def act(data: dict[str, Any]) -> HttpResponse:
            alerts.set_thresholds(
                organisation=wallet.organisation,
                thresholds_nano=form.thresholds_nano(),
                actor=actor_of(request),
                reason=data["reason"],
                address=address_of(request),
            )
            return pages.done(request, "The organisation is told once for each time the balance falls below.", wallet)

        return self._page(request, wallet, "Set alerts", form, act)

    @action(description="Freeze", icon="ac_unit", permissions=["limit"], variant=ActionVariant.DANGER)
    def freeze(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Keep what is there as it is."""
        return self._stop_or_go(request, object_id, "Freeze", wallets.freeze, "Frozen: the next call is refused.")

    @action(description="Thaw", icon="sunny", permissions=["limit"])
    def thaw(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Let it be used again."""
        return self._stop_or_go(request, object_id, "Thaw", wallets.thaw, "Thawed: it can be used again.")

    def _stop_or_go(
        self, request: HttpRequest, object_id: str, what: str, service: Callable[..., Any], said: str
    ) -> HttpResponse:
        wallet = self._wallet(request, object_id)

        def act(data: dict[str, Any]) -> HttpResponse:
            service(
                organisation=wallet.organisation,
                actor=actor_of(request),
                reason=data["reason"],
                address=address_of(request),
            )
            return pages.done(request, said, wallet)

        return self._page(request, wallet, what, ReasonedForm(pages.data_of(request)), act)

    def _wallet(self, request: HttpRequest, object_id: str) -> Wallet:
        wallet: Wallet = self.object_or_404(request, object_id)
        if not self.has_view_permission(request, wallet):
            raise PermissionDenied
        return wallet

    def _page(self, request: HttpRequest, wallet: Wallet, what: str, form: forms.Form, act: pages.Act) -> HttpResponse:
        frozen = " It is frozen: nothing comes in, goes out or is spent until it is thawed." if wallet.frozen_at else ""
        return pages.form_page(
            self,
            request,
            title=f"{what}: {wallet.organisation}",
            intro=f"The balance is {self.balance(wallet)}, the credit limit {self.credit_limit(wallet)}.{frozen}",
            form=form,
            submit=what,
            act=act,
            obj=wallet,
        )
