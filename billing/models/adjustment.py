"""What people book by hand, and the second person that large amounts wait for; alerts about balances."""

from django.conf import settings
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q

from accounts.models import Organisation, Project
from billing.models.grant import Grant
from billing.models.ledger import LedgerTransaction
from billing.models.purpose import Purpose, purpose_is_said
from billing.models.wallet import Wallet
from channels.models import Model
from newapi.kernel import clock, money


class Adjustment(models.Model):
    """An amount that a person books into a wallet or out of it. Written only by billing.services.adjustments.

    Up to a limit it is posted at once; above it, it waits until somebody else approves it.
    """

    class Direction(models.TextChoices):
        IN = "in", "Into the wallet"
        OUT = "out", "Out of the wallet"

    class State(models.TextChoices):
        WAITING = "waiting", "Waits for a second person"
        POSTED = "posted", "Posted"
        REJECTED = "rejected", "Rejected"

    wallet = models.ForeignKey(Wallet, on_delete=models.PROTECT, related_name="adjustments")
    direction = models.CharField(max_length=3, choices=Direction)
    kind = models.CharField(max_length=12, choices=LedgerTransaction.Kind)
    purpose = models.CharField(max_length=24, choices=Purpose)
    amount_nano = models.BigIntegerField()
    # How the grant is to be, of an amount into the wallet.
    category = models.CharField(max_length=12, choices=Grant.Category, default=Grant.Category.PAID)
    priority = models.PositiveSmallIntegerField(default=50)
    expires_at = models.DateTimeField(null=True, blank=True)
    project = models.ForeignKey(Project, on_delete=models.PROTECT, null=True, blank=True, related_name="+")
    model = models.ForeignKey(Model, on_delete=models.PROTECT, null=True, blank=True, related_name="+")
    state = models.CharField(max_length=8, choices=State, default=State.WAITING, editable=False)
    reason = models.CharField(max_length=500)
    # One page that was opened asks once, however often it is sent.
    once = models.UUIDField(unique=True, editable=False)
    requested_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="+")
    requested_at = models.DateTimeField(default=clock.now, editable=False)
    decided_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, blank=True, related_name="+"
    )
    decided_at = models.DateTimeField(null=True, editable=False)
    decision_reason = models.CharField(max_length=500, blank=True)
    transaction = models.OneToOneField(
        LedgerTransaction, on_delete=models.PROTECT, null=True, related_name="adjustment", editable=False
    )

    class Meta:
        ordering = ["-id"]
        constraints = [
            purpose_is_said("adjustment_says_its_purpose"),
            models.CheckConstraint(name="adjustment_moves_something", condition=Q(amount_nano__gt=0)),
            models.CheckConstraint(
                name="adjustment_posted_has_transaction",
                condition=Q(state="posted", transaction__isnull=False)
                | (~Q(state="posted") & Q(transaction__isnull=True)),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.get_direction_display()}: {money.plain(self.amount_nano)} {self.wallet}"

    @property
    def organisation(self) -> Organisation:
        """Whose wallet it is; for the audit record."""
        return self.wallet.organisation


class BalanceAlert(models.Model):
    """Say so once when a balance falls below a threshold; again only after it has been above it."""

    organisation = models.ForeignKey(Organisation, on_delete=models.CASCADE, related_name="balance_alerts")
    threshold_nano = models.BigIntegerField(
        "threshold",
        validators=[MinValueValidator(0), MaxValueValidator(money.EXACT_MAX_NANO)],
        help_text="In the organisation's currency.",
    )
    is_armed = models.BooleanField(default=True, editable=False)
    # Counts the crossings; part of the key under which each is told once.
    crossings = models.PositiveIntegerField(default=0, editable=False)
    fired_at = models.DateTimeField(null=True, editable=False)

    class Meta:
        ordering = ["organisation", "-threshold_nano"]
        constraints = [models.UniqueConstraint(fields=["organisation", "threshold_nano"], name="one_alert_a_threshold")]

    def __str__(self) -> str:
        return f"{self.organisation} below {money.plain(self.threshold_nano)}"
