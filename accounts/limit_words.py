"""Limits in words: which are set, and what happens when one is reached. Every form and page says it so."""

from accounts.models import Limits
from newapi.kernel import money

WHEN_REACHED = {
    "requests_per_minute": "Reached: calls answer 429 until the minute is over, which began with its first call.",
    "requests_per_day": "Reached: calls answer 429 until midnight UTC.",
    "tokens_per_minute": "Input and output. Reached: calls answer 429 until the minute is over.",
    "tokens_per_day": "Input and output. Reached: calls answer 429 until midnight UTC.",
    "in_flight_max": "How many calls may be open at once. Reached: further ones answer 429 until one ends.",
    "body_bytes_max": "How large the body of one call may be. A larger one answers 413 and goes no further.",
    "output_tokens_max": "The most that one call may ask for in max_tokens. One that asks for more answers 413; one "
    "that says nothing is held to it.",
    "stream_seconds_max": "How long one streamed answer may run. It is then ended, and charged for what was sent.",
    "budget_nano": "The most that may be spent in one window, in the organisation's currency. A call that may cost "
    "more than is left of it answers 402.",
    "budget_window": "Windows are in UTC; a week begins on Monday. A total is never started over.",
    "budget_alert_percents": "At which percentages of the budget to send a notice, once in each window, such as 80, "
    "100. Empty: none.",
}

_SET = (
    ("requests_per_minute", "{:,} requests/min"),
    ("requests_per_day", "{:,} requests/day"),
    ("tokens_per_minute", "{:,} tokens/min"),
    ("tokens_per_day", "{:,} tokens/day"),
    ("in_flight_max", "{:,} in flight"),
    ("body_bytes_max", "{:,} bytes per call"),
    ("output_tokens_max", "{:,} output tokens per call"),
    ("stream_seconds_max", "{:,} s per stream"),
)


def in_words(limits: Limits, *, with_budget: str = "") -> list[str]:
    """The limits that are set, such as `60 requests/min`; the budget too when a currency is given."""
    values = ((getattr(limits, name), words) for name, words in _SET)
    found = [words.format(value) for value, words in values if value is not None]
    if with_budget and limits.budget_nano is not None:
        window = Limits.BudgetWindow(limits.budget_window).label
        found.append(f"{money.display(limits.budget_nano, with_budget)} {window}")
    return found


def read_percents(text: str) -> list[int]:
    """The percentages typed as `80, 100`, ascending, each once. Raises ValueError for anything but whole numbers.

    How many they may be and how large is for the model to judge.
    """
    items = [item.strip().removesuffix("%").strip() for item in text.split(",")]
    if not all(item.isascii() and item.isdigit() and len(item) <= 3 for item in items if item):
        raise ValueError("whole percentages with commas between, such as 80, 100")
    return sorted({int(item) for item in items if item})


def write_percents(percents: list[int]) -> str:
    """Percentages as they would be typed."""
    return ", ".join(str(percent) for percent in percents)
