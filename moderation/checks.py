"""System checks of the moderation app."""

from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, register

from moderation.services import calendar


@register()
def work_calendar_exists(**kwargs: Any) -> list[CheckMessage]:
    """The calendar of the case clocks must name a known country and time zone."""
    try:
        calendar.of_settings()
    except (NotImplementedError, ValueError, OSError, KeyError) as error:
        return [
            Error(
                f"CASE_CALENDAR_COUNTRY={settings.CASE_CALENDAR_COUNTRY} with "
                f"CASE_CALENDAR_TIME_ZONE={settings.CASE_CALENDAR_TIME_ZONE} is no calendar: {error}",
                hint="Example: CASE_CALENDAR_COUNTRY=DE CASE_CALENDAR_TIME_ZONE=Europe/Berlin",
                id="moderation.E001",
            )
        ]
    return []
