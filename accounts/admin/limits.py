"""How the limits that organisations, projects, members and keys share are asked for and shown."""

from typing import Any

from accounts.models import Limits, Organisation
from newapi.kernel import money

LIMITS: tuple[str, dict[str, Any]] = (
    "Limits",
    {
        "fields": [
            ("requests_per_minute", "in_flight_max"),
            ("tokens_per_minute", "tokens_per_day"),
            ("budget_nano", "budget_window"),
        ],
        "description": "Empty: no limit here. Zero is a limit. Whichever limit of the key, its member, its project "
        "and its organisation is tightest decides.",
    },
)


def budget_text(limited: Limits, organisation: Organisation) -> str:
    """The budget in words, such as `50.00 USD per month`."""
    if limited.budget_nano is None:
        return "–"
    return f"{money.display(limited.budget_nano, organisation.currency)} {limited.get_budget_window_display()}"
