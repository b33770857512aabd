"""The words that notices put into their placeholders, by language. Pure. A language without words speaks English."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from moderation import notice_words_de, notice_words_en

DEFAULT = "en"
_LANGUAGES: Mapping[str, Mapping[str, str]] = {"en": notice_words_en.WORDS, "de": notice_words_de.WORDS}


@dataclass(frozen=True, slots=True)
class Words:
    """How things are said to somebody: in a language, with moments in a time zone."""

    language: str
    zone: ZoneInfo

    def say(self, name: str, /, **values: object) -> str:
        """A phrase by its name. Raises KeyError for one that English does not know."""
        own = _LANGUAGES.get(self.language) or _LANGUAGES.get(self.language.partition("-")[0]) or {}
        phrase = own.get(name, _LANGUAGES[DEFAULT][name])
        return phrase.format(**values) if values else phrase

    def day(self, day: date) -> str:
        """A date with its month in letters."""
        month = self.say("months").split()[day.month - 1]
        return self.say("date", day=day.day, month=month, year=day.year)

    def moment(self, at: datetime) -> str:
        """An aware moment to the minute, with its zone."""
        local = at.astimezone(self.zone)
        return self.say("moment", day=self.day(local.date()), time=f"{local:%H:%M}", zone=self.zone.key)

    def end_of_day(self, ends_at: datetime) -> str:
        """The end of a day, given as the moment at which the next one begins: `the end of 5 December 2026 (zone)`."""
        last = (ends_at - timedelta(microseconds=1)).astimezone(self.zone).date()
        return self.say("end_of_day", day=self.day(last), zone=self.zone.key)
