"""The limits that can be set on an organisation, a project, a member, a key, and an organisation's use of a model."""

from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models

from newapi.kernel import money
from newapi.kernel.meters.windows import Window

_COUNT = [MinValueValidator(0), MaxValueValidator(10**12)]
ALERTS_MAX = 5


def default_alert_percents() -> list[int]:
    """When most people want to hear of it: a little before the end, and at the end."""
    return [80, 100]


def validate_percents(value: list[int]) -> None:
    """Refuse anything that is not a short list of whole percentages in ascending order."""
    is_list = isinstance(value, list) and all(type(item) is int and 1 <= item <= 100 for item in value)
    if not is_list or len(value) > ALERTS_MAX or sorted(set(value)) != value:
        raise ValidationError(f"At most {ALERTS_MAX} percentages from 1 to 100, ascending, such as [80, 100].")


class Limits(models.Model):
    """Empty means no limit; zero is a real limit. Each is charged by every call, and the tightest one decides."""

    class BudgetWindow(models.TextChoices):
        DAY = Window.DAY, "per day"
        WEEK = Window.WEEK, "per week"
        MONTH = Window.MONTH, "per month"
        TOTAL = Window.TOTAL, "in total"

    requests_per_minute = models.BigIntegerField(null=True, blank=True, validators=_COUNT)
    requests_per_day = models.BigIntegerField(null=True, blank=True, validators=_COUNT, help_text="Days are in UTC.")
    tokens_per_minute = models.BigIntegerField(null=True, blank=True, validators=_COUNT)
    tokens_per_day = models.BigIntegerField(null=True, blank=True, validators=_COUNT, help_text="Days are in UTC.")
    in_flight_max = models.BigIntegerField(
        "calls in flight",
        null=True,
        blank=True,
        validators=_COUNT,
        help_text="How many calls may be open at once.",
    )
    body_bytes_max = models.BigIntegerField(
        "bytes per request",
        null=True,
        blank=True,
        validators=_COUNT,
        help_text="How large the body of one call may be.",
    )
    output_tokens_max = models.BigIntegerField(
        "output tokens per call",
        null=True,
        blank=True,
        validators=_COUNT,
        help_text="The most a call may ask for in max_tokens; a call that says nothing is held to it.",
    )
    stream_seconds_max = models.BigIntegerField(
        "seconds per stream",
        null=True,
        blank=True,
        validators=_COUNT,
        help_text="How long one streamed answer may run. It is then ended and charged for what was sent.",
    )
    budget_nano = models.BigIntegerField(
        "budget",
        null=True,
        blank=True,
        validators=[MinValueValidator(0), MaxValueValidator(money.EXACT_MAX_NANO)],
        help_text="The most that may be spent in one budget window, in the organisation's currency.",
    )
    budget_window = models.CharField(max_length=8, choices=BudgetWindow, default=BudgetWindow.MONTH)

    budget_alert_percents = models.JSONField(
        "budget alerts",
        default=default_alert_percents,
        blank=True,
        validators=[validate_percents],
        help_text="At which percentages of the budget to send a notice, once in each window. Empty: none.",
    )

    LIMIT_FIELDS = (
        "requests_per_minute",
        "requests_per_day",
        "tokens_per_minute",
        "tokens_per_day",
        "in_flight_max",
        "body_bytes_max",
        "output_tokens_max",
        "stream_seconds_max",
        "budget_nano",
        "budget_window",
        "budget_alert_percents",
    )

    class Meta:
        abstract = True
