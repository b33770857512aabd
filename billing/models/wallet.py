"""An organisation's wallet: the running totals of its ledger account, kept in the same transaction as the transfers."""

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import F, Q

from accounts.models import Organisation
from newapi.kernel import money


class Wallet(models.Model):
    """One per organisation and currency. Written only by billing.services.

    balance = funded - used + owed, where owed is usage beyond the balance, booked as a receivable.
    balance = what remains of its grants - drawn, where drawn is what is used of the credit limit.
    The till is told funded + credit limit, less what is in purses; it counts used by itself.
    """

    organisation = models.ForeignKey(Organisation, on_delete=models.PROTECT, related_name="wallets")
    currency = models.CharField(max_length=3)
    funded_nano = models.BigIntegerField(default=0, editable=False)
    used_nano = models.BigIntegerField(default=0, editable=False)
    owed_nano = models.BigIntegerField(default=0, editable=False)
    credit_limit_nano = models.BigIntegerField(
        "credit limit",
        default=0,
        validators=[MinValueValidator(0), MaxValueValidator(money.EXACT_MAX_NANO)],
        help_text="How far below zero the balance may go, for organisations that pay afterwards.",
    )
    credit_until = models.DateTimeField(
        "credit ends", null=True, blank=True, help_text="From then on nothing more is lent. Empty: for good."
    )
    drawn_nano = models.BigIntegerField(default=0, editable=False)
    # Frozen: nothing comes in, goes out, is spent or expires; what is there stays and is reported (BIL-20).
    frozen_at = models.DateTimeField(null=True, editable=False)
    # Raised whenever funded or the credit limit changes, so that an older fact never overwrites a newer one.
    version = models.BigIntegerField(default=1, editable=False)
    version_published = models.BigIntegerField(default=0, editable=False)

    class Meta:
        ordering = ["organisation"]
        constraints = [
            models.UniqueConstraint(fields=["organisation", "currency"], name="one_wallet_per_currency"),
            models.CheckConstraint(condition=Q(owed_nano__gte=0, used_nano__gte=0), name="wallet_totals_not_negative"),
            models.CheckConstraint(
                condition=Q(funded_nano__gte=F("used_nano") - F("owed_nano") - F("credit_limit_nano")),
                name="wallet_not_below_floor",
            ),
            models.CheckConstraint(name="wallet_drawn_not_negative", condition=Q(drawn_nano__gte=0)),
        ]

    def __str__(self) -> str:
        return f"{self.organisation} {self.currency}"

    @property
    def balance_nano(self) -> int:
        """The posted balance; what is pending in the till is not in it."""
        return self.funded_nano - self.used_nano + self.owed_nano
