"""Promotions, which need a legal review before they give anything away, and the invitations that they reward."""

from django.conf import settings
from django.core.validators import MaxValueValidator, MinValueValidator, RegexValidator
from django.db import models
from django.db.models import F, Q

from accounts.models import Organisation
from billing.models.ledger import LedgerTransaction
from billing.models.purpose import Purpose, purpose_is_said
from newapi.kernel import clock, money

_AMOUNT = [MinValueValidator(0), MaxValueValidator(10**6 * money.NANO)]


class Promotion(models.Model):
    """Money given away by rule. Usable only between its dates, where it is meant for, after somebody else's review.

    Written only by billing.services.promotions; nothing of it changes once it is reviewed (BIL-07).
    """

    class Kind(models.TextChoices):
        TOP_UP = "top_up", "Bonus on top-ups"
        CODES = "codes", "Redemption codes"
        INVITATION = "invitation", "Invitations"

    name = models.CharField(max_length=120, unique=True)
    kind = models.CharField(max_length=10, choices=Kind)
    currency = models.CharField(max_length=3, validators=[RegexValidator(r"^[A-Z]{3}$", "Three capital letters.")])
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField(help_text="The first moment at which it is over.")
    countries = models.JSONField(
        default=list, blank=True, help_text="Countries of the organisations that it is for; empty: all."
    )
    # Of a bonus on top-ups: percent of what was paid. Of an invitation: what each side gets.
    bonus_percent = models.PositiveSmallIntegerField(default=0, validators=[MaxValueValidator(100)])
    inviter_nano = models.BigIntegerField("for who invites", default=0, validators=_AMOUNT)
    invitee_nano = models.BigIntegerField("for who is invited", default=0, validators=_AMOUNT)
    grant_days = models.PositiveSmallIntegerField(
        default=90,
        validators=[MinValueValidator(1), MaxValueValidator(3650)],
        help_text="How long the money can be spent.",
    )
    times_per_organisation = models.PositiveIntegerField(
        default=1, validators=[MinValueValidator(1)], help_text="How often one organisation can gain by it."
    )
    budget_nano = models.BigIntegerField("budget", validators=_AMOUNT, help_text="The most that it gives away in all.")
    given_nano = models.BigIntegerField(default=0, editable=False)
    submitted_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="+", editable=False
    )
    created_at = models.DateTimeField(default=clock.now, editable=False)
    # The legal review: by somebody else, of a document.
    reviewed_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="+", editable=False
    )
    reviewed_at = models.DateTimeField(null=True, editable=False)
    review_document = models.CharField(max_length=200, blank=True, editable=False)
    stopped_at = models.DateTimeField(null=True, editable=False)

    class Meta:
        ordering = ["-starts_at"]
        constraints = [
            models.CheckConstraint(name="promotion_ends_after_it_starts", condition=Q(ends_at__gt=F("starts_at"))),
            models.CheckConstraint(
                name="promotion_within_its_budget", condition=Q(given_nano__gte=0, given_nano__lte=F("budget_nano"))
            ),
        ]

    def __str__(self) -> str:
        return self.name


class PromotionUse(models.Model):
    """That an organisation gained by a promotion: what the counts per organisation are made of. Append-only."""

    promotion = models.ForeignKey(Promotion, on_delete=models.PROTECT, related_name="uses")
    organisation = models.ForeignKey(Organisation, on_delete=models.PROTECT, related_name="+")
    # 1 for an organisation's first gain; taken by an insert, so that two at once cannot both be the last allowed.
    number = models.PositiveIntegerField()
    nano = models.BigIntegerField()
    transaction = models.ForeignKey(LedgerTransaction, on_delete=models.PROTECT, related_name="+")
    at = models.DateTimeField(default=clock.now, editable=False)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(fields=["promotion", "organisation", "number"], name="one_promotion_use_a_number")
        ]

    def __str__(self) -> str:
        return f"{self.promotion}: {self.organisation} {self.number}"


class Invitation(models.Model):
    """One organisation invites another, and both may gain by it once (BIL-06). Written by billing.services.invitations.

    The invited are known by keyed digests of their normalised e-mail address and phone number, never in the clear.
    """

    class State(models.TextChoices):
        SENT = "sent", "Sent"
        ACCEPTED = "accepted", "Accepted"
        REFUSED = "refused", "Refused"

    promotion = models.ForeignKey(Promotion, on_delete=models.PROTECT, related_name="invitations")
    purpose = models.CharField(max_length=24, choices=Purpose)
    inviter = models.ForeignKey(Organisation, on_delete=models.PROTECT, related_name="invitations_sent")
    invited_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="+")
    email_digest = models.BinaryField(max_length=32)
    phone_digest = models.BinaryField(max_length=32, null=True)
    hint = models.CharField(max_length=80, help_text="Enough of the address to recognise it: a…@example.com.")
    state = models.CharField(max_length=8, choices=State, default=State.SENT)
    refusal = models.CharField(max_length=200, blank=True)
    invitee = models.OneToOneField(
        Organisation, on_delete=models.PROTECT, null=True, blank=True, related_name="invitation"
    )
    created_at = models.DateTimeField(default=clock.now, editable=False)
    decided_at = models.DateTimeField(null=True, editable=False)

    class Meta:
        ordering = ["-id"]
        constraints = [
            purpose_is_said("invitation_says_its_purpose"),
            # Once per invitee: an address or a number that has gained does not gain again, whoever invites.
            models.UniqueConstraint(fields=["email_digest"], name="one_gain_per_email", condition=Q(state="accepted")),
            models.UniqueConstraint(
                fields=["phone_digest"],
                name="one_gain_per_phone",
                condition=Q(state="accepted", phone_digest__isnull=False),
            ),
            models.CheckConstraint(
                name="invitation_not_to_oneself", condition=Q(invitee=None) | ~Q(invitee=F("inviter"))
            ),
        ]
        indexes = [models.Index(fields=["inviter", "-id"], name="invitation_by_inviter")]

    def __str__(self) -> str:
        return f"{self.inviter} → {self.hint}"

    @property
    def organisation(self) -> Organisation:
        """Who invites; for the audit record."""
        return self.inviter
