"""Models by their public name, and the routes that lead to them."""

from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator, RegexValidator
from django.db import models

from channels.models import validators
from channels.models.channel import Channel
from channels.models.export import ExportControl
from newapi.kernel import clock, money

# A price or a bound of more tokens than this would leave the range in which Redis counts exactly.
TOKENS_MAX = 10_000_000
validate_model_name = RegexValidator(r"^[A-Za-z0-9][A-Za-z0-9._:/@;=+-]*$", "Letters, digits and . _ : / @ ; = + -")


class Model(ExportControl):
    """What callers name in `model`. It can be called when it has a route and a price."""

    class Kind(models.TextChoices):
        CHAT = "chat", "Chat"
        EMBEDDING = "embedding", "Embedding"

    class Strategy(models.TextChoices):
        WEIGHTED = "weighted", "By weight"
        LEAST_IN_FLIGHT = "least_in_flight", "Fewest open calls for its weight"
        LOWEST_LATENCY = "lowest_latency", "Quickest to begin its answer"
        LOWEST_COST = "lowest_cost", "Cheapest route"

    class Affinity(models.TextChoices):
        NONE = "none", "None"
        KEY = "key", "Calls of one API key stay together"
        PROMPT = "prompt", "Calls with the same beginning stay together"

    name = models.CharField(
        max_length=150,
        unique=True,
        validators=[validate_model_name],
        help_text="The name that callers use, such as gpt-4.1.",
    )
    kind = models.CharField(max_length=12, choices=Kind, default=Kind.CHAT)
    owned_by = models.CharField(max_length=100, blank=True, help_text="Shown in GET /v1/models.")
    context_tokens = models.PositiveIntegerField(
        default=128_000,
        validators=[MinValueValidator(1), MaxValueValidator(TOKENS_MAX)],
        help_text="The most input tokens it takes; bounds what a call with images may cost.",
    )
    output_tokens_max = models.PositiveIntegerField(
        default=16_384,
        validators=[MaxValueValidator(TOKENS_MAX)],
        help_text="The most it writes; held in reserve when a call does not say max_tokens.",
    )
    strategy = models.CharField(
        max_length=16,
        choices=Strategy,
        default=Strategy.WEIGHTED,
        help_text="How a channel is chosen among those of the highest priority that can be used.",
    )
    affinity = models.CharField(
        max_length=8,
        choices=Affinity,
        default=Affinity.NONE,
        help_text="Keep calls that share a prompt cache on one channel while it can be used. Goes before the strategy.",
    )
    approval_category = models.CharField(
        "needs approval for",
        max_length=20,
        blank=True,
        help_text="A policy code, such as SX-ADULT for a model of adult content. Only organisations with an approval "
        "for it may call the model.",
    )
    retires_at = models.DateTimeField(
        null=True, blank=True, help_text="From then on calls are answered 410, naming the replacement."
    )
    replacement = models.ForeignKey("self", on_delete=models.PROTECT, null=True, blank=True, related_name="+")
    is_active = models.BooleanField(default=True)
    created_at = models.DateTimeField(default=clock.now, editable=False)

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        """A replacement is another model, a name is nobody's alias, and a policy code has its form."""
        if self.replacement_id is not None and self.replacement_id == self.pk:
            raise ValidationError({"replacement": "A model cannot replace itself."})
        if ModelAlias.objects.filter(name=self.name).exists():
            raise ValidationError({"name": "This is an alias of another model."})
        if self.approval_category:
            try:
                validators.validate_policy_codes([self.approval_category])
            except ValidationError:
                raise ValidationError({"approval_category": "A policy code, such as SX-ADULT."}) from None


class ModelAlias(models.Model):
    """Another name that callers may use for a model, such as one without a date."""

    name = models.CharField(max_length=150, unique=True, validators=[validate_model_name])
    model = models.ForeignKey(Model, on_delete=models.PROTECT, related_name="aliases")
    created_at = models.DateTimeField(default=clock.now, editable=False)

    class Meta:
        verbose_name_plural = "model aliases"
        ordering = ["name"]

    def __str__(self) -> str:
        return f"{self.name} → {self.model}"

    def clean(self) -> None:
        """A model's own name is no alias."""
        if Model.objects.filter(name=self.name).exists():
            raise ValidationError({"name": "A model has this name."})


class ModelFallback(models.Model):
    """A model that serves a call when no channel of the asked-for one could, in the order of `position`.

    The caller pays the price of the model that served. Chains are not followed: only these are tried.
    """

    model = models.ForeignKey(Model, on_delete=models.PROTECT, related_name="fallbacks")
    position = models.PositiveSmallIntegerField(default=1, validators=[MinValueValidator(1), MaxValueValidator(9)])
    fallback = models.ForeignKey(Model, on_delete=models.PROTECT, related_name="+")

    class Meta:
        ordering = ["model", "position"]
        constraints = [
            models.UniqueConstraint(fields=["model", "position"], name="one_fallback_per_position"),
            models.UniqueConstraint(fields=["model", "fallback"], name="one_position_per_fallback"),
        ]

    def __str__(self) -> str:
        return f"{self.model} → {self.fallback} ({self.position})"

    def clean(self) -> None:
        """A model of the same kind, and another one."""
        if self.fallback_id == self.model_id:
            raise ValidationError({"fallback": "A model cannot stand in for itself."})
        if self.fallback_id and self.model_id and self.fallback.kind != self.model.kind:
            raise ValidationError({"fallback": f"“{self.fallback}” is not a {self.model.get_kind_display()} model."})


_COST = [MinValueValidator(0), MaxValueValidator(money.EXACT_MAX_NANO)]


class Route(models.Model):
    """A model on a channel, under the name it has there."""

    model = models.ForeignKey(Model, on_delete=models.PROTECT, related_name="routes")
    channel = models.ForeignKey(Channel, on_delete=models.PROTECT, related_name="routes")
    upstream_name = models.CharField(
        max_length=200, blank=True, help_text="The model's name on this channel. Empty: the same."
    )
    cost_input_nano = models.BigIntegerField(
        "upstream price of input",
        null=True,
        blank=True,
        validators=_COST,
        help_text="What the provider asks for 1,000,000 input tokens, in your currency. “Cheapest” compares it.",
    )
    cost_output_nano = models.BigIntegerField(
        "upstream price of output", null=True, blank=True, validators=_COST, help_text="For 1,000,000 output tokens."
    )
    is_active = models.BooleanField(default=True)

    class Meta:
        ordering = ["model", "channel"]
        constraints = [models.UniqueConstraint(fields=["model", "channel"], name="one_route_per_model_and_channel")]

    def __str__(self) -> str:
        return f"{self.model} → {self.channel}"
