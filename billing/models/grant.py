"""Grants: the parts that a wallet's money consists of, each with its origin, its order and its end."""

from django.core.validators import MaxValueValidator
from django.db import models
from django.db.models import F, Q

from accounts.models import Project
from billing.models.ledger import LedgerTransaction
from billing.models.wallet import Wallet
from channels.models import Model
from newapi.kernel import clock, ids

PRIORITY_MAX = 100


class Purse(models.Model):
    """The part of a wallet that only some calls may spend: those of a project, to a model, or both.

    One per wallet and scope, made at the first grant with that scope. `funded` and `used` are running totals of
    its grants; both are part of the wallet's own totals. The till counts each purse by itself.
    """

    wallet = models.ForeignKey(Wallet, on_delete=models.PROTECT, related_name="purses")
    # At least one of them; null: any.
    project = models.ForeignKey(Project, on_delete=models.PROTECT, null=True, blank=True, related_name="+")
    model = models.ForeignKey(Model, on_delete=models.PROTECT, null=True, blank=True, related_name="+")
    funded_nano = models.BigIntegerField(default=0, editable=False)
    used_nano = models.BigIntegerField(default=0, editable=False)

    class Meta:
        ordering = ["wallet", "id"]
        constraints = [
            # Databases count nulls as different, so a scope without one of them needs a rule of its own.
            models.UniqueConstraint(fields=["wallet", "project", "model"], name="one_purse_per_scope"),
            models.UniqueConstraint(
                fields=["wallet", "project"], name="one_purse_per_project", condition=Q(model__isnull=True)
            ),
            models.UniqueConstraint(
                fields=["wallet", "model"], name="one_purse_per_model", condition=Q(project__isnull=True)
            ),
            models.CheckConstraint(
                name="purse_has_a_scope", condition=Q(project__isnull=False) | Q(model__isnull=False)
            ),
            models.CheckConstraint(
                name="purse_not_overdrawn", condition=Q(used_nano__gte=0, funded_nano__gte=F("used_nano"))
            ),
        ]

    def __str__(self) -> str:
        parts = [
            f"project {self.project.name}" if self.project else "",
            f"model {self.model.name}" if self.model else "",
        ]
        return f"{self.wallet}: only {' and '.join(filter(None, parts))}"


class Grant(models.Model):
    """Money of one origin in a wallet. Written only by billing.services.

    Burn order: those of the call's purse first; then by priority, by the earlier expiry (none comes last),
    promotional before paid, the older first. The sum of what remains, less what the wallet has drawn on its credit
    line, is the wallet's balance.
    """

    class Category(models.TextChoices):
        PAID = "paid", "Paid for"
        PROMOTIONAL = "promotional", "Given"

    id = models.UUIDField(primary_key=True, default=ids.uuid7, editable=False)
    wallet = models.ForeignKey(Wallet, on_delete=models.PROTECT, related_name="grants")
    purse = models.ForeignKey(Purse, on_delete=models.PROTECT, null=True, blank=True, related_name="grants")
    # The transaction that brought it in; null for what was there before grants were counted.
    transaction = models.OneToOneField(LedgerTransaction, on_delete=models.PROTECT, null=True, related_name="grant")
    category = models.CharField(max_length=12, choices=Category)
    priority = models.PositiveSmallIntegerField(
        default=50, validators=[MaxValueValidator(PRIORITY_MAX)], help_text="0 to 100; the lower burns first."
    )
    amount_nano = models.BigIntegerField(editable=False)
    remaining_nano = models.BigIntegerField(editable=False)
    expires_at = models.DateTimeField(null=True, blank=True, help_text="Spendable until just before; empty: for good.")
    created_at = models.DateTimeField(default=clock.now, editable=False)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.CheckConstraint(
                name="grant_remains_within", condition=Q(remaining_nano__gte=0, remaining_nano__lte=F("amount_nano"))
            ),
        ]
        indexes = [
            models.Index(fields=["wallet"], name="grant_with_a_rest", condition=Q(remaining_nano__gt=0)),
            models.Index(
                fields=["expires_at"],
                name="grant_to_expire",
                condition=Q(remaining_nano__gt=0, expires_at__isnull=False),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.get_category_display()} {self.id}"


class GrantEntry(models.Model):
    """What one transaction did to one grant: negative when it took from it. Append-only.

    A grant's remainder is the sum of its entries.
    """

    id = models.UUIDField(primary_key=True, default=ids.uuid7, editable=False)
    grant = models.ForeignKey(Grant, on_delete=models.PROTECT, related_name="entries")
    # Null only for the opening entry of what was there before grants were counted.
    transaction = models.ForeignKey(
        LedgerTransaction, on_delete=models.PROTECT, null=True, related_name="grant_entries"
    )
    nano = models.BigIntegerField()

    class Meta:
        ordering = ["-id"]
        constraints = [models.CheckConstraint(name="grant_entry_moves_something", condition=~Q(nano=0))]

    def __str__(self) -> str:
        return f"{self.nano} nano of {self.grant_id}"
