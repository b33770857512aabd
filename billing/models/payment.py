"""Payments: who takes them, what was ordered, what they tell us, what went back."""

from django.conf import settings
from django.core.validators import MinValueValidator
from django.db import models
from django.db.models import F, Q

from accounts.models import Organisation
from billing.models.agreement import RechargeAcceptance
from billing.models.ledger import LedgerTransaction
from billing.models.promotion import Promotion
from billing.models.purpose import Purpose, purpose_is_said
from newapi.kernel import clock, money, secrets


class PaymentProvider(models.Model):
    """A company that takes payments for us, with the secrets of our account there, sealed.

    Needs authorisation evidence for its service before it can be switched on (CHN-07).
    """

    class Protocol(models.TextChoices):
        STRIPE = "stripe", "Stripe"
        EPAY = "epay", "EPay"

    name = models.CharField(max_length=80, unique=True)
    slug = models.SlugField(max_length=40, unique=True, help_text="In the address of its webhook.")
    protocol = models.CharField(max_length=8, choices=Protocol)
    is_active = models.BooleanField(default=False, help_text="Off: no new orders. Its news is still heard.")
    base_url = models.URLField(help_text="Where its interface is.")
    account = models.CharField(max_length=80, blank=True, help_text="Our name there: EPay's pid. Stripe: empty.")
    currency = models.CharField(max_length=3, help_text="The currency in which it takes payments for us.")
    least_minor = models.BigIntegerField(
        "smallest top-up", default=500, validators=[MinValueValidator(1)], help_text="In minor units, such as cents."
    )
    most_minor = models.BigIntegerField(
        "largest top-up", default=1_000_000, validators=[MinValueValidator(1)], help_text="In minor units."
    )
    position = models.PositiveSmallIntegerField(default=0, help_text="Order in which members see it.")
    sealed_secret = models.TextField(blank=True, editable=False)
    # Several, the current one first, so that one can be replaced while news under the other is on its way.
    sealed_webhook_secrets = models.JSONField(default=list, editable=False)
    created_at = models.DateTimeField(default=clock.now, editable=False)

    class Meta:
        ordering = ["position", "name"]
        constraints = [
            models.CheckConstraint(name="provider_has_a_range", condition=Q(most_minor__gte=F("least_minor"))),
        ]

    def __str__(self) -> str:
        return self.name

    def secret(self) -> str:
        """The secret of our account, opened. Raises SealBroken; empty when none was given."""
        return secrets.unseal(self.sealed_secret, bound_to=self.seal_binding) if self.sealed_secret else ""

    def webhook_secrets(self) -> list[str]:
        """What its news may be signed with, opened; never an empty text. Raises SealBroken."""
        opened = (secrets.unseal(sealed, bound_to=self.seal_binding) for sealed in self.sealed_webhook_secrets)
        return [secret for secret in opened if secret]

    @property
    def seal_binding(self) -> str:
        """What its sealed secrets are bound to."""
        return f"payment_provider:{self.slug}"


class TopUpOrder(models.Model):
    """Somebody wants to pay. The row stands before the provider hears of it. Written by billing.services.orders.

    States only go forward: paid beats expired and failed, whichever news comes first.
    """

    class State(models.TextChoices):
        HELD = "held", "Waits for review"
        REJECTED = "rejected", "Rejected"
        CREATED = "created", "Being prepared"
        OPEN = "open", "Waits for payment"
        EXPIRED = "expired", "Expired"
        FAILED = "failed", "Failed"
        MISMATCH = "mismatch", "Paid otherwise than ordered"
        CREDITED = "credited", "Paid and credited"

    class Kind(models.TextChoices):
        CHECKOUT = "checkout", "By a member"
        AUTOMATIC = "automatic", "Automatic"

    organisation = models.ForeignKey(Organisation, on_delete=models.PROTECT, related_name="orders")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="+")
    provider = models.ForeignKey(PaymentProvider, on_delete=models.PROTECT, related_name="orders")
    kind = models.CharField(max_length=10, choices=Kind, default=Kind.CHECKOUT)
    purpose = models.CharField(max_length=24, choices=Purpose)
    # What we call it towards the provider, and its idempotency key there.
    reference = models.CharField(max_length=40, unique=True, editable=False)
    # One form that was opened orders once, however often it is sent.
    once = models.UUIDField(unique=True, editable=False)
    amount_minor = models.BigIntegerField(help_text="To be paid, in minor units of the currency.")
    currency = models.CharField(max_length=3)
    promotion = models.ForeignKey(Promotion, on_delete=models.PROTECT, null=True, blank=True, related_name="+")
    agreement = models.ForeignKey(RechargeAcceptance, on_delete=models.PROTECT, null=True, related_name="+")
    saves_method = models.BooleanField(default=False, help_text="Keep the means of payment for automatic top-ups.")
    state = models.CharField(max_length=10, choices=State, default=State.CREATED)
    why = models.CharField(max_length=300, blank=True, help_text="Of a state that needs to be explained.")
    pay_url = models.TextField(blank=True)
    # The provider's names: of the session or order, and of the payment. Unique with the provider, so that
    # one payment credits once.
    session_reference = models.CharField(max_length=255, blank=True)
    payment_reference = models.CharField(max_length=255, null=True)
    paid_minor = models.BigIntegerField(null=True)
    transaction = models.OneToOneField(
        LedgerTransaction, on_delete=models.PROTECT, null=True, related_name="top_up_order"
    )
    # Cumulative, as the provider counts it; only grows.
    refunded_minor = models.BigIntegerField(default=0)
    is_disputed = models.BooleanField(default=False)
    created_at = models.DateTimeField(default=clock.now, editable=False)
    credited_at = models.DateTimeField(null=True)
    expires_at = models.DateTimeField()
    # When the sweeper asks the provider next, and how often it has; null: never again.
    poll_at = models.DateTimeField(null=True)
    polls = models.PositiveSmallIntegerField(default=0)

    class Meta:
        ordering = ["-id"]
        constraints = [
            purpose_is_said("order_says_its_purpose"),
            models.CheckConstraint(name="order_is_for_something", condition=Q(amount_minor__gt=0)),
            models.CheckConstraint(
                name="order_credited_has_transaction",
                condition=Q(state="credited", transaction__isnull=False)
                | (~Q(state="credited") & Q(transaction__isnull=True)),
            ),
            models.UniqueConstraint(fields=["provider", "payment_reference"], name="one_order_per_payment"),
        ]
        indexes = [
            models.Index(fields=["organisation", "-id"], name="order_by_organisation"),
            models.Index(fields=["poll_at"], name="order_to_poll", condition=Q(poll_at__isnull=False)),
            models.Index(fields=["provider", "session_reference"], name="order_by_session"),
        ]

    def __str__(self) -> str:
        return self.reference


class PaymentEvent(models.Model):
    """News from a provider, kept as it came, before it is acted on. One row each, however often it is sent."""

    class State(models.TextChoices):
        WAITING = "waiting", "Waits"
        DONE = "done", "Done"
        REVIEW = "review", "Needs a person"

    provider = models.ForeignKey(PaymentProvider, on_delete=models.PROTECT, related_name="events")
    event_id = models.CharField(max_length=255)
    kind = models.CharField(max_length=80)
    payload = models.JSONField()
    state = models.CharField(max_length=8, choices=State, default=State.WAITING)
    order = models.ForeignKey(TopUpOrder, on_delete=models.PROTECT, null=True, blank=True, related_name="events")
    tries = models.PositiveSmallIntegerField(default=0)
    next_try_at = models.DateTimeField(default=clock.now)
    error = models.CharField(max_length=500, blank=True)
    received_at = models.DateTimeField(default=clock.now, editable=False)
    done_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-id"]
        constraints = [models.UniqueConstraint(fields=["provider", "event_id"], name="one_row_per_event")]
        indexes = [models.Index(fields=["next_try_at"], name="event_waiting", condition=Q(state="waiting"))]

    def __str__(self) -> str:
        return f"{self.kind} {self.event_id}"


class MoneyBack(models.Model):
    """Money of an order that went back: a refund that we gave, or a dispute that took it (or was won again).

    An order's refunds are cumulative; each row is what one decision or one piece of news added.
    """

    class Kind(models.TextChoices):
        REFUND = "refund", "Refund"
        DISPUTE = "dispute", "Dispute"

    class Ground(models.TextChoices):
        CONSENT = "consent", "Written consent"
        EXCEPTION = "exception", "Exception in policy"
        WITHDRAWAL = "withdrawal", "Consumer's right of withdrawal"
        PROVIDER = "provider", "Given at the provider"

    class State(models.TextChoices):
        ASKED = "asked", "Asked of the provider"
        DONE = "done", "Gone back"
        FAILED = "failed", "Failed"
        WON = "won", "Dispute won"

    order = models.ForeignKey(TopUpOrder, on_delete=models.PROTECT, related_name="money_back")
    kind = models.CharField(max_length=8, choices=Kind)
    ground = models.CharField(max_length=10, choices=Ground, blank=True)
    document = models.CharField(max_length=200, blank=True, help_text="The consent or policy that it rests on.")
    amount_minor = models.BigIntegerField()
    state = models.CharField(max_length=8, choices=State, default=State.ASKED)
    # Our idempotency key at the provider, and the provider's own name for it.
    reference = models.CharField(max_length=60, unique=True)
    provider_reference = models.CharField(max_length=255, blank=True)
    why = models.CharField(max_length=300, blank=True)
    reason = models.CharField(max_length=500, blank=True)
    requested_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="+")
    transaction = models.OneToOneField(
        LedgerTransaction, on_delete=models.PROTECT, null=True, related_name="money_back"
    )
    # The transaction that gave it back to the wallet when a dispute was won or a refund failed.
    undone = models.OneToOneField(LedgerTransaction, on_delete=models.PROTECT, null=True, related_name="+")
    created_at = models.DateTimeField(default=clock.now, editable=False)
    next_try_at = models.DateTimeField(null=True)
    tries = models.PositiveSmallIntegerField(default=0)

    class Meta:
        ordering = ["-id"]
        verbose_name_plural = "money back"
        constraints = [models.CheckConstraint(name="money_back_is_some", condition=Q(amount_minor__gt=0))]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} {self.reference}"

    @property
    def organisation(self) -> Organisation:
        """Whose order it was; for the audit record."""
        return self.order.organisation


class AutoTopUp(models.Model):
    """Pay by a kept means of payment when the balance falls below a threshold. See billing.services.auto_top_ups."""

    organisation = models.OneToOneField(Organisation, on_delete=models.PROTECT, related_name="auto_top_up")
    provider = models.ForeignKey(PaymentProvider, on_delete=models.PROTECT, related_name="+")
    is_active = models.BooleanField(default=True)
    threshold_nano = models.BigIntegerField(
        "threshold", validators=[MinValueValidator(0)], help_text="In the organisation's currency."
    )
    amount_minor = models.BigIntegerField("amount", validators=[MinValueValidator(1)])
    most_a_month = models.PositiveSmallIntegerField(
        default=5, validators=[MinValueValidator(1)], help_text="How many automatic top-ups there may be in a month."
    )
    # The provider's names; of no use without the secret of our account there.
    customer_reference = models.CharField(max_length=255)
    method_reference = models.CharField(max_length=255)
    method_text = models.CharField(max_length=80, blank=True, help_text="Such as visa •••• 4242.")
    set_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="+")
    # After a decline: not before this moment.
    paused_until = models.DateTimeField(null=True)
    declines = models.PositiveSmallIntegerField(default=0)
    last_order = models.ForeignKey(TopUpOrder, on_delete=models.PROTECT, null=True, related_name="+")

    class Meta:
        ordering = ["organisation"]

    def __str__(self) -> str:
        return f"{self.organisation}: below {money.plain(self.threshold_nano)}"
