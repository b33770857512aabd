"""What the gateway asks about detectors: the rules that count now, and the phrases that they look for."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from django.db.models import Max, OuterRef, QuerySet, Subquery

from moderation.models import DetectorRule


@dataclass(frozen=True, slots=True)
class RuleInForce:
    """A version of a rule. `category` is a policy code; `parameters` as moderation.detectors describes them."""

    id: int
    detector: str
    version: int
    mode: str
    category: str
    parameters: Mapping[str, Any]

    @property
    def is_shadow(self) -> bool:
        """Whether it counts without effect."""
        return self.mode == DetectorRule.Mode.SHADOW

    @property
    def blocks(self) -> bool:
        """Whether the gateway refuses the call that it catches."""
        return self.mode == DetectorRule.Mode.BLOCK


def rules_in_force() -> tuple[RuleInForce, ...]:
    """The newest version of each detector's rule, save those that are off, by detector. One query."""
    rows = newest(DetectorRule.objects.exclude(mode=DetectorRule.Mode.OFF)).select_related("category")
    return tuple(of_row(row) for row in rows.order_by("detector"))


def newest(rules: QuerySet[DetectorRule]) -> QuerySet[DetectorRule]:
    """Of some versions those that are the newest of their detector."""
    same = DetectorRule.objects.filter(detector=OuterRef("detector")).order_by().values("detector")
    return rules.filter(version=Subquery(same.annotate(most=Max("version")).values("most")))


def of_row(row: DetectorRule) -> RuleInForce:
    """A rule as a plain value; `category` must be loaded."""
    return RuleInForce(row.pk, row.detector, row.version, row.mode, row.category.code, row.parameters)


def phrases_of(rules: Iterable[RuleInForce]) -> Iterator[tuple[int, str]]:
    """(id of the rule, phrase) for each phrase that a rule looks for; what newapi.gateway.observing.Phrases takes."""
    for rule in rules:
        for phrase in rule.parameters.get("phrases", ()):
            yield rule.id, phrase
