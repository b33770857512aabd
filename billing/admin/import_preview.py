"""What the page of a price list shows: its rows, what each would do, and how many there are of each kind."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.core.paginator import Page, Paginator
from django.db.models import Count, QuerySet

from billing import price_lines
from billing.models import PriceImport, PriceImportRow, PriceVersion
from billing.price_lines import Change
from billing.services import import_rows, imports
from billing.services.import_rows import Judgement

PER_PAGE = 50
# More are folded away.
LINES_MAX = 5
Verdict = PriceImportRow.Verdict
# Tab → its title and the verdicts in it.
TABS: dict[str, tuple[str, tuple[str, ...]]] = {
    "": ("New and changed", (Verdict.NEW, Verdict.CHANGED)),
    "new": ("New", (Verdict.NEW,)),
    "changed": ("Changed", (Verdict.CHANGED,)),
    "same": ("As it is", (Verdict.SAME,)),
    "refused": ("Free, or cannot be read", (Verdict.REFUSED,)),
    "unknown": ("No such model here", (Verdict.UNKNOWN,)),
    "all": ("All", tuple(Verdict.values)),
}
_TONES = {Verdict.NEW: "info", Verdict.CHANGED: "warning", Verdict.REFUSED: "danger"}


@dataclass(frozen=True, slots=True)
class Tab:
    """A part of the rows."""

    key: str
    title: str
    count: int
    is_open: bool


@dataclass(frozen=True, slots=True)
class Shown:
    """A row as people see it. `changes`: what costs otherwise than now; `from_when`: None at once."""

    row: PriceImportRow
    tone: str
    can_be_chosen: bool
    is_free: bool
    changes: list[Change]
    from_when: datetime | None
    is_held: bool
    until: datetime | None

    @property
    def first(self) -> list[Change]:
        """Those that are shown at once."""
        return self.changes[:LINES_MAX]

    @property
    def rest(self) -> list[Change]:
        """Those that are folded away."""
        return self.changes[LINES_MAX:]


def context_of(of: PriceImport, asked: Mapping[str, str]) -> dict[str, Any]:
    """What the template is told. `asked`: the query string; nonsense in it is the first page of what is to be done."""
    counts = _counts(of)
    key = asked.get("show", "")
    tab = key if key in TABS else ""
    page = Paginator(_rows(of, tab, asked.get("q", "")), PER_PAGE).get_page(asked.get("page"))
    return {
        "of": of,
        "is_open": of.state == PriceImport.State.PREVIEW,
        "markup": f"{of.markup_ppm / 10_000:+g} %" if of.markup_ppm else "none",
        "tabs": [
            Tab(key, title, sum(counts.get(verdict, 0) for verdict in verdicts), key == tab)
            for key, (title, verdicts) in TABS.items()
        ],
        "show": tab,
        "q": asked.get("q", "")[:100],
        "page": page,
        "rows": _shown(of, page),
        "chosen": imports.chosen_rows(of).count(),
    }


def mark_of(of: PriceImport) -> str:
    """Which rows are chosen, as a short text that is another for any other choice."""
    rows = imports.chosen_rows(of).order_by("pk").values_list("pk", flat=True)
    return hashlib.sha256(",".join(map(str, rows)).encode()).hexdigest()


def plan_of(of: PriceImport) -> str:
    """What publishing would do, in a sentence or two."""
    rows = list(imports.chosen_rows(of)[: imports.PUBLISHED_MAX + 1])
    judged = list(import_rows.judge(of, rows).values())
    acting = [one for one in judged if one.verdict is not Verdict.SAME]
    held = [one.from_when for one in acting if one.is_held and one.from_when is not None]
    free = sum(one.draft.is_free for one in acting)
    now = len(acting) - len(held)
    when = "at once" if of.effective_from is None else f"from {of.effective_from:%Y-%m-%d %H:%M} UTC"
    prices = "1 price" if len(acting) == 1 else f"{len(acting):,} prices"
    parts = [f"{prices} in {of.currency} for the price group “{of.price_group}”: {now:,} {when}."]
    if held:
        dearer = "1 becomes dearer and holds" if len(held) == 1 else f"{len(held):,} become dearer and hold"
        parts.append(f"{dearer} once announced for the notice period, from {min(held):%Y-%m-%d} at the earliest.")
    if free:
        parts.append("1 makes its model free." if free == 1 else f"{free:,} make their models free.")
    return " ".join([*parts, "A published price never changes; another one replaces it."])


def _counts(of: PriceImport) -> dict[str, int]:
    return dict(of.rows.order_by().values_list("verdict").annotate(count=Count("pk")))


def _rows(of: PriceImport, tab: str, text: str) -> QuerySet[PriceImportRow]:
    rows = of.rows.filter(verdict__in=TABS[tab][1]).select_related("model", "version").order_by("listed_name")
    return rows.filter(listed_name__icontains=text[:100]) if text else rows


def _shown(of: PriceImport, page: Page[PriceImportRow]) -> list[Shown]:
    judged = import_rows.judge(of, page.object_list) if of.state == PriceImport.State.PREVIEW else {}
    return [_one(row, judged.get(row.pk)) for row in page.object_list]


def _one(row: PriceImportRow, judged: Judgement | None) -> Shown:
    is_free = row.rates == import_rows.FREE
    can_be_chosen = judged is not None and (is_free or judged.verdict in (Verdict.NEW, Verdict.CHANGED))
    version = row.version
    changes: list[Change] = []
    if judged is not None and judged.verdict is not Verdict.SAME:
        changes = _told(judged.before, judged.draft)
    elif version is not None:
        changes = _told(None, version)
    return Shown(
        row=row,
        tone=_TONES.get(Verdict(row.verdict), ""),
        can_be_chosen=can_be_chosen,
        is_free=is_free,
        changes=changes,
        from_when=judged.from_when if judged is not None else version.effective_from if version is not None else None,
        is_held=judged is not None and judged.is_held,
        until=judged.until if judged is not None else None,
    )


def _told(before: PriceVersion | None, after: PriceVersion) -> list[Change]:
    return price_lines.changes_between(before, after)
