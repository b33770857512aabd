"""The ledger, to look at. It is corrected by a reversal, which is booked like everything else."""

from functools import partial
from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from unfold.contrib.filters.admin import AutocompleteSelectFilter, ChoicesDropdownFilter, RangeDateTimeFilter
from unfold.decorators import action, display
from unfold.enums import ActionVariant

from accounts.admin import pages
from accounts.admin.base import Endless, ReadOnlyAdmin, ReadOnlyInline
from accounts.admin.reasons import ReasonedForm
from accounts.admin.requests import actor_of, address_of
from billing import statements
from billing.admin import statements as statement_pages
from billing.models import LedgerAccount, LedgerTransaction, LedgerTransfer
from billing.services import wallets
from newapi.kernel import money


@display(description="Amount")
def amount(transfer: LedgerTransfer) -> str:
    """In the currency of both accounts."""
    return money.display(transfer.amount_nano, transfer.debit_account.currency)


@admin.register(LedgerAccount)
class LedgerAccountAdmin(ReadOnlyAdmin):
    """Places where money is. Made when first needed."""

    list_display = ("__str__", "organisation", "kind", "currency")
    list_select_related = ("organisation",)
    list_filter = (("organisation", AutocompleteSelectFilter), ("kind", ChoicesDropdownFilter), "currency")
    search_fields = ("organisation__name", "kind", "currency")
    search_help_text = "Organisation, kind or currency"
    actions_detail = ("statement",)

    @action(description="Statement", icon="receipt", permissions=["view"])
    def statement(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Opening, postings and closing of any period."""
        account: LedgerAccount = self.object_or_404(request, object_id)
        if not self.has_view_permission(request, account):
            raise PermissionDenied
        read = partial(statements.of_account, account=account)
        return statement_pages.page(self, request, obj=account, title=f"Statement: {account}", read=read)


class TransfersInline(ReadOnlyInline):
    """What a transaction moved."""

    model = LedgerTransfer
    fields = ("id", "debit_account", "credit_account", "shown_amount")
    readonly_fields = fields

    @display(description="Amount")
    def shown_amount(self, transfer: LedgerTransfer) -> str:
        """In the currency of both accounts."""
        return amount(transfer)

    def get_queryset(self, request: HttpRequest) -> Any:
        """With the accounts that the rows show."""
        return (
            super().get_queryset(request).select_related("debit_account__organisation", "credit_account__organisation")
        )


@admin.register(LedgerTransaction)
class LedgerTransactionAdmin(Endless, ReadOnlyAdmin):
    """Transfers that happened together. The database refuses any change to them."""

    list_display = ("booked_at", "kind", "who", "reason", "reverses", "id")
    list_select_related = ("actor", "reverses")
    list_filter = (
        ("kind", ChoicesDropdownFilter),
        ("booked_at", RangeDateTimeFilter),
        ("actor", AutocompleteSelectFilter),
    )
    search_fields = ("idempotency_key", "reason")
    search_help_text = "Idempotency key or reason"
    fields = ("id", "kind", "booked_at", "who", "reason", "idempotency_key", "reverses", "reversed_by_text")
    inlines = (TransfersInline,)
    actions_detail = ("reverse",)

    @display(description="Who")
    def who(self, booked: LedgerTransaction) -> str:
        """The person, or the platform itself."""
        return str(booked.actor) if booked.actor else "the platform"

    @display(description="Reversed by")
    def reversed_by_text(self, booked: LedgerTransaction) -> str:
        """The transaction that undid this one."""
        return str(getattr(booked, "reversed_by", None) or "–")

    def has_reverse_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Whoever may book transactions."""
        return request.user.has_perm("billing.add_ledgertransaction")

    @action(description="Reverse", icon="undo", permissions=["reverse"], variant=ActionVariant.DANGER)
    def reverse(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Book the opposite, once."""
        booked: LedgerTransaction = self.object_or_404(request, object_id)
        if not self.has_view_permission(request, booked):
            raise PermissionDenied

        def act(data: dict[str, Any]) -> HttpResponse:
            reversal = wallets.reverse(
                booked=booked, actor=actor_of(request), reason=data["reason"], address=address_of(request)
            )
            return pages.done(request, "Reversed. Both transactions stay in the ledger.", reversal)

        return pages.form_page(
            self,
            request,
            title="Reverse this transaction?",
            intro="Books the opposite of every transfer in it. Both stay in the ledger for good.",
            form=ReasonedForm(pages.data_of(request)),
            submit="Reverse",
            act=act,
            obj=booked,
            is_danger=True,
        )


@admin.register(LedgerTransfer)
class LedgerTransferAdmin(Endless, ReadOnlyAdmin):
    """Money moving from the debited to the credited account."""

    list_display = ("id", "kind", "booked_at", "debit_account", "credit_account", "shown_amount")
    list_select_related = ("transaction", "debit_account__organisation", "credit_account__organisation")
    list_filter = (
        ("transaction__kind", ChoicesDropdownFilter),
        ("debit_account", AutocompleteSelectFilter),
        ("credit_account", AutocompleteSelectFilter),
    )
    search_fields = ("debit_account__organisation__name", "credit_account__organisation__name")
    search_help_text = "Organisation"
    fields = ("id", "transaction", "booked_at", "debit_account", "credit_account", "shown_amount")

    @display(description="Kind")
    def kind(self, transfer: LedgerTransfer) -> str:
        """Of the transaction."""
        return transfer.transaction.get_kind_display()

    @display(description="Booked")
    def booked_at(self, transfer: LedgerTransfer) -> Any:
        """When the transaction was."""
        return transfer.transaction.booked_at

    @display(description="Amount")
    def shown_amount(self, transfer: LedgerTransfer) -> str:
        """In the currency of both accounts."""
        return amount(transfer)
