"""`make trace` tells the truth: which row is shown by which test that really passed."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.tools import trace

TESTS = """
import pytest

@pytest.mark.req("MOD-05", "GW-26")
def test_that_passes(): pass

@pytest.mark.req("MOD-06")
def test_that_fails(): assert 1 == 2

@pytest.mark.req("MOD-07")
@pytest.mark.skip
def test_that_is_skipped(): pass

@pytest.fixture
def slips():
    yield
    raise RuntimeError

@pytest.mark.req("MOD-01")
def test_whose_end_fails(slips): pass

def test_that_shows_no_row(): pass
"""


def run_pytest(folder: Path, source: str, record: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """A real run of a test file with the plugin, away from the project's own settings."""
    file = folder / "test_it.py"
    file.write_text(source)
    ini = folder / "pytest.ini"
    ini.write_text("[pytest]\nmarkers =\n  req(*ids): rows\naddopts = --strict-markers\n")
    command = [sys.executable, "-m", "pytest", "-p", "no:django", "-p", "tests.tools.trace", *options]
    env = {**os.environ, "PYTHONPATH": str(trace.ROOT), "TRACE_FILE": str(record)}
    return subprocess.run(
        [*command, "-c", str(ini), str(file)],
        cwd=folder,
        env=env,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def table(*records: Path) -> subprocess.CompletedProcess[str]:
    """What `make trace` prints from records."""
    return subprocess.run(
        [sys.executable, "-m", "tests.tools.trace", *map(str, records)],
        cwd=trace.ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("options", [(), ("-n", "2")], ids=["alone", "xdist"])
def test_only_tests_that_passed_in_every_phase_show_their_rows(tmp_path: Path, options: tuple[str, ...]) -> None:
    record = tmp_path / "trace.json"
    assert run_pytest(tmp_path, TESTS, record, *options).returncode == 1
    printed = table(record)
    assert printed.returncode == 0, printed.stderr
    lines = printed.stdout.splitlines()
    shown = {line.split()[0]: line.split()[1] for line in lines[: len(trace.requirements())]}
    assert {identity for identity, test in shown.items() if test != "-"} == {"MOD-05", "GW-26"}
    assert shown["MOD-05"].endswith("::test_that_passes")
    assert "2 of 187 rows are shown by a passing test." in printed.stdout
    assert any(line.split() == ["moderation", "1", "of", "53"] for line in lines)
    assert any(line.split() == ["gateway", "1", "of", "43"] for line in lines)


def test_a_test_that_fails_on_one_of_two_databases_shows_nothing(tmp_path: Path) -> None:
    records = [tmp_path / "sqlite.json", tmp_path / "postgresql.json"]
    for record, passed in zip(records, (True, False), strict=True):
        record.write_text(json.dumps({"test_it.py::test_it": {"ids": ["MOD-05"], "passed": passed}}))
    assert "test_it.py::test_it" in table(records[0]).stdout
    assert "test_it.py::test_it" not in table(*records).stdout


@pytest.mark.parametrize("options", [(), ("-n", "2")], ids=["alone", "xdist"])
def test_a_mark_that_names_no_row_fails_the_run_and_says_which(tmp_path: Path, options: tuple[str, ...]) -> None:
    source = "import pytest\n\n@pytest.mark.req('MOD-05', 'MOD-999')\ndef test_it(): pass\n"
    ended = run_pytest(tmp_path, source, tmp_path / "trace.json", *options)
    assert ended.returncode == 1
    assert "no row of docs/requirements.csv is called MOD-999" in ended.stdout
    assert "test_it.py::test_it" not in table(tmp_path / "trace.json").stdout


def test_without_a_record_it_says_what_to_do(tmp_path: Path) -> None:
    ended = table(tmp_path / "missing.json")
    assert ended.returncode != 0
    assert "make test" in ended.stderr


def test_the_list_has_every_row_once() -> None:
    """The counts of requirements §§1-6."""
    ids = list(trace.requirements())
    counts = {prefix: sum(identity.startswith(f"{prefix}-") for identity in ids) for prefix in ROWS}
    assert counts == ROWS
    assert len(ids) == sum(ROWS.values()) == len(trace.REQUIREMENTS.read_text().splitlines()) - 1
    for prefix, count in ROWS.items():
        assert [identity for identity in ids if identity.startswith(prefix)] == [
            f"{prefix}-{number:02d}" for number in range(1, count + 1)
        ]


ROWS = {"ACC": 54, "CHN": 15, "GW": 39, "BIL": 23, "MOD": 40, "NOT": 8, "DSH": 8}
