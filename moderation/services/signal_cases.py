"""From signals to cases: a repeated or high-risk pattern opens one, for people to look into (MOD-14).

Signals of rules in shadow mode never take part, nor those that a person has found mistaken.
"""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from django.db import transaction
from django.db.models import Count, Exists, OuterRef, Q, QuerySet

from accounts.models import Organisation
from moderation.models import Case, CaseEvent, PolicyCategory, Signal
from moderation.models.policy import Level
from moderation.services import events, joining, rounds
from newapi.kernel import clock

# Signals of one organisation and category within WINDOW that open a case. One is up to an hour of one key.
THRESHOLDS = {Level.L1: 1, Level.L2: 2, Level.L3: 3, Level.L4: 5}
WINDOW = timedelta(days=7)
# Those of one organisation and category that one run takes; the next takes the rest.
SIGNALS_AT_ONCE = 500
_NAMES_MAX = 10


def join(*, limit: int = 200) -> int:
    """Put signals to cases, for at most so many pairs of organisation and category. Returns how many signals.

    Harmless when run twice, or twice at once: a signal is claimed by a guarded update.
    """
    return rounds.each(_due()[:limit], lambda pair: _take(*pair), what="Organisation and category")


def waiting() -> QuerySet[Signal]:
    """The signals with effect that belong to no case yet, of the time that counts."""
    verdicts = (Signal.Verdict.OPEN, Signal.Verdict.CONFIRMED)
    fresh = Signal.objects.filter(verdict__in=verdicts, last_at__gt=clock.now() - WINDOW, case=None, is_shadow=False)
    return fresh.filter(category__in=PolicyCategory.objects.in_force())


def _due() -> list[tuple[int, int]]:
    """The pairs of organisation and category that are to be put to a case. What is too few to be a pattern waits."""
    there_is = Case.objects.filter(
        organisation=OuterRef("organisation"), category=OuterRef("category"), state__in=Case.UNDECIDED_STATES
    ).exclude(joining.under_appeal())
    grouped = waiting().order_by().annotate(has_case=Exists(there_is))
    counted = grouped.values("organisation", "category", "category__level", "has_case").annotate(
        n=Count("pk"), sure=Count("pk", filter=Q(verdict=Signal.Verdict.CONFIRMED))
    )
    enough = Q(has_case=True) | Q(sure__gt=0)
    for level, least in THRESHOLDS.items():
        enough |= Q(category__level=level, n__gte=least)
    return list(counted.filter(enough).order_by("organisation", "category").values_list("organisation", "category"))


@transaction.atomic
def _take(organisation_id: int, category_id: int) -> int:
    """Put the waiting signals of one organisation and category to their case, if there is to be one."""
    joining.lock([category_id])
    mine = waiting().filter(organisation=organisation_id, category=category_id).order_by("first_at", "pk")
    signals = list(
        mine.select_related("organisation", "category", "rule", "api_key__project", "api_key__user")[:SIGNALS_AT_ONCE]
    )
    if not signals:
        return 0
    where = {"organisation": signals[0].organisation, "category": signals[0].category}
    if not joining.joinable(**where).exists() and not _opens(signals):  # type: ignore[arg-type]
        return 0
    return _join(signals, **where)  # type: ignore[arg-type]


def _opens(signals: Sequence[Signal]) -> bool:
    """Whether these are a pattern: often enough for the level, or one that a person has confirmed."""
    if any(signal.verdict == Signal.Verdict.CONFIRMED for signal in signals):
        return True
    return len(signals) >= THRESHOLDS[Level(signals[0].category.level)]


def _join(signals: Sequence[Signal], organisation: Organisation, category: PolicyCategory) -> int:
    keys = {signal.api_key for signal in signals}
    [only] = keys if len(keys) == 1 else [None]
    about: dict[str, Any] = {"api_key": only, "project": only.project, "user": only.user} if only else {}
    case, is_new = joining.open_or_join(
        organisation=organisation,
        category=category,
        summary=_summary(signals),
        source=Case.Source.AUTOMATED,
        reason="A pattern was noticed automatically",
        acted_at=signals[0].first_at,
        **about,
    )
    claimed = Signal.objects.filter(pk__in=[signal.pk for signal in signals], case=None).update(case=case)
    names = ", ".join(str(signal.pk) for signal in signals[:_NAMES_MAX])
    more = f" and {len(signals) - _NAMES_MAX} more" if len(signals) > _NAMES_MAX else ""
    after = f"{'Signal' if len(signals) == 1 else 'Signals'} {names}{more}"
    events.append(case=case, kind=CaseEvent.Kind.SIGNAL, after=after, reason="" if is_new else "Noticed again.")
    return claimed


def _summary(signals: Sequence[Signal]) -> str:
    """In numbers, by whom it was noticed; never what was asked."""
    by = sorted({str(signal.rule) if signal.rule else signal.get_source_display() for signal in signals})
    first, last = signals[0].first_at, max(signal.last_at for signal in signals)
    return (
        f"{', '.join(by)}: {len(signals)} signal{'' if len(signals) == 1 else 's'}, "
        f"{sum(signal.count for signal in signals):,} times, {first:%Y-%m-%d %H:%M} to {last:%Y-%m-%d %H:%M} UTC."
    )
