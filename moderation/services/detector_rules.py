"""Publishing versions of detectors' rules. A version never changes; the newest of a detector is the one that counts."""

from collections.abc import Mapping
from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction

from accounts.models import User
from accounts.services import audit
from channels.services import catalogue
from moderation import permissions
from moderation.detectors.table import DETECTORS
from moderation.errors import NotPermitted
from moderation.models import DetectorRule, PolicyCategory
from newapi.kernel import clock

_Mode = DetectorRule.Mode


@transaction.atomic
def publish(
    *,
    detector: str,
    mode: str,
    parameters: Mapping[str, Any],
    category: PolicyCategory,
    note: str,
    actor: User | None,
    seen_version: int | None = None,
    address: str | None = None,
) -> DetectorRule:
    """Make the next version of a detector's rule; workers and the job obey it from the next call and run on.

    parameters: all that moderation.detectors.table says the detector takes. seen_version: the version that the
    person started from; a newer one refuses. Raises NotPermitted, or ValidationError by field; nothing is changed then.
    """
    if actor is not None and not permissions.may(actor, permissions.PUBLISH_DETECTOR):
        raise NotPermitted(f"This needs the permission {permissions.PUBLISH_DETECTOR}.")
    taken = DETECTORS.get(detector)
    if taken is None:
        raise ValidationError({"detector": f"Choose one of {', '.join(DETECTORS)}."})
    if not note.strip():
        raise ValidationError({"note": "Say what changed, and why."})
    if mode not in taken.modes:
        offered = ", ".join(_Mode(name).value for name in _Mode.values if name in taken.modes)
        raise ValidationError({"mode": f"This detector can be {offered}."})
    if not category.is_in_force:
        raise ValidationError({"category": f"{category.code} is retired or not in force here."})
    checked = taken.check(parameters)
    # First, because it locks: of two who publish at once, the second sees the first's version.
    catalogue.bump()
    before = DetectorRule.objects.filter(detector=detector).select_related("category").order_by("-version").first()
    if seen_version is not None and (before.version if before else 0) != seen_version:
        raise ValidationError("Someone has published another version meanwhile. Look at it, then try again.")
    rule = DetectorRule(
        detector=detector,
        version=before.version + 1 if before else 1,
        mode=mode,
        category=category,
        parameters=checked,
        note=note.strip(),
        author=actor,
        created_at=clock.now(),
    )
    rule.full_clean()
    rule.save()
    audit.record(
        actor=actor,
        action="detector.publish",
        target=rule,
        reason=note,
        changes=_changes(before, rule),
        address=address,
    )
    return rule


def _changes(before: DetectorRule | None, after: DetectorRule) -> dict[str, list[Any]]:
    """What differs between two versions, by name."""
    old, new = (_plain(rule) if rule else {} for rule in (before, after))
    return {name: [old.get(name), value] for name, value in new.items() if old.get(name) != value}


def _plain(rule: DetectorRule) -> dict[str, Any]:
    return {"version": rule.version, "mode": rule.mode, "category": rule.category.code, **rule.parameters}
