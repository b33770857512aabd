"""What keepers of the calendar and of the roster need to be told."""

from datetime import date
from typing import Any

from django import forms
from django.core.exceptions import ValidationError

from accounts.admin.fields import LinesField, picker
from accounts.admin.reasons import ReasonedForm
from moderation.models import CalendarVersion, DutyShift
from moderation.services import calendar
from moderation.services.calendars import Days

WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


class DatesField(LinesField):
    """Dates, one a line, such as 2026-12-24."""

    def to_python(self, value: Any) -> list[date]:  # type: ignore[override]
        """The dates, in order. Raises ValidationError for anything else."""
        found = []
        for text in super().to_python(value):
            try:
                found.append(date.fromisoformat(text))
            except ValueError:
                raise ValidationError(f"“{text[:40]}” is no date. Such as 2026-12-24.") from None
        return sorted(set(found))

    def prepare_value(self, value: Any) -> Any:
        """Stored dates as they would be typed."""
        return "\n".join(str(one) for one in value) if isinstance(value, list) else value


class CalendarForm(ReasonedForm):
    """The next version of the calendar, starting from the one that counts now."""

    country = forms.CharField(
        label="Country",
        max_length=10,
        help_text="Whose public holidays are kept: DE, or DE-BY with its region. China's worked weekends come with it.",
    )
    time_zone = forms.CharField(label="Time zone", max_length=60, help_text="Such as Europe/Berlin.")
    opens_at = forms.TimeField(label="Opens", help_text="On a working day, by the clock of that time zone.")
    closes_at = forms.TimeField(label="Closes", help_text="Promises of days are kept until then.")
    weekend = forms.TypedMultipleChoiceField(
        label="Weekend",
        required=False,
        coerce=int,
        choices=list(enumerate(WEEKDAYS)),
        widget=forms.CheckboxSelectMultiple,
        help_text="Days that are not worked. None chosen: as the country has it.",
    )
    extra_holidays = DatesField(
        label="Closed as well", help_text="Dates beside the public holidays, one a line, such as 2026-12-24."
    )
    make_up_days = DatesField(label="Worked as well", help_text="Dates worked although they are weekend or holiday.")
    expected_version = forms.IntegerField(widget=forms.HiddenInput)

    def __init__(self, *args: Any, before: CalendarVersion | None, **kwargs: Any) -> None:
        super().__init__(*args, initial=_start(before), **kwargs)
        # Whoever only wants to know what would move has not yet a reason.
        self.fields["reason"].required = "_preview" not in (self.data or {})

    def days(self) -> Days:
        """What was written, for a preview."""
        data = self.cleaned_data
        return Days(
            country=data["country"],
            time_zone=data["time_zone"],
            opens_at=data["opens_at"],
            closes_at=data["closes_at"],
            weekend=tuple(data["weekend"]),
            extra_holidays=tuple(data["extra_holidays"]),
            make_up_days=tuple(data["make_up_days"]),
        )


def _start(before: CalendarVersion | None) -> dict[str, Any]:
    names = ("country", "time_zone", "opens_at", "closes_at", "weekend", "extra_holidays", "make_up_days")
    if before is not None:
        return {**{name: getattr(before, name) for name in names}, "expected_version": before.version}
    work = calendar.of_settings()
    hours = {"opens_at": work.opens, "closes_at": work.closes}
    country, zone = calendar.named_by_settings()
    return {"country": country, "time_zone": zone, **hours, "expected_version": 0}


class ShiftForm(ReasonedForm):
    """Who is there, as what, from when until when."""

    user = picker(DutyShift._meta.get_field("user"), label="Who")
    duty = forms.ChoiceField(
        label="As what",
        choices=DutyShift.Duty.choices,
        help_text="Reviewers hear of warnings on cases that are nobody's, leads of breaches; on call is paged by L1.",
    )
    starts_at = forms.SplitDateTimeField(label="From", help_text="In UTC.")
    ends_at = forms.SplitDateTimeField(label="Until", help_text="In UTC; 31 days at most.")
