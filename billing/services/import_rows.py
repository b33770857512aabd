"""What a price list's entries would do to our prices: new, changed, the same, unknown or refused; and when."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.core.exceptions import ValidationError

from billing import price_lines, price_map
from billing.models import PriceImport, PriceImportRow, PriceVersion
from billing.price_map import Entry
from billing.services import prices
from channels.models import Model, ModelAlias
from newapi.kernel import clock

Verdict = PriceImportRow.Verdict
FREE = {"is_free": True}
ZERO = "Every price of the list is zero. Choose it only if the model is to be free."
_BATCH = 500


@dataclass(frozen=True, slots=True)
class Judgement:
    """What publishing a row would do. `from_when`: None at once; `is_held`: later than asked, for its notice."""

    verdict: PriceImportRow.Verdict
    draft: PriceVersion
    before: PriceVersion | None
    from_when: datetime | None = None
    is_held: bool = False
    complaint: str = ""
    # When a version that stands already takes over from it.
    until: datetime | None = None


def judge(of: PriceImport, rows: Iterable[PriceImportRow]) -> dict[int, Judgement]:
    """What publishing rows would do now, by their ids; those without a model of ours or a price are left out."""
    priced = [(row, row.model) for row in rows if row.model is not None and row.rates]
    history = _history(of, [model.pk for _, model in priced])
    return {row.pk: _judged(of, model, row.rates, history[model.pk]) for row, model in priced}


def rows_of(of: PriceImport, entries: Sequence[Entry]) -> list[PriceImportRow]:
    """The rows of a list, unsaved, with what is new or changed chosen."""
    models = _models_by_name(entry.name for entry in entries)
    history = _history(of, [model.pk for model in models.values()])
    return [_row(of, entry, models.get(entry.name), history) for entry in entries]


def _row(of: PriceImport, entry: Entry, model: Model | None, history: dict[int, list[PriceVersion]]) -> PriceImportRow:
    row = PriceImportRow(of=of, listed_name=entry.name, model=model, warnings=list(entry.warnings))
    if model is None:
        row.verdict = Verdict.UNKNOWN
        return row
    if entry.refusal:
        row.verdict = Verdict.REFUSED
        row.warnings = [entry.refusal, *entry.warnings]
        return row
    row.rates = price_map.with_markup(entry.rates, of.markup_ppm)
    judged = _judged(of, model, row.rates, history[model.pk])
    row.verdict = judged.verdict
    row.is_chosen = judged.verdict in (Verdict.NEW, Verdict.CHANGED)
    if judged.complaint:
        row.warnings = [judged.complaint, *entry.warnings]
        row.rates = row.rates if row.rates == FREE else {}
    return row


def _models_by_name(names: Iterable[str]) -> dict[str, Model]:
    """Our models by the names of the list: their own, else an alias of theirs, if it is the only one listed."""
    listed = set(names)
    found = {model.name: model for model in Model.objects.filter(is_active=True) if model.name in listed}
    taken = {model.pk for model in found.values()}
    for alias in ModelAlias.objects.filter(model__is_active=True).select_related("model").order_by("name"):
        if alias.name in listed and alias.model_id not in taken:
            found[alias.name] = alias.model
            taken.add(alias.model_id)
    return found


def _history(of: PriceImport, models: Sequence[int]) -> dict[int, list[PriceVersion]]:
    """The versions that a list's prices would stand among, by model, in the order in which they hold."""
    found: dict[int, list[PriceVersion]] = defaultdict(list)
    for start in range(0, len(models), _BATCH):
        versions = PriceVersion.objects.filter(
            model__in=models[start : start + _BATCH], currency=of.currency, price_group=of.price_group, region=""
        )
        for version in versions.order_by("effective_from"):
            found[version.model_id].append(version)
    return found


def _judged(of: PriceImport, model: Model, rates: dict[str, Any], history: list[PriceVersion]) -> Judgement:
    now = clock.now()
    asked = of.effective_from if of.effective_from is not None and of.effective_from > now else None
    draft = PriceVersion(
        model=model, currency=of.currency, price_group=of.price_group, effective_from=asked or now, **rates
    )
    before = _in_force(history, asked or now)
    if price_lines.is_same(before, draft):
        return Judgement(Verdict.SAME, draft, before)
    if rates == FREE:
        return Judgement(Verdict.REFUSED, draft, before, asked, complaint=ZERO)
    try:
        draft.clean_fields(exclude=("model", "created_by"))
        draft.clean()
    except ValidationError as error:
        return Judgement(Verdict.REFUSED, draft, before, complaint=" ".join(error.messages)[:500])
    ends = prices.notice_ends(now)
    is_held = draft.effective_from < ends and bool(prices.dearer(draft))
    from_when = _whole_minute(ends) if is_held else asked
    if from_when is not None:
        before = _in_force(history, from_when)
        if price_lines.is_same(before, draft):
            return Judgement(Verdict.SAME, draft, before)
        draft.effective_from = from_when
    verdict = Verdict.NEW if before is None or before.is_withdrawn else Verdict.CHANGED
    later = (one.effective_from for one in history if one.effective_from > draft.effective_from)
    return Judgement(verdict, draft, before, from_when, is_held, until=next(later, None))


def _whole_minute(moment: datetime) -> datetime:
    """The minute after the next, so that it is still far enough ahead once all are published."""
    return moment.replace(second=0, microsecond=0) + timedelta(minutes=2)


def _in_force(history: Sequence[PriceVersion], at: datetime) -> PriceVersion | None:
    return next((version for version in reversed(history) if version.effective_from <= at), None)
