"""Wallets: balance, grants and what waits, to look at; bookings, limits, alerts and freezing through the services."""

from collections.abc import Callable
from functools import partial
from typing import Any

from django import forms
from django.conf import settings
from django.contrib import admin
from django.core.exceptions import PermissionDenied, ValidationError
from django.db.models import Model
from django.dispatch import receiver
from django.http import HttpRequest, HttpResponse
from unfold.contrib.filters.admin import AutocompleteSelectFilter
from unfold.decorators import action, display
from unfold.enums import ActionVariant

from accounts.admin import pages
from accounts.admin.base import GovernedAdmin
from accounts.admin.organisations import organisation_added
from accounts.admin.reasons import ReasonedForm
from accounts.admin.requests import actor_of, address_of
from accounts.models import Organisation, User
from accounts.services import audit
from billing import statements
from billing.admin import statements as statement_pages
from billing.admin import wallet_views
from billing.admin.wallet_forms import AlertsForm, CreditForm, DebitForm, LimitForm, MoneyForm, OpenForm
from billing.errors import IdempotencyConflict
from billing.models import Adjustment, LedgerTransaction, Wallet
from billing.services import adjustments, alerts, wallets
from newapi.kernel import money

Kind = LedgerTransaction.Kind
Direction = Adjustment.Direction


@receiver(organisation_added)
def open_wallet(sender: Any, organisation: Organisation, actor: User, reason: str, **kwargs: Any) -> Wallet:
    """An organisation that was added gets its wallet in the same transaction."""
    wallet = wallets.open(organisation=organisation)
    audit.record(actor=actor, action="wallet.open", target=wallet, reason=reason)
    return wallet


@admin.register(Wallet)
class WalletAdmin(GovernedAdmin):
    """No amount is a field: every change is an act with a reason, a ledger transaction, and an audit row."""

    list_display = ("organisation", "balance", "credit_limit", "funded", "used", "owed", "standing")
    list_select_related = ("organisation",)
    list_filter = (("organisation", AutocompleteSelectFilter), "currency")
    search_fields = ("organisation__name", "organisation__slug", "currency")
    search_help_text = "Organisation or currency"
    fields = (
        "organisation",
        "currency",
        "standing",
        "balance",
        "credit_limit",
        "credit_until",
        "drawn",
        "funded",
        "used",
        "owed",
    )
    actions_detail: tuple[Any, ...] = (
        "credit",
        "statement",
        {"title": "More", "icon": "more_horiz", "items": ["debit", "set_credit_limit", "set_alerts", "freeze", "thaw"]},
    )
    change_form_outer_before_template = "admin/wallet_before.html"

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

    @display(description="Used of the credit limit", ordering="drawn_nano")
    def drawn(self, wallet: Wallet) -> str:
        """What was spent beyond the grants."""
        return money.display(wallet.drawn_nano, wallet.currency)

    @display(description="State", label={"Open": "success", "Frozen": "danger"}, ordering="frozen_at")
    def standing(self, wallet: Wallet) -> str:
        """Frozen: nothing comes in, goes out, is spent or expires."""
        return "Frozen" if wallet.frozen_at else "Open"

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

    def render_change_form(self, request: HttpRequest, context: dict[str, Any], **kwargs: Any) -> HttpResponse:
        """With what the wallet consists of, and what waits."""
        wallet = kwargs.get("obj")
        if wallet is not None:
            context |= wallet_views.parts_of(wallet, request)
        return super().render_change_form(request, context, **kwargs)

    def get_actions_detail(self, request: HttpRequest, object_id: Any) -> list[Any]:
        """Freezing what is open, thawing what is frozen."""
        wallet = self.get_object(request, object_id)
        useless = "freeze" if wallet is not None and wallet.frozen_at else "thaw"
        return [act for act in super().get_actions_detail(request, object_id) if act.path != useless]

    @action(description="Credit", icon="add_card", permissions=["money"])
    def credit(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Bring money in, once, however often the button is pressed."""
        wallet = self._wallet(request, object_id)
        form = CreditForm(pages.data_of(request), wallet=wallet, limit=_limit(wallet))
        return self._page(request, wallet, "Credit", form, partial(self._adjust, request, wallet, Direction.IN, form))

    @action(description="Correct downwards", icon="remove", permissions=["money"])
    def debit(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Take money out as an adjustment, once."""
        wallet = self._wallet(request, object_id)
        form = DebitForm(pages.data_of(request), wallet=wallet, limit=_limit(wallet))
        act = partial(self._adjust, request, wallet, Direction.OUT, form)
        return self._page(request, wallet, "Correct downwards", form, act)

    @action(description="Statement", icon="receipt", permissions=["view"])
    def statement(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Opening, postings and closing of any period."""
        wallet = self._wallet(request, object_id)
        read = partial(statements.of_wallet, organisation=wallet.organisation)
        return statement_pages.page(self, request, obj=wallet, title=f"Statement: {wallet}", read=read)

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

    def _adjust(
        self, request: HttpRequest, wallet: Wallet, direction: str, form: MoneyForm, data: dict[str, Any]
    ) -> HttpResponse:
        """Ask for it once for each page that was opened. Raises ValidationError."""
        try:
            made = adjustments.request(
                wallet=wallet,
                direction=direction,
                kind=data.get("kind", Kind.ADJUSTMENT),
                purpose=data["purpose"],
                amount_nano=data["amount_nano"],
                terms=form.terms(),
                once=data["once"],
                actor=actor_of(request),
                reason=data["reason"],
                address=address_of(request),
            )
        except IdempotencyConflict:
            raise ValidationError(
                "This page has been sent before, with another amount or other terms. Open it anew."
            ) from None
        amount = money.display(made.amount_nano, wallet.currency)
        if made.state == Adjustment.State.WAITING:
            return pages.done(request, f"{amount} are more than {_limit(wallet)}: it waits for a second person.", made)
        said = f"Credited {amount} to" if direction == Direction.IN else f"Took {amount} from"
        return pages.done(request, f"{said} {wallet.organisation}.", wallet)

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


def _limit(wallet: Wallet) -> str:
    """What one person may book, in words."""
    return money.display(settings.ADJUSTMENT_SECOND_PERSON_ABOVE * money.NANO, wallet.currency, decimals=0)
