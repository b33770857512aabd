"""A transparency report as files: the JSON as it was made, and its tables as CSV."""

import csv
import io
import json
from typing import Any

from moderation.models import TransparencyReport
from moderation.transparency_rules import CELL_MIN
from newapi.kernel import spreadsheets

HIDDEN = f"fewer than {CELL_MIN}, or hidden beside one that is"
COLUMNS = ("table", "title", "row", "value")


def as_json(report: TransparencyReport) -> str:
    """The figures as published, with the digest that they were made with."""
    told = {**report.figures, "digest_sha256": bytes(report.digest).hex()}
    return json.dumps(told, ensure_ascii=False, indent=2) + "\n"


def as_csv(report: TransparencyReport) -> str:
    """A line for each cell, total, share and duration. Hidden cells have no value, and say why."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for row in _lines(report.figures):
        writer.writerow([spreadsheets.cell(value) for value in row])
    return text.getvalue()


def _lines(figures: dict[str, Any]) -> list[list[Any]]:
    lines: list[list[Any]] = [["period", "Period", "from", figures["starts_at"]]]
    lines.append(["period", "Period", "until before", figures["ends_at"]])
    for table in figures["tables"]:
        name = [table["id"], table["title"]]
        lines += [[*name, label, HIDDEN if count is None else count] for label, count in table["rows"]]
        lines.append([*name, "total", HIDDEN if table["total"] is None else table["total"]])
    lines += [["shares", share["title"], "percent", share["percent"]] for share in figures["shares"]]
    for one in figures["durations"]:
        title = f"{one['promise']}, {one['level']}"
        lines += [["durations", title, hours, one[hours]] for hours in ("median_hours", "p90_hours")]
    return lines


def file_name(report: TransparencyReport, ending: str) -> str:
    """Such as transparency-2026-01-01-2026-07-01.csv; the second day is no longer in it."""
    return f"transparency-{report.starts_at:%Y-%m-%d}-{report.ends_at:%Y-%m-%d}.{ending}"
