"""Statements as files: CSV for spreadsheets, JSON for programs. Amounts are exact decimal text."""

import csv
import io
from typing import Any

import orjson

from billing.statement_lines import Line, Statement
from newapi.kernel import money, spreadsheets

COLUMNS = ("posted_at", "kind", "bookings", "transaction", "amount", "balance", "currency")
# Only for staff: reasons name what customers need not read.
STAFF_COLUMNS = (*COLUMNS, "reference", "reason")


def to_csv(statement: Statement, *, for_staff: bool = False) -> str:
    """A row for each line between one for the opening and one for the closing balance."""
    columns = STAFF_COLUMNS if for_staff else COLUMNS
    lines = [_values(line, statement.currency) for line in statement.lines]
    opening = _edge("opening balance", statement.since.isoformat(), statement.opening_nano, statement.currency)
    closing = _edge("closing balance", statement.until.isoformat(), statement.closing_nano, statement.currency)
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(columns)
    for values in (opening, *lines, closing):
        writer.writerow([_cell(name, values[name]) for name in columns])
    return out.getvalue()


def to_json(statement: Statement, *, for_staff: bool = False) -> bytes:
    """An object with the period, the opening, the lines and the closing."""
    columns = STAFF_COLUMNS if for_staff else COLUMNS
    lines = [_values(line, statement.currency) for line in statement.lines]
    return orjson.dumps(
        {
            "account": statement.title,
            "currency": statement.currency,
            "since": statement.since.isoformat(),
            "until": statement.until.isoformat(),
            "is_settled": statement.is_settled,
            "is_summed": statement.is_summed,
            "opening": money.plain(statement.opening_nano),
            "lines": [{name: values[name] for name in columns if name != "currency"} for values in lines],
            "closing": money.plain(statement.closing_nano),
        },
        option=orjson.OPT_INDENT_2,
    )


def _values(line: Line, currency: str) -> dict[str, Any]:
    return {
        "posted_at": line.at.isoformat(),
        "kind": line.kind,
        "bookings": line.count,
        "transaction": str(line.transaction) if line.transaction else "",
        "amount": money.plain(line.nano),
        "balance": money.plain(line.balance_nano),
        "currency": currency,
        "reference": line.reference,
        "reason": line.reason,
    }


def _edge(words: str, at: str, balance_nano: int, currency: str) -> dict[str, Any]:
    empty = dict.fromkeys(STAFF_COLUMNS, "")
    return empty | {"posted_at": at, "kind": words, "balance": money.plain(balance_nano), "currency": currency}


def _cell(name: str, value: Any) -> Any:
    """Amounts stay numbers, also negative ones; every other text is kept from being run as a formula."""
    return value if name in ("amount", "balance") else spreadsheets.cell(value)
