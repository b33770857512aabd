"""What a detector is: a table of parameters with words and bounds, and a pure judgement of what was counted."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from django.core.exceptions import ValidationError

PHRASES_MAX = 200
PHRASE_LENGTH_MIN, PHRASE_LENGTH_MAX = 4, 200


@dataclass(frozen=True, slots=True)
class Number:
    """A whole number that a rule takes. `words` say what it does; `unit` stands behind it on pages."""

    name: str
    label: str
    words: str
    least: int
    most: int
    default: int
    unit: str = ""

    def check(self, value: Any) -> int:
        """The value. Raises ValidationError when it is no whole number within the bounds."""
        if type(value) is not int or not self.least <= value <= self.most:
            raise ValidationError(f"{self.label}: a whole number from {self.least:,} to {self.most:,}.")
        return value

    def shown(self, value: Any) -> str:
        """For people."""
        return f"{value:,} {self.unit}".strip()


@dataclass(frozen=True, slots=True)
class Phrases:
    """A list of phrases that a rule takes: plain words, no patterns."""

    name: str
    label: str
    words: str
    default: tuple[str, ...]

    def check(self, value: Any) -> list[str]:
        """The phrases without repeats. Raises ValidationError when it is no list of texts, too long or empty."""
        if not isinstance(value, list | tuple) or not all(isinstance(phrase, str) for phrase in value):
            raise ValidationError(f"{self.label}: a list of texts.")
        phrases = list({" ".join(phrase.casefold().split()): None for phrase in value})
        if not 1 <= len(phrases) <= PHRASES_MAX:
            raise ValidationError(f"{self.label}: from 1 to {PHRASES_MAX} phrases.")
        for phrase in phrases:
            # A short one would be found in the midst of innocent words.
            if not PHRASE_LENGTH_MIN <= len(phrase) <= PHRASE_LENGTH_MAX:
                raise ValidationError(
                    f"{self.label}: “{phrase[:40]}” must have {PHRASE_LENGTH_MIN} to {PHRASE_LENGTH_MAX} characters."
                )
        return phrases

    def shown(self, value: Any) -> str:
        """For people."""
        return " · ".join(value)


Parameter = Number | Phrases


@dataclass(frozen=True, slots=True)
class Finding:
    """What a detector noticed about a subject. `facts` are numbers by name; `count` grows while it goes on.

    Within `window` after the first notice the same finding is the same signal. `evidence` names the list of
    request ids that go with it. `kind` tells findings of one detector apart that say different things. `keys`: of
    a group, those that it is about.
    """

    count: int
    facts: Mapping[str, int]
    window: timedelta
    evidence: str = "c"
    kind: str = ""
    keys: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class Detector:
    """What a detector takes and may do. `judge` looks at one key; None when the job itself brings the pieces together.

    category: the policy code that it usually signals. words: what it looks for, for the admin.
    """

    name: str
    words: str
    category: str
    parameters: tuple[Parameter, ...]
    judge: Callable[..., Finding | None] | None = None
    modes: frozenset[str] = field(default=frozenset({"off", "shadow", "signal"}))

    def defaults(self) -> dict[str, Any]:
        """The parameters of the first version."""
        return {
            parameter.name: list(parameter.default) if isinstance(parameter, Phrases) else parameter.default
            for parameter in self.parameters
        }

    def check(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """The parameters as they may be kept. Raises ValidationError by name of parameter."""
        known = {parameter.name for parameter in self.parameters}
        complaints: dict[str, Any] = {}
        if unknown := sorted(set(values) - known):
            complaints["__all__"] = f"{self.name} takes no {', '.join(unknown)}."
        checked = {}
        for parameter in self.parameters:
            try:
                checked[parameter.name] = parameter.check(values.get(parameter.name))
            except ValidationError as error:
                complaints[parameter.name] = error.messages
        if complaints:
            raise ValidationError(complaints)
        return checked
