"""Models by their public name, and the routes that lead to them."""

from django.core.validators import MaxValueValidator, MinValueValidator, RegexValidator
from django.db import models

from channels.models.channel import Channel
from newapi.kernel import clock

# A price or a bound of more tokens than this would leave the range in which Redis counts exactly.
TOKENS_MAX = 10_000_000


class Model(models.Model):
    """What callers name in `model`. It can be called when it has a route and a price."""

    class Kind(models.TextChoices):
        CHAT = "chat", "Chat"
        EMBEDDING = "embedding", "Embedding"

    name = models.CharField(
        max_length=150,
        unique=True,
        validators=[RegexValidator(r"^[A-Za-z0-9][A-Za-z0-9._:/@;=+-]*$", "Letters, digits and . _ : / @ ; = + -")],
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
    is_active = models.BooleanField(default=True)
    created_at = models.DateTimeField(default=clock.now, editable=False)

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class Route(models.Model):
    """A model on a channel, under the name it has there."""

    model = models.ForeignKey(Model, on_delete=models.PROTECT, related_name="routes")
    channel = models.ForeignKey(Channel, on_delete=models.PROTECT, related_name="routes")
    upstream_name = models.CharField(
        max_length=200, blank=True, help_text="The model's name on this channel. Empty: the same."
    )
    is_active = models.BooleanField(default=True)

    class Meta:
        ordering = ["model", "channel"]
        constraints = [models.UniqueConstraint(fields=["model", "channel"], name="one_route_per_model_and_channel")]

    def __str__(self) -> str:
        return f"{self.model} → {self.channel}"
