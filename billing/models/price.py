"""Prices: immutable versions, in force from a moment until the next one for the same model, currency and group."""

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator, RegexValidator
from django.db import models
from django.db.models import Q

from billing import price_sheets
from billing.price_sheets import TOKEN_NANO_MAX
from channels.models import Model
from newapi.kernel import clock, money

_RATE = [MinValueValidator(0), MaxValueValidator(TOKEN_NANO_MAX * 10**6)]
_PER_CALL = [MinValueValidator(0), MaxValueValidator(10**15)]


class PriceVersion(models.Model):
    """What a model costs. Token buckets are disjoint: a token is charged in exactly one of them.

    An absent cached-input or cache-write rate means the input rate, an absent reasoning rate the output
    rate: never free by accident. Free needs `is_free`.
    """

    class Per(models.IntegerChoices):
        ONE = 1, "1 token"
        THOUSAND = 1_000, "1,000 tokens"
        MILLION = 1_000_000, "1,000,000 tokens"

    model = models.ForeignKey(Model, on_delete=models.PROTECT, related_name="prices")
    currency = models.CharField(max_length=3, validators=[RegexValidator(r"^[A-Z]{3}$", "Three capital letters.")])
    price_group = models.SlugField(max_length=40, default="default")
    region = models.CharField(
        max_length=2,
        blank=True,
        default="",
        validators=[RegexValidator(r"^[A-Z]{2}$", "Two capital letters, such as DE.")],
        help_text="ISO 3166 code of where the caller is. Empty: wherever no other price holds.",
    )
    effective_from = models.DateTimeField(default=clock.now, help_text="In force from then until the next version.")
    per_units = models.IntegerField(choices=Per, default=Per.MILLION)
    input_nano = models.BigIntegerField("input", default=0, validators=_RATE)
    cached_input_nano = models.BigIntegerField("cached input", null=True, blank=True, validators=_RATE)
    cache_write_nano = models.BigIntegerField("cache write", null=True, blank=True, validators=_RATE)
    output_nano = models.BigIntegerField("output", default=0, validators=_RATE)
    reasoning_nano = models.BigIntegerField("reasoning", null=True, blank=True, validators=_RATE)
    per_call_nano = models.BigIntegerField("per call", default=0, validators=_PER_CALL)
    # Buckets that few models have, each nano per `per_units`: {"cache_write_1h": n, "input_audio": n, …}, and what a
    # call of a tool costs, in nano: {"tool:web_search": n}. Names: billing.pricing.EXTRAS.
    extra_rates = models.JSONField(default=dict, blank=True)
    # Other rates for other circumstances: [{"service": "batch", "above_tokens": 0, "rates": {bucket: nano}}, …].
    # `service`: the tier that the provider served, or empty for any; `above_tokens`: when the input is longer.
    tiers = models.JSONField(default=list, blank=True)
    is_free = models.BooleanField(default=False, help_text="Must be said on purpose when every rate is zero.")
    is_withdrawn = models.BooleanField(
        default=False, help_text="From then on the model has no price here, and calls to it are refused."
    )
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, editable=False)
    # Its publication is its announcement; a dearer price holds no earlier than the notice period after it (BIL-09).
    created_at = models.DateTimeField(default=clock.now, editable=False)

    RATES = (
        "input_nano",
        "cached_input_nano",
        "cache_write_nano",
        "output_nano",
        "reasoning_nano",
        "per_call_nano",
    )

    class Meta:
        ordering = ["model", "currency", "price_group", "-effective_from"]
        constraints = [
            models.UniqueConstraint(
                fields=["model", "currency", "price_group", "region", "effective_from"], name="one_price_at_a_time"
            ),
            models.CheckConstraint(
                name="price_not_negative",
                condition=Q(input_nano__gte=0, output_nano__gte=0, per_call_nano__gte=0),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.model} in {self.currency} from {self.effective_from:%Y-%m-%d %H:%M}"

    def save(self, *args: object, **kwargs: object) -> None:
        """Insert only: a published price never changes. Raises TypeError on a second save."""
        if self.pk is not None and not self._state.adding:
            raise TypeError("A published price never changes. Publish a new version.")
        super().save(*args, **kwargs)  # type: ignore[arg-type]

    def clean(self) -> None:
        """Zero rates must be meant, and no token may cost more than Redis can count exactly."""
        if problems := price_sheets.problems(self):
            raise ValidationError(problems)
        charges = any(price_sheets.amounts(self))
        if not charges and not self.is_free and not self.is_withdrawn:
            raise ValidationError("Every rate is zero. Tick “is free” if that is meant.")
        if charges and (self.is_free or self.is_withdrawn):
            raise ValidationError("A free or withdrawn version has no rates.")
        token_rates = {name: getattr(self, name) or 0 for name in self.RATES if name != "per_call_nano"}
        dear = {name for name, nano in token_rates.items() if nano > TOKEN_NANO_MAX * self.per_units}
        if dear:
            most = money.plain(TOKEN_NANO_MAX * self.per_units)
            raise ValidationError({name: f"At most {most} for so many tokens." for name in dear})
