"""Which row of docs/requirements.csv is shown by which passing test.

As a pytest plugin (`-p tests.tools.trace`) it notes the `req` marks of each test and its outcome in the file
named by TRACE_FILE. As a program (`python -m tests.tools.trace FILE...`) it prints the table from such files.
"""

# ruff: noqa: T201 - its output is for the terminal

import csv
import functools
import json
import os
import sys
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
REQUIREMENTS = ROOT / "docs" / "requirements.csv"
PROPERTY = "req"


@functools.cache
def requirements() -> dict[str, list[str]]:
    """Return the id of every row, in their order, with the apps that it concerns."""
    with REQUIREMENTS.open(newline="", encoding="utf-8") as file:
        return {row["id"]: row["app"].split("+") for row in csv.DictReader(file)}


def marked(item: pytest.Item) -> list[str]:
    """Return the ids that a test says it shows, without repetition."""
    ids = (str(identity) for mark in item.iter_markers("req") for identity in mark.args)
    return list(dict.fromkeys(ids))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Attach the ids to the tests; they travel with the report, from xdist's workers too."""
    for item in items:
        item.user_properties.extend((PROPERTY, identity) for identity in marked(item))


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Fail a test that claims to show what is no row. An error at collection would lose its text in xdist."""
    unknown = set(marked(item)) - requirements().keys()
    if unknown:
        pytest.fail(f"no row of docs/requirements.csv is called {', '.join(sorted(unknown))}", pytrace=False)


class Trace:
    """Collects outcomes where the reports come together."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._ids: dict[str, list[str]] = {}
        self._failed: set[str] = set()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """A test counts as passed when none of its phases failed and it was not skipped."""
        self._ids[report.nodeid] = [str(value) for name, value in report.user_properties if name == PROPERTY]
        if not report.passed:
            self._failed.add(report.nodeid)

    def pytest_sessionfinish(self) -> None:
        """Write what was seen."""
        seen = {test: {"ids": ids, "passed": test not in self._failed} for test, ids in self._ids.items()}
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._path.write_text(json.dumps(seen, indent=1))


def pytest_configure(config: pytest.Config) -> None:
    """Listen in the process that the user started, if it says where to."""
    path = os.environ.get("TRACE_FILE")
    if path and not hasattr(config, "workerinput"):
        config.pluginmanager.register(Trace(Path(path)))


def passing(paths: Iterable[Path]) -> dict[str, set[str]]:
    """Return the tests per id that passed in every file they occur in."""
    shown: dict[str, set[str]] = defaultdict(set)
    failed: set[str] = set()
    for path in paths:
        for test, found in json.loads(path.read_text()).items():
            if not found["passed"]:
                failed.add(test)
            for identity in found["ids"]:
                shown[identity].add(test)
    return {identity: tests - failed for identity, tests in shown.items()}


def main() -> int:
    """Print the table."""
    paths = [Path(name) for name in sys.argv[1:]]
    if not paths or not all(path.exists() for path in paths):
        sys.exit("no record of a test run: run `make test` first")
    shown = passing(paths)
    rows = requirements()
    for identity in rows:
        tests = sorted(shown.get(identity, ()))
        print(f"{identity:8} {tests[0] if tests else '-'}")
        for test in tests[1:]:
            print(f"{'':8} {test}")
    print()
    for app in sorted({app for apps in rows.values() for app in apps}):
        own = [identity for identity, apps in rows.items() if app in apps]
        print(f"{app:12} {sum(1 for identity in own if shown.get(identity)):4} of {len(own):3}")
    count = sum(1 for identity in rows if shown.get(identity))
    print(f"\n{count} of {len(rows)} rows are shown by a passing test. A row of two apps counts in both.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
