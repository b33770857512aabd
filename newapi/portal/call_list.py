"""An organisation's calls, newest first, page by page.

Pages are keyed by the call's time-ordered id: a page stays right while new calls come in, and deep pages cost
no more than the first.
"""

import uuid
from dataclasses import dataclass
from urllib.parse import urlencode

from django.db.models import QuerySet
from django.http import Http404, QueryDict

from accounts.models import APIKey, Organisation
from billing.models import UsageEvent
from newapi.kernel import clock, ids
from newapi.portal.periods import Period
from newapi.portal.typed import bare

CALLS_A_PAGE = 50
DAY_MS = 86_400_000
OUTCOMES = {value: label for value, label in UsageEvent.Outcome.choices}


@dataclass(frozen=True, slots=True)
class CallFilter:
    """What is asked for. `key` is None for all keys; model and outcome are empty for all."""

    period: Period
    key: APIKey | None
    model: str
    outcome: str

    @property
    def is_narrow(self) -> bool:
        """Whether anything but the period is chosen."""
        return bool(self.key or self.model or self.outcome)

    def query(self, **more: str) -> str:
        """The query of a link that keeps the filter."""
        chosen = {
            "days": str(self.period.days),
            "key": str(self.key.pk) if self.key else "",
            "model": self.model,
            "outcome": self.outcome,
            **more,
        }
        return urlencode({name: value for name, value in chosen.items() if value})


@dataclass(frozen=True, slots=True)
class CallPage:
    """Some calls. `newer` and `older` are queries of links; empty at the ends."""

    calls: list[UsageEvent]
    newer: str
    older: str


def read_filter(query: QueryDict, *, organisation: Organisation, period: Period) -> CallFilter:
    """Read a filter from a query. A key of another organisation is a Http404, as if it did not exist."""
    raw_key = query.get("key", "")
    key = None
    if raw_key:
        keys = APIKey.objects.filter(organisation=organisation)
        key = keys.filter(pk=int(raw_key)).first() if raw_key.isdecimal() and len(raw_key) < 19 else None
        if key is None:
            raise Http404("There is no such key for you.")
    outcome = query.get("outcome", "")
    model = bare(query.get("model", ""), length_max=150)
    return CallFilter(period=period, key=key, model=model, outcome=outcome if outcome in OUTCOMES else "")


def read_page(wanted: CallFilter, query: QueryDict, *, organisation: Organisation) -> CallPage:
    """One page: after `?before=` a call going back in time, or before `?after=` one coming forward."""
    calls = _matching(wanted, organisation)
    after = _call_id(query.get("after", ""))
    before = _call_id(query.get("before", ""))
    if after is not None:
        found = list(calls.filter(pk__gt=after).order_by("pk")[: CALLS_A_PAGE + 1])
        has_newer, has_older = len(found) > CALLS_A_PAGE, True
        found = found[:CALLS_A_PAGE][::-1]
    else:
        bounded = calls if before is None else calls.filter(pk__lt=before)
        found = list(bounded.order_by("-pk")[: CALLS_A_PAGE + 1])
        has_newer, has_older = before is not None, len(found) > CALLS_A_PAGE
        found = found[:CALLS_A_PAGE]
    return CallPage(
        calls=found,
        newer=wanted.query(after=str(found[0].pk)) if found and has_newer else "",
        older=wanted.query(before=str(found[-1].pk)) if found and has_older else "",
    )


def one(organisation: Organisation, call_id: uuid.UUID) -> UsageEvent:
    """A call of the organisation. Raises Http404 for every other id."""
    calls = UsageEvent.objects.filter(organisation=organisation, pk=call_id).select_related("asked_model")
    found = _with_names(calls).first()
    if found is None:
        raise Http404("There is no such call for you.")
    return found


def latest(organisation: Organisation, *, limit: int) -> list[UsageEvent]:
    """The newest calls of the last 90 days."""
    return list(_with_names(_since(organisation, days=90)).order_by("-pk")[:limit])


def _matching(wanted: CallFilter, organisation: Organisation) -> QuerySet[UsageEvent]:
    calls = _since(organisation, days=wanted.period.days)
    if wanted.key is not None:
        calls = calls.filter(api_key=wanted.key)
    if wanted.model:
        calls = calls.filter(model__name=wanted.model)
    if wanted.outcome:
        calls = calls.filter(outcome=wanted.outcome)
    return _with_names(calls)


def _since(organisation: Organisation, *, days: int) -> QuerySet[UsageEvent]:
    """The period's calendar days in UTC as a range of ids, so that old partitions are not even opened."""
    now_ms = clock.now_ms()
    start_ms = now_ms - now_ms % DAY_MS - (days - 1) * DAY_MS
    return UsageEvent.objects.filter(organisation=organisation, pk__gte=ids.first_at(start_ms))


def _with_names(calls: QuerySet[UsageEvent]) -> QuerySet[UsageEvent]:
    return calls.select_related("api_key", "model", "project", "user")


def _call_id(text: str) -> uuid.UUID | None:
    try:
        return uuid.UUID(text)
    except ValueError:
        return None
