"""What of a table of counts may be published, so that nobody can be told from it (edge case 42). Pure.

A cell of one to four is hidden. A hidden cell must not follow from the rest either: with the total known, one hidden
cell alone is the difference. So the smallest of the larger cells is hidden with them (all that are equally small), and
then any of the hidden ones could be any of the others. A table with fewer than two larger cells gives away its total
only; a total of one to four is hidden as well. tests/moderation/test_transparency_cells.py shows it by brute force.
"""

from collections.abc import Sequence
from dataclasses import dataclass

CELL_MIN = 5


@dataclass(frozen=True, slots=True)
class Cells:
    """A table as it may be published. None: hidden. `rows` is empty when the whole table is withheld."""

    rows: tuple[tuple[str, int | None], ...]
    total: int | None
    is_withheld: bool = False


def is_small(count: int) -> bool:
    """Whether a count by itself says too much. Nothing at all says nothing of anybody."""
    return 0 < count < CELL_MIN


def suppress(rows: Sequence[tuple[str, int]]) -> Cells:
    """The table of (label, count), with what has to be hidden hidden."""
    total = sum(count for _, count in rows)
    if is_small(total):
        return Cells((), None, is_withheld=True)
    if not any(is_small(count) for _, count in rows):
        return Cells(tuple(rows), total)
    larger = sorted(count for _, count in rows if count >= CELL_MIN)
    if len(larger) < 2:
        return Cells((), total, is_withheld=True)
    hidden = larger[0]
    return Cells(tuple((label, None if 0 < count <= hidden else count) for label, count in rows), total)
