"""Looking at keys: what the detectors say of each, what upstreams refused, and the throttle for sustained abuse."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from django.db.models import Count, QuerySet

from accounts.models import APIKey
from moderation.detection import RuleInForce
from moderation.detectors import counters, sustained_abuse
from moderation.detectors.base import Finding
from moderation.detectors.evidence import KeyEvidence, Mark
from moderation.detectors.table import DETECTORS
from moderation.models import DetectorRule, Signal
from moderation.services import throttles
from moderation.services.watch import Watch, parameters, subject_of
from newapi.kernel import clock

Known = tuple[KeyEvidence, APIKey]
# Of a mark, which names its hour: whenever it is told within a day, it is the same signal.
MARK_WINDOW = timedelta(hours=24)

_Name = DetectorRule.Detector


def look(watch: Watch, subjects: Sequence[str]) -> None:
    """Look at some keys."""
    found = counters.keys_of(subjects, now_ms=watch.now_ms)
    keys = APIKey.objects.in_bulk([seen.api_key_id for seen in found])
    known = [(seen, keys[seen.api_key_id]) for seen in found if seen.api_key_id in keys]
    for seen, key in known:
        _judge(watch, seen, key)
        _tell_phrases(watch, seen, key)
        _tell_refusals(watch, seen, key)
    _answer_abuse(watch, known)


def _judge(watch: Watch, seen: KeyEvidence, key: APIKey) -> None:
    for name, rule in watch.rules.items():
        judge = DETECTORS[name].judge
        finding = judge(seen, parameters(rule)) if judge else None
        if finding is None or (name == _Name.HARVESTING and watch.is_approved(rule, key)):
            continue
        watch.notice(rule, subject_of(key), finding)


def _tell_phrases(watch: Watch, seen: KeyEvidence, key: APIKey) -> None:
    """One signal an hour for each version whose phrases were found, by that version."""
    for mark in seen.marks("j:"):
        rule = watch.version(int(mark.what))
        if rule is not None:
            watch.notice(rule, subject_of(key), _marked(mark, "calls with a phrase"))
        counters.told(seen.subject, mark)


def _tell_refusals(watch: Watch, seen: KeyEvidence, key: APIKey) -> None:
    """One signal an hour for each category that an upstream's filter named."""
    for mark in seen.marks("u:"):
        watch.notice_refusal(mark.what, subject_of(key), _marked(mark, "calls refused"))
        counters.told(seen.subject, mark)


def _marked(mark: Mark, what: str) -> Finding:
    return Finding(mark.n, {what: mark.n}, MARK_WINDOW, evidence=mark.name, kind=str(mark.hour))


def _answer_abuse(watch: Watch, known: Iterable[Known]) -> None:
    """Slow the keys that give too many signals, or run into their rates too often."""
    rule = watch.rules.get(_Name.SUSTAINED_ABUSE)
    if rule is None:
        return
    hour_ago = watch.at - sustained_abuse.HOUR
    counted = _signals(since=hour_ago).filter(api_key__in=[key for _, key in known])
    signalled = dict(counted.values_list("api_key").annotate(n=Count("pk")))
    for seen, key in known:
        if sustained_abuse.judge(signalled.get(key.pk, 0), seen.in_the_hour("q"), parameters(rule)):
            _answer(watch, rule, seen, key, since=max(hour_ago, throttles.latest_end(key)))


def _answer(watch: Watch, rule: RuleInForce, seen: KeyEvidence, key: APIKey, *, since: datetime) -> None:
    """Judge again by what came after the last throttle, which has answered what came before it."""
    finding = sustained_abuse.judge(
        _signals(since=since).filter(api_key=key).count(),
        seen.in_the_hour("q", since_ms=clock.to_ms(since)),
        parameters(rule),
    )
    if finding is None:
        return
    watch.notice(rule, subject_of(key), finding)
    if rule.is_shadow:
        return
    category = watch.categories[rule.category]
    facts = ", ".join(f"{name}: {n:,}" for name, n in finding.facts.items())
    throttles.impose(
        api_key=key,
        category=category if category.is_in_force else None,
        rate_per_minute=parameters(rule)["rate_per_minute"],
        minutes=parameters(rule)["minutes"],
        reason=f"Sustained abuse was noticed automatically ({facts}).",
    )


def _signals(*, since: datetime) -> QuerySet[Signal]:
    """What counts towards a throttle: what detectors noticed with effect, unless a person found it mistaken.

    Refusals of upstreams do not: they are about what was asked, not about how the platform is used.
    """
    return (
        Signal.objects.filter(source=Signal.Source.DETECTOR, is_shadow=False, last_at__gt=since)
        .exclude(verdict=Signal.Verdict.FALSE_POSITIVE)
        .exclude(rule__detector=_Name.SUSTAINED_ABUSE)
        .order_by()
    )
