"""Calls that were charged at a wrong price, and what each should have cost. Reads only."""

import uuid
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta

from django.db.models import F, QuerySet, Sum

from accounts.models import Organisation
from billing.models import LedgerTransaction, RatingDelta, Rerating, UsageEvent
from billing.pricing import Rates, price
from billing.selectors import rates_of
from billing.services.usage_rows import tokens_of
from newapi.kernel import clock, ids

# Rows of any price that one batch passes over; so a batch is short whatever it finds.
WINDOW = 1_000
_NEEDED = (
    "id",
    "organisation",
    "transaction",
    "outcome",
    "cost_nano",
    "input_tokens",
    "cached_input_tokens",
    "cache_write_tokens",
    "output_tokens",
    "reasoning_tokens",
    "service_tier",
    "extras",
)


@dataclass(frozen=True, slots=True)
class Difference:
    """A call, what it is charged so far, and what it comes to at the right price; nano."""

    usage: uuid.UUID
    organisation: int
    before_nano: int
    after_nano: int

    @property
    def nano(self) -> int:
        """What is to be charged in addition; negative: to be given back."""
        return self.after_nano - self.before_nano


@dataclass(frozen=True, slots=True)
class Batch:
    """A part of a re-rating's span. `seen`: calls of the wrong price in it; `end`: its last row, None at the end."""

    seen: int
    differences: list[Difference]
    end: uuid.UUID | None


def next_batch(of: Rerating, *, after: uuid.UUID | None) -> Batch:
    """What follows a row, or what comes first. Only calls whose charge differs are in `differences`."""
    rows = _span(of)
    if after is not None:
        rows = rows.filter(pk__gt=after)
    # The key is ordered by time, so that a part of the table is read however rare the price is in it.
    end = rows.order_by("pk").values_list("pk", flat=True)[WINDOW - 1 : WINDOW].first()
    if end is not None:
        rows = rows.filter(pk__lte=end)
    wrong = rows.filter(price=of.wrong_price_id, at__gte=of.since, at__lt=of.until)
    # Test keys are free, and what used nothing was charged nothing, at any price.
    charged = wrong.exclude(is_test=True).exclude(usage_source=UsageEvent.Source.NONE)
    found = _without_reversed(list(charged.order_by("pk").only(*_NEEDED)))
    return Batch(len(found), _differences(found, rates_of(of.right_price)), end)


def by_organisation(differences: Iterable[Difference]) -> dict[int, list[Difference]]:
    """The differences of each organisation, in the order of their calls."""
    found: dict[int, list[Difference]] = defaultdict(list)
    for difference in differences:
        found[difference.organisation].append(difference)
    return dict(sorted(found.items()))


def _span(of: Rerating) -> QuerySet[UsageEvent]:
    """The rows whose keys lie in the span, with the slack that a key has."""
    slack: timedelta = UsageEvent.ID_SLACK
    first, last = (ids.first_at(clock.to_ms(moment)) for moment in (of.since - slack, of.until + slack))
    rows = UsageEvent.objects.filter(pk__gte=first, pk__lt=last)
    return rows.filter(organisation=of.organisation_id) if of.organisation_id is not None else rows


def _without_reversed(rows: Sequence[UsageEvent]) -> list[UsageEvent]:
    """Without calls whose charge was given back altogether."""
    booked = {row.transaction_id for row in rows if row.transaction_id is not None}
    undone = LedgerTransaction.objects.filter(reverses__in=booked)
    given_back = set(undone.values_list("reverses", flat=True))
    return [row for row in rows if row.transaction_id not in given_back]


def _differences(rows: Sequence[UsageEvent], rates: Rates) -> list[Difference]:
    corrected = _corrected([row.pk for row in rows])
    found = (_difference(row, rates, row.cost_nano + corrected.get(row.pk, 0)) for row in rows)
    return [difference for difference in found if difference.nano]


def _difference(row: UsageEvent, rates: Rates, before_nano: int) -> Difference:
    after_nano = price(tokens_of(row), rates, row.service_tier or "").total
    if row.outcome == UsageEvent.Outcome.LOST:
        # Charged by an estimate, and never above what was held for it: it gets no dearer than that.
        after_nano = min(after_nano, row.cost_nano)
    return Difference(row.pk, row.organisation_id, before_nano, after_nano)


def _corrected(calls: Collection[uuid.UUID]) -> dict[uuid.UUID, int]:
    """What earlier re-ratings have added to calls, as far as they stand; nano."""
    deltas = RatingDelta.objects.filter(usage__in=calls, transaction__reversed_by=None).order_by()
    added = deltas.values_list("usage").annotate(nano=Sum(F("after_nano") - F("before_nano")))
    return {usage: int(nano) for usage, nano in added}


def organisations_by_id(found: Iterable[int]) -> dict[int, Organisation]:
    """By their ids."""
    return Organisation.objects.in_bulk(list(found))
