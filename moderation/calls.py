"""Who made a call. Calls are kept on a floor that this app does not know; whoever keeps them registers a finder."""

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class KnownCall:
    """A call by ids, and when it was made."""

    organisation_id: int
    project_id: int
    user_id: int
    api_key_id: int
    at: datetime


Finder = Callable[[uuid.UUID], KnownCall | None]
_finders: list[Finder] = []


def register(finder: Finder) -> None:
    """Say how a call is found by its request id. For AppConfig.ready of what keeps calls; again is harmless."""
    if finder not in _finders:
        _finders.append(finder)


def find(request_id: str) -> KnownCall | None:
    """The call with an id as it stands in `x-request-id`; None for one that is unknown, or no id at all."""
    try:
        key = uuid.UUID(request_id)
    except ValueError:
        return None
    found = (finder(key) for finder in _finders)
    return next((call for call in found if call is not None), None)
