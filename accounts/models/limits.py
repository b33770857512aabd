"""The limits that can be set on an organisation, a project, a member and a key alike."""

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models

from newapi.kernel import money
from newapi.kernel.meters.windows import Window

_COUNT = [MinValueValidator(0), MaxValueValidator(10**12)]


class Limits(models.Model):
    """Empty means no limit; zero is a real limit. Each is charged by every call, and the tightest one decides."""

    class BudgetWindow(models.TextChoices):
        DAY = Window.DAY, "per day"
        WEEK = Window.WEEK, "per week"
        MONTH = Window.MONTH, "per month"
        TOTAL = Window.TOTAL, "in total"

    requests_per_minute = models.BigIntegerField(null=True, blank=True, validators=_COUNT)
    tokens_per_minute = models.BigIntegerField(null=True, blank=True, validators=_COUNT)
    tokens_per_day = models.BigIntegerField(null=True, blank=True, validators=_COUNT, help_text="Days are in UTC.")
    in_flight_max = models.BigIntegerField(
        "calls in flight",
        null=True,
        blank=True,
        validators=_COUNT,
        help_text="How many calls may be open at once.",
    )
    budget_nano = models.BigIntegerField(
        "budget",
        null=True,
        blank=True,
        validators=[MinValueValidator(0), MaxValueValidator(money.EXACT_MAX_NANO)],
        help_text="The most that may be spent in one budget window, in the organisation's currency.",
    )
    budget_window = models.CharField(max_length=8, choices=BudgetWindow, default=BudgetWindow.MONTH)

    LIMIT_FIELDS = (
        "requests_per_minute",
        "tokens_per_minute",
        "tokens_per_day",
        "in_flight_max",
        "budget_nano",
        "budget_window",
    )

    class Meta:
        abstract = True
