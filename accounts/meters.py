"""Which meters a holder's limits ask for: what the gateway charges, what pages show, what budget alerts watch."""

from accounts.models import Limits
from newapi.kernel.meters import keys
from newapi.kernel.meters.till import Meter
from newapi.kernel.meters.windows import Window

ORGANISATION = "org"


def key_scope(api_key_id: int) -> str:
    """The scope of a key's meters."""
    return f"key:{api_key_id}"


def member_scope(user_id: int) -> str:
    """The scope of the meters of all keys that a person has in an organisation."""
    return f"member:{user_id}"


def project_scope(project_id: int) -> str:
    """The scope of a project's meters."""
    return f"project:{project_id}"


def model_scope(model_id: int) -> str:
    """The scope of the meters of an organisation's use of one model."""
    return f"model:{model_id}"


def meters_of(organisation_id: int, scope: str, limits: Limits) -> list[Meter]:
    """The meters that a holder's limits ask for; none for a limit that is not set."""
    table = (
        ("requests_per_minute", "c", limits.requests_per_minute, Window.MINUTE),
        ("requests_per_day", "c", limits.requests_per_day, Window.DAY),
        ("tokens_per_minute", "t", limits.tokens_per_minute, Window.MINUTE),
        ("tokens_per_day", "t", limits.tokens_per_day, Window.DAY),
        ("in_flight", "f", limits.in_flight_max, Window.NOW),
        (f"budget_{limits.budget_window}", "n", limits.budget_nano, Window(limits.budget_window)),
    )
    return [
        Meter(keys.meter(organisation_id, scope, name), kind, limit, window, scope, name)
        for name, kind, limit, window in table
        if limit is not None
    ]
