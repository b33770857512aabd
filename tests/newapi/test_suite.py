"""The test run itself keeps its word: what shares one product, database or port runs in one process."""

import subprocess
import sys
from pathlib import Path

from tests.tools.suite import DISTRIBUTION

TESTS = """
import os
import pytest

@pytest.mark.xdist_group("house")
@pytest.mark.parametrize("number", range(12))
def test_in_the_house(number):
    with open("workers.txt", "a") as found:
        found.write(os.environ["PYTEST_XDIST_WORKER"] + "\\n")

@pytest.mark.parametrize("number", range(12))
def test_elsewhere(number): pass
"""


def test_tests_of_one_group_run_in_one_process(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(TESTS)
    (tmp_path / "pytest.ini").write_text("[pytest]\n")

    subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:django", *DISTRIBUTION],
        cwd=tmp_path,
        check=True,
        capture_output=True,
        timeout=60,
    )

    workers = (tmp_path / "workers.txt").read_text().split()
    assert len(workers) == 12
    assert len(set(workers)) == 1
