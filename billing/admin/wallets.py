"""Wallets: the balance to look at; credits, corrections and credit limits through the services."""

from collections.abc import Callable
from functools import partial
from typing import Any

from django import forms
from django.contrib import admin
from django.core.exceptions import PermissionDenied, ValidationError
from django.db.models import Model
from django.dispatch import receiver
from django.http import HttpRequest, HttpResponse
from unfold.contrib.filters.admin import AutocompleteSelectFilter
from unfold.decorators import action, display

from accounts.admin import pages
from accounts.admin.base import GovernedAdmin
from accounts.admin.organisations import organisation_added
from accounts.admin.requests import actor_of, address_of
from accounts.models import Organisation, User
from accounts.services import audit
from billing.admin.wallet_forms import CreditForm, DebitForm, LimitForm, OpenForm
from billing.errors import IdempotencyConflict
from billing.models import LedgerTransaction, Wallet
from billing.services import wallets
from newapi.kernel import money

Kind = LedgerTransaction.Kind


@receiver(organisation_added)
def open_wallet(sender: Any, organisation: Organisation, actor: User, reason: str, **kwargs: Any) -> Wallet:
    """An organisation that was added gets its wallet in the same transaction."""
    wallet = wallets.open(organisation=organisation)
    audit.record(actor=actor, action="wallet.open", target=wallet, reason=reason)
    return wallet


@admin.register(Wallet)
class WalletAdmin(GovernedAdmin):
    """No amount is a field: every change is an act with a reason, a ledger transaction, and an audit row."""

    list_display = ("organisation", "balance", "credit_limit", "funded", "used", "owed")
    list_select_related = ("organisation",)
    list_filter = (("organisation", AutocompleteSelectFilter), "currency")
    search_fields = ("organisation__name", "organisation__slug", "currency")
    search_help_text = "Organisation or currency"
    fields = ("organisation", "currency", "balance", "credit_limit", "funded", "used", "owed")
    actions_detail = ("credit", "debit", "set_credit_limit")

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """Never as a form."""
        return False

    def has_money_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Who may book transactions."""
        return request.user.has_perm("billing.add_ledgertransaction")

    def has_limit_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Who may change wallets."""
        return request.user.has_perm("billing.change_wallet")

    @display(description="Balance", ordering="funded_nano")
    def balance(self, wallet: Wallet) -> str:
        """What is posted; open holds are not in it."""
        return money.display(wallet.balance_nano, wallet.currency)

    @display(description="Credit limit", ordering="credit_limit_nano")
    def credit_limit(self, wallet: Wallet) -> str:
        """How far below zero it may go."""
        return money.display(wallet.credit_limit_nano, wallet.currency)

    @display(description="Brought in", ordering="funded_nano")
    def funded(self, wallet: Wallet) -> str:
        """Top-ups, grants and adjustments."""
        return money.display(wallet.funded_nano, wallet.currency)

    @display(description="Used", ordering="used_nano")
    def used(self, wallet: Wallet) -> str:
        """Usage so far."""
        return money.display(wallet.used_nano, wallet.currency)

    @display(description="Owed", ordering="owed_nano")
    def owed(self, wallet: Wallet) -> str:
        """Usage beyond the balance, booked as a receivable."""
        return money.display(wallet.owed_nano, wallet.currency)

    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Open a wallet."""
        if not self.has_add_permission(request):
            raise PermissionDenied

        def act(data: dict[str, Any]) -> HttpResponse:
            organisation = data["organisation"]
            if Wallet.objects.filter(organisation=organisation, currency=organisation.currency).exists():
                raise ValidationError({"organisation": "It has a wallet already."})
            wallet = open_wallet(type(self), organisation, actor_of(request), data["reason"])
            return pages.done(request, f"Opened a wallet for {organisation}.", wallet)

        return pages.form_page(
            self,
            request,
            title="Open a wallet",
            intro="In the organisation's currency. Organisations added here have one already.",
            form=OpenForm(pages.data_of(request), initial=request.GET.dict()),
            submit="Open it",
            act=act,
        )

    @action(description="Credit", icon="add_card", permissions=["money"])
    def credit(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Bring money in, once, however often the button is pressed."""
        wallet = self._wallet(request, object_id)

        def act(data: dict[str, Any]) -> HttpResponse:
            self._book(partial(wallets.credit, kind=Kind(data["kind"])), request, wallet, data)
            amount = money.display(data["amount_nano"], wallet.currency)
            return pages.done(request, f"Credited {amount} to {wallet.organisation}.", wallet)

        return self._page(request, wallet, "Credit", CreditForm, act)

    @action(description="Correct downwards", icon="remove", permissions=["money"])
    def debit(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Take money out as an adjustment, once."""
        wallet = self._wallet(request, object_id)

        def act(data: dict[str, Any]) -> HttpResponse:
            self._book(wallets.debit, request, wallet, data)
            amount = money.display(data["amount_nano"], wallet.currency)
            return pages.done(request, f"Took {amount} from {wallet.organisation}.", wallet)

        return self._page(request, wallet, "Correct downwards", DebitForm, act)

    @action(description="Set credit limit", icon="tune", permissions=["limit"])
    def set_credit_limit(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Say how far below zero it may go."""
        wallet = self._wallet(request, object_id)

        def act(data: dict[str, Any]) -> HttpResponse:
            wallets.set_credit_limit(
                wallet=wallet,
                credit_limit_nano=data["credit_limit_nano"],
                actor=actor_of(request),
                reason=data["reason"],
                address=address_of(request),
            )
            return pages.done(request, "The credit limit holds from the next call on.", wallet)

        return self._page(
            request, wallet, "Set credit limit", LimitForm, act, credit_limit_nano=wallet.credit_limit_nano
        )

    def _wallet(self, request: HttpRequest, object_id: str) -> Wallet:
        wallet: Wallet = self.object_or_404(request, object_id)
        if not self.has_view_permission(request, wallet):
            raise PermissionDenied
        return wallet

    def _book(
        self,
        service: Callable[..., LedgerTransaction],
        request: HttpRequest,
        wallet: Wallet,
        data: dict[str, Any],
    ) -> LedgerTransaction:
        """Book once for each page that was opened. Raises ValidationError."""
        if wallet.currency != wallet.organisation.currency:
            raise ValidationError(f"The organisation's wallet is the one in {wallet.organisation.currency}.")
        try:
            return service(
                organisation=wallet.organisation,
                amount_nano=data["amount_nano"],
                idempotency_key=f"admin:{data['once']}",
                actor=actor_of(request),
                reason=data["reason"],
                address=address_of(request),
            )
        except IdempotencyConflict:
            raise ValidationError("This page has been sent before, with another amount. Open it anew.") from None

    def _page(
        self,
        request: HttpRequest,
        wallet: Wallet,
        what: str,
        form: Callable[..., forms.Form],
        act: pages.Act,
        **initial: Any,
    ) -> HttpResponse:
        return pages.form_page(
            self,
            request,
            title=f"{what}: {wallet.organisation}",
            intro=f"The balance is {self.balance(wallet)}, the credit limit {self.credit_limit(wallet)}.",
            form=form(pages.data_of(request), currency=wallet.currency, initial=initial),
            submit=what,
            act=act,
            obj=wallet,
        )
