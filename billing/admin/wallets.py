"""Wallets: balance, grants and what waits, to look at; bookings, limits, alerts and freezing through the services."""

from functools import partial
from typing import Any

from django.conf import settings
from django.contrib import admin
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import transaction
from django.db.models import Model
from django.dispatch import receiver
from django.http import HttpRequest, HttpResponse
from unfold.contrib.filters.admin import AutocompleteSelectFilter
from unfold.decorators import action

from accounts.admin import pages
from accounts.admin.organisations import organisation_added
from accounts.admin.prefilled import initial_of
from accounts.admin.requests import actor_of, address_of
from accounts.models import Organisation, User
from accounts.services import audit
from billing import statements
from billing.admin import statements as statement_pages
from billing.admin import wallet_views
from billing.admin.wallet_acts import WalletActs
from billing.admin.wallet_forms import CreditForm, DebitForm, MoneyForm, OpenForm
from billing.errors import IdempotencyConflict
from billing.models import Adjustment, LedgerTransaction, Wallet
from billing.services import adjustments, wallets
from newapi.kernel import money

Kind = LedgerTransaction.Kind
Direction = Adjustment.Direction


@receiver(organisation_added)
@transaction.atomic
def open_wallet(
    sender: Any, organisation: Organisation, actor: User, reason: str, address: str | None = None, **kwargs: Any
) -> Wallet:
    """An organisation that was added gets its wallet in the same transaction."""
    wallet = wallets.open(organisation=organisation)
    audit.record(actor=actor, action="wallet.open", target=wallet, reason=reason, address=address)
    return wallet


@admin.register(Wallet)
class WalletAdmin(WalletActs):
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
            wallet = open_wallet(type(self), organisation, actor_of(request), data["reason"], address_of(request))
            return pages.done(request, f"Opened a wallet for {organisation}.", wallet)

        return pages.form_page(
            self,
            request,
            title="Open a wallet",
            intro="In the organisation's currency. Organisations added here have one already.",
            form=OpenForm(pages.data_of(request), initial=initial_of(request, OpenForm)),
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


def _limit(wallet: Wallet) -> str:
    """What one person may book, in words."""
    return money.display(settings.ADJUSTMENT_SECOND_PERSON_ABOVE * money.NANO, wallet.currency, decimals=0)
