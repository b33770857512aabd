"""What is reported of wallets: those that are frozen or owe, what stays in them, and what was ever paid into them."""

import csv
import io
from itertools import islice
from typing import Any

from django.contrib import admin
from django.core.exceptions import ValidationError
from django.db.models import F, Q, QuerySet
from django.db.models import Model as AnyModel
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from unfold.contrib.filters.admin import DropdownFilter
from unfold.decorators import action

from accounts.admin import pages, panels
from accounts.admin.reasons import ReasonedForm
from accounts.admin.requests import actor_of, address_of
from accounts.models import AuditEvent, Organisation
from accounts.services import audit
from billing.admin.wallets import WalletAdmin
from billing.models import Wallet
from billing.services import fees
from newapi.kernel import money, spreadsheets

COLUMNS = ("booked_at", "kind", "amount", "currency", "reference", "transaction")
PAYMENTS_MAX = 100_000


class StandingFilter(DropdownFilter):
    """The wallets that somebody has to settle, whatever became of their organisations (BIL-20)."""

    title = "standing"
    parameter_name = "standing"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """The choices."""
        return [("frozen", "Frozen"), ("frozen_rest", "Frozen, with a balance"), ("owing", "Owing"), ("open", "Open")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Wallet]) -> QuerySet[Wallet]:
        """Only wallets that stand so."""
        frozen, empty = Q(frozen_at__isnull=False), Q(funded_nano=F("used_nano") - F("owed_nano"))
        wanted = {"frozen": frozen, "frozen_rest": frozen & ~empty, "owing": Q(owed_nano__gt=0), "open": ~frozen}
        return queryset.filter(wanted[self.value()]) if self.value() in wanted else queryset


admin.site.unregister(Wallet)


@admin.register(Wallet)
class ReportedWalletAdmin(WalletAdmin):
    """The wallets, to be looked through by how they stand, with what was paid into each."""

    list_filter: tuple[Any, ...] = (StandingFilter, *WalletAdmin.list_filter)
    actions_detail = (*WalletAdmin.actions_detail, "payments")

    def get_actions_detail(self, request: HttpRequest, object_id: Any) -> list[Any]:
        """Without the download, to which the panel leads."""
        return [act for act in super().get_actions_detail(request, object_id) if act.path != "payments"]

    @action(description="Payments as CSV", icon="download", permissions=["view"])
    def payments(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Every payment and what went back of it; their sum is what was paid in all."""
        wallet = self._wallet(request, object_id)
        organisation = wallet.organisation

        def act(data: dict[str, Any]) -> HttpResponse:
            return _download(request, organisation, data["reason"])

        paid = money.display(fees.lifetime(organisation), organisation.currency)
        return pages.form_page(
            self,
            request,
            title=f"Payments of {organisation}",
            intro=f"All that it has paid, less what went back, is {paid}. Who takes the list out of the house is on "
            "record.",
            form=ReasonedForm(pages.data_of(request)),
            submit="Download",
            act=act,
            obj=wallet,
        )


def _download(request: HttpRequest, organisation: Organisation, reason: str) -> HttpResponse:
    found = list(islice(fees.payments(organisation), PAYMENTS_MAX + 1))
    if len(found) > PAYMENTS_MAX:
        raise ValidationError(f"There are more than {PAYMENTS_MAX:,} payments. Use statements, a year at a time.")
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(COLUMNS)
    for one in found:
        at, reference = one.at.isoformat(timespec="milliseconds"), spreadsheets.cell(one.reference)
        writer.writerow([at, one.kind, money.plain(one.nano), organisation.currency, reference, one.transaction])
    audit.record(
        actor=actor_of(request),
        action="wallet.payments_export",
        target=organisation,
        reason=reason,
        changes={"rows": [None, len(found)]},
        address=address_of(request),
    )
    response = HttpResponse(text.getvalue(), content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="payments-{organisation.slug}.csv"'
    response["Cache-Control"] = "no-store"
    return response


@panels.on(Organisation)
@panels.on(Wallet)
def paid_of(request: HttpRequest, obj: AnyModel) -> panels.Panel | None:
    """Fees paid in all: what a cap on liability refers to (BIL-21)."""
    wallet = _wallet_of(obj)
    if wallet is None or not request.user.has_perm("billing.view_wallet"):
        return None
    return panels.Panel(
        title="Fees paid",
        lines=(
            ("In all", money.display(fees.lifetime(wallet.organisation), wallet.currency)),
            ("That is", "payments credited, less refunds and lost disputes, from the ledger."),
        ),
        links=(panels.Link("Payments as CSV", reverse("admin:billing_wallet_payments", args=[wallet.pk]), "download"),),
    )


@panels.on(Organisation)
@panels.on(Wallet)
def frozen_of(request: HttpRequest, obj: AnyModel) -> panels.Panel | None:
    """That a wallet is frozen, since when and why, and what stays in it and is owed (BIL-20)."""
    wallet = _wallet_of(obj)
    if wallet is None or wallet.frozen_at is None or not request.user.has_perm("billing.view_wallet"):
        return None
    told = AuditEvent.objects.filter(
        object_type=wallet._meta.label_lower, object_id=str(wallet.pk), action="wallet.freeze"
    ).first()
    return panels.Panel(
        title="Freeze",
        note="in force",
        tone="danger",
        lines=(
            ("That is", "nothing comes in, goes out, is spent or expires"),
            ("Since", f"{wallet.frozen_at:%Y-%m-%d %H:%M} UTC"),
            ("Because", told.reason if told else "the record does not say"),
            ("Balance that stays", money.display(wallet.balance_nano, wallet.currency)),
            ("Debt that stays", money.display(wallet.owed_nano, wallet.currency)),
        ),
        links=(panels.Link("All frozen wallets", pages.list_url(Wallet, standing="frozen"), "ac_unit"),),
    )


def _wallet_of(obj: AnyModel) -> Wallet | None:
    """The wallet itself, or an organisation's in its currency."""
    if isinstance(obj, Wallet):
        return obj if obj.currency == obj.organisation.currency else None
    assert isinstance(obj, Organisation)
    return Wallet.objects.select_related("organisation").filter(organisation=obj, currency=obj.currency).first()
