"""Looking at keys together: those of one owner, those used from one address, and those made within a day."""

from collections.abc import Iterable, Iterator, Sequence

from django.db.models import Count

from accounts.models import APIKey, AuditEvent
from moderation.detectors import counters, rate_evasion
from moderation.detectors.evidence import GroupEvidence
from moderation.models import DetectorRule
from moderation.services.signals import Subject
from moderation.services.watch import Watch, parameters


def look(watch: Watch, subjects: Sequence[str]) -> None:
    """Look at some groups of keys."""
    rule = watch.rules.get(DetectorRule.Detector.RATE_EVASION)
    if rule is None:
        return
    groups = counters.groups_of(subjects, now_ms=watch.now_ms)
    keys = APIKey.objects.in_bulk({key for group in groups for key in group.key_ids})
    limits = {pk: key.requests_per_minute for pk, key in keys.items() if key.requests_per_minute}
    for group in groups:
        finding = rate_evasion.judge(group, limits, parameters(rule))
        if finding is not None:
            for subject in _subjects(group, [keys[pk] for pk in finding.keys]):
                watch.notice(rule, subject, finding)


def _subjects(group: GroupEvidence, keys: Iterable[APIKey]) -> Iterator[Subject]:
    """The owner; or each owner at an address, when there are several: one alone is its own group already."""
    owners = sorted({(key.organisation_id, key.user_id) for key in keys})
    if group.subject.startswith("o:"):
        yield from (_owner(*owner) for owner in owners)
    elif len(owners) > 1:
        for organisation_id, user_id in owners:
            yield Subject(f"{group.subject}:o:{organisation_id}:{user_id}", organisation_id, user_id=user_id)


def look_at_makers(watch: Watch) -> None:
    """Who made more keys within a day than the rule lets pass."""
    rule = watch.rules.get(DetectorRule.Detector.RATE_EVASION)
    if rule is None:
        return
    day = (watch.at - rate_evasion.DAY, watch.at)
    made = AuditEvent.objects.filter(action="api_key.create", at__range=day).order_by()
    most = parameters(rule)["keys_per_day_max"]
    busy = made.values("organisation").annotate(n=Count("pk")).filter(n__gt=most).values("organisation")
    keys = [int(pk) for pk in made.filter(organisation__in=busy).values_list("object_id", flat=True)]
    owners = APIKey.objects.filter(pk__in=keys).order_by().values_list("organisation", "user")
    for organisation_id, user_id, n in owners.annotate(n=Count("pk")):
        finding = rate_evasion.judge_created(n, parameters(rule))
        if finding is not None:
            watch.notice(rule, _owner(organisation_id, user_id), finding)


def _owner(organisation_id: int, user_id: int) -> Subject:
    return Subject(f"o:{organisation_id}:{user_id}", organisation_id, user_id=user_id)
