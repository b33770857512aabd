"""The ledger: transfers from one account to another, balanced by construction, never changed.

UPDATE and DELETE are refused by the database itself (migration 0002).
"""

import uuid

from django.conf import settings
from django.db import models
from django.db.models import F, Q

from accounts.models import Organisation
from newapi.kernel import clock, ids


class LedgerAccount(models.Model):
    """A place where money is. Without an organisation it is the platform's own."""

    class Kind(models.TextChoices):
        WALLET = "wallet", "Wallet (what we owe the organisation)"
        RECEIVABLE = "receivable", "Receivable (what the organisation owes us)"
        REVENUE = "revenue", "Revenue"
        CLEARING = "clearing", "Payments in clearing"
        PROMOTION = "promotion", "Promotional expense"
        ADJUSTMENT = "adjustment", "Adjustments"
        CODES = "codes", "Codes sold and not redeemed"
        BREAKAGE = "breakage", "Breakage: paid for and expired"

    organisation = models.ForeignKey(
        Organisation, on_delete=models.PROTECT, null=True, blank=True, related_name="ledger_accounts"
    )
    kind = models.CharField(max_length=12, choices=Kind)
    currency = models.CharField(max_length=3)

    class Meta:
        ordering = ["organisation", "kind"]
        constraints = [
            models.UniqueConstraint(fields=["organisation", "kind", "currency"], name="one_ledger_account"),
            # Databases count nulls as different, so the platform's own accounts need a rule of their own.
            models.UniqueConstraint(
                fields=["kind", "currency"], name="one_platform_account", condition=Q(organisation=None)
            ),
        ]

    def __str__(self) -> str:
        return f"{self.organisation or 'platform'}: {self.get_kind_display()} {self.currency}"


class LedgerTransaction(models.Model):
    """Transfers that happened together, for one reason."""

    class Kind(models.TextChoices):
        USAGE = "usage", "Usage"
        TOP_UP = "top_up", "Top-up"
        GRANT = "grant", "Grant"
        ADJUSTMENT = "adjustment", "Adjustment"
        REVERSAL = "reversal", "Reversal"
        REDEMPTION = "redemption", "Redemption of a code"
        CLAWBACK = "clawback", "Taken back from a voided code"
        CODES_SOLD = "codes_sold", "Codes sold"
        EXPIRY = "expiry", "Expiry"
        REFUND = "refund", "Refund"
        DISPUTE = "dispute", "Dispute"
        RERATING = "rerating", "Re-rating"

    id = models.UUIDField(primary_key=True, default=ids.uuid7, editable=False)
    # The same key twice is the same transaction; with other contents it is an error.
    idempotency_key = models.CharField(max_length=150, unique=True)
    request_hash = models.CharField(max_length=64)
    kind = models.CharField(max_length=12, choices=Kind)
    booked_at = models.DateTimeField(default=clock.now, editable=False)
    reverses = models.OneToOneField("self", on_delete=models.PROTECT, null=True, blank=True, related_name="reversed_by")
    actor = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="+")
    reason = models.CharField(max_length=500, blank=True)

    class Meta:
        ordering = ["-id"]
        indexes = [models.Index(fields=["kind", "-id"], name="transaction_by_kind")]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} {self.id}"


class LedgerTransfer(models.Model):
    """Money moving from the debited to the credited account. Both are in one currency."""

    id: uuid.UUID | models.UUIDField = models.UUIDField(primary_key=True, default=ids.uuid7, editable=False)
    transaction = models.ForeignKey(LedgerTransaction, on_delete=models.PROTECT, related_name="transfers")
    debit_account = models.ForeignKey(LedgerAccount, on_delete=models.PROTECT, related_name="debits")
    credit_account = models.ForeignKey(LedgerAccount, on_delete=models.PROTECT, related_name="credits")
    amount_nano = models.BigIntegerField()

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.CheckConstraint(condition=Q(amount_nano__gt=0), name="transfer_moves_something"),
            models.CheckConstraint(
                condition=~Q(debit_account=F("credit_account")), name="transfer_between_two_accounts"
            ),
        ]
        # A statement reads one account's transfers in the order of their time-ordered keys.
        indexes = [
            models.Index(fields=["debit_account", "id"], name="transfer_by_debit"),
            models.Index(fields=["credit_account", "id"], name="transfer_by_credit"),
        ]

    def __str__(self) -> str:
        return f"{self.amount_nano} nano: {self.debit_account} → {self.credit_account}"
