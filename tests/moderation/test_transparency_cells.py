"""Small cells are hidden, and no hidden cell follows from the rest: tried against every table that could be meant."""

from collections import defaultdict
from itertools import product

import pytest

from moderation.transparency_rules import CELL_MIN, Cells, suppress

pytestmark = [pytest.mark.edge(42)]


def of(*counts: int) -> Cells:
    return suppress([(f"row {index}", count) for index, count in enumerate(counts)])


def shown(*counts: int) -> list[int | None]:
    return [count for _, count in of(*counts).rows]


def test_a_table_without_small_cells_is_published_as_it_is() -> None:
    assert (shown(5, 0, 12), of(5, 0, 12).total) == ([5, 0, 12], 17)
    assert (shown(0, 0), of(0, 0).total) == ([0, 0], 0)


def test_edge_42_a_single_small_cell_takes_the_next_larger_one_with_it() -> None:
    assert shown(3, 40, 7, 0) == [None, 40, None, 0]
    assert of(3, 40, 7, 0).total == 50


def test_edge_42_equally_small_ones_are_hidden_together() -> None:
    assert shown(5, 5, 1, 9) == [None, None, None, 9]


def test_edge_42_a_table_of_small_cells_gives_away_its_total_only() -> None:
    found = of(1, 1, 1, 1, 1)
    assert (found.rows, found.total, found.is_withheld) == ((), 5, True)


def test_edge_42_a_small_total_is_hidden_as_well() -> None:
    assert of(3, 0) == Cells((), None, is_withheld=True)


@pytest.mark.parametrize(("cells", "most"), [(1, 60), (2, 24), (3, 13), (4, 8)])
def test_edge_42_for_every_published_table_each_hidden_cell_could_have_been_several_things(
    cells: int, most: int
) -> None:
    """Whoever knows these rules and the total, and tries all tables that would be published like this one."""
    meant: dict[Cells, list[tuple[int, ...]]] = defaultdict(list)
    for counts in product(range(most + 1), repeat=cells):
        meant[of(*counts)].append(counts)
    small_and_told = 0
    for published, tables in meant.items():
        # Tables at the edge of what was tried have neighbours beyond it.
        if published.total is not None and published.total > most:
            continue
        for index in range(cells):
            is_hidden = published.is_withheld or published.rows[index][1] is None
            values = {counts[index] for counts in tables}
            if is_hidden:
                assert len(values) > 1, (published, tables)
            else:
                assert not any(0 < value < CELL_MIN for value in values), (published, tables)
                small_and_told += 1
    assert small_and_told
