"""One look of the detectors: the rules of one moment, and how a finding becomes a signal."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from accounts.models import APIKey
from moderation import detection
from moderation.detection import RuleInForce
from moderation.detectors import counters
from moderation.detectors.base import Finding
from moderation.detectors.table import DETECTORS
from moderation.models import DetectorRule, PolicyCategory, Signal
from moderation.selectors import Granted, approvals_of
from moderation.services import signals
from moderation.services.signals import Subject
from newapi.kernel import clock

UNNAMED = "PA-OTHER"


@dataclass(slots=True)
class Watch:
    """What a look knows. `rules` are by detector; a detector that is off is not among them."""

    at: datetime
    rules: Mapping[str, RuleInForce]
    categories: Mapping[str, PolicyCategory]
    _versions: dict[int, RuleInForce | None] = field(default_factory=dict)
    _approvals: dict[int, tuple[Granted, ...]] = field(default_factory=dict)

    @classmethod
    def now(cls) -> "Watch":
        """With the rules in force now."""
        rules = {rule.detector: rule for rule in detection.rules_in_force()}
        return cls(clock.now(), rules, PolicyCategory.objects.in_bulk(field_name="code"))

    @property
    def now_ms(self) -> int:
        """The moment of the look, in ms."""
        return clock.to_ms(self.at)

    def version(self, rule_id: int) -> RuleInForce | None:
        """A version of a rule, in force or not."""
        if rule_id not in self._versions:
            row = DetectorRule.objects.select_related("category").filter(pk=rule_id).first()
            self._versions[rule_id] = detection.of_row(row) if row else None
        return self._versions[rule_id]

    def is_approved(self, rule: RuleInForce, key: APIKey) -> bool:
        """Whether the key, or its whole organisation, is approved for what the rule looks for."""
        if key.organisation_id not in self._approvals:
            self._approvals[key.organisation_id] = approvals_of(organisation_id=key.organisation_id)
        return any(
            granted.category == rule.category and granted.api_key_id in (None, key.pk) and granted.holds_at(self.now_ms)
            for granted in self._approvals[key.organisation_id]
        )

    def notice(self, rule: RuleInForce, subject: Subject, finding: Finding) -> None:
        """Write a detector's finding down; the signal cites the version."""
        signals.notice(
            about=f"{rule.detector}:v{rule.version}:{finding.kind}",
            subject=subject,
            category_id=self.categories[rule.category].pk,
            rule_id=rule.id,
            source=Signal.Source.DETECTOR,
            is_shadow=rule.is_shadow,
            count=finding.count,
            facts=finding.facts,
            request_ids=counters.request_ids(subject.name, finding.evidence),
            window=finding.window,
        )

    def notice_refusal(self, code: str, subject: Subject, finding: Finding) -> None:
        """Write down what an upstream's filter named. A code that we do not have is PA-OTHER."""
        category = self.categories.get(code) or self.categories[UNNAMED]
        signals.notice(
            about=f"upstream:{code}:{finding.kind}",
            subject=subject,
            category_id=category.pk,
            rule_id=None,
            source=Signal.Source.UPSTREAM,
            is_shadow=False,
            count=finding.count,
            facts=finding.facts,
            request_ids=counters.request_ids(subject.name, finding.evidence),
            window=finding.window,
        )


def parameters(rule: RuleInForce) -> dict[str, Any]:
    """A version's parameters; one that the detector has learnt since has its default."""
    return DETECTORS[rule.detector].defaults() | dict(rule.parameters)


def subject_of(key: APIKey) -> Subject:
    """A key as the subject of a signal."""
    return Subject(f"k:{key.pk}", key.organisation_id, key.pk, key.user_id)
