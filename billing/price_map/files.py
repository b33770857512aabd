"""A price list's file: JSON with one object for each model, its numbers kept as they are written."""

import json
import re
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from billing.price_map import fields
from billing.price_map.entries import Entry, read_entry

BYTES_MAX = 20 * 2**20
ENTRIES_MAX = 20_000
NAME_LENGTH_MAX = 200


# What no database takes in a text, though JSON can write it: NUL, and halves of characters.
_NO_TEXT = re.compile("[\x00\ud800-\udfff]")


class CannotRead(ValueError):
    """The file is no price list. Its text is for people."""


class _Object(dict[str, Any]):
    """A JSON object that remembers which names it was given twice."""

    twice: frozenset[str] = frozenset()


def read(data: bytes) -> list[Entry]:
    """Every entry of the file, by name. Raises CannotRead; what is wrong with one entry is said in it."""
    if len(data) > BYTES_MAX:
        raise CannotRead(f"The file is larger than {BYTES_MAX // 2**20} MB.")
    listed = _parsed(data)
    if len(listed) > ENTRIES_MAX:
        raise CannotRead(f"The list has more than {ENTRIES_MAX:,} entries.")
    if not any(fields.is_known(entry) for entry in listed.values()):
        raise CannotRead("No entry has a price that this grammar knows. Is it a price map?")
    long = next((name for name in listed if not 0 < len(name) <= NAME_LENGTH_MAX), None)
    if long is not None:
        raise CannotRead(f"The name “{long[:50]}…” is longer than {NAME_LENGTH_MAX}, or empty.")
    return [_entry(name, listed) for name in sorted(listed)]


def _entry(name: str, listed: _Object) -> Entry:
    if name in listed.twice:
        return Entry(name, refusal="The list has it twice.")
    told = listed[name]
    if isinstance(told, _Object) and told.twice:
        return Entry(name, refusal=f"It says “{min(told.twice)}” twice.")
    return read_entry(name, told)


def _parsed(data: bytes) -> _Object:
    try:
        listed = json.loads(
            data.decode("utf-8-sig"), parse_float=Decimal, parse_constant=_no_number, object_pairs_hook=_object
        )
    except (ValueError, ArithmeticError, RecursionError) as error:
        # Decimal's own complaint names nothing that helps; JSON's says the line.
        where = str(error) if isinstance(error, json.JSONDecodeError) else "it holds what is no number or no text"
        raise CannotRead(f"The file is not JSON that can be read: {where[:200]}.") from None
    if not isinstance(listed, _Object):
        raise CannotRead("The file is not an object with one entry for each model.")
    return listed


def _object(pairs: Sequence[tuple[str, Any]]) -> _Object:
    found = _Object(pairs)
    if any(_NO_TEXT.search(text) for pair in pairs for text in pair if isinstance(text, str)):
        raise ValueError("no text")
    if len(found) < len(pairs):
        seen: set[str] = set()
        found.twice = frozenset(name for name, _ in pairs if name in seen or seen.add(name))  # type: ignore[func-returns-value]
    return found


def _no_number(text: str) -> None:
    raise ValueError(f"{text} is no number")
