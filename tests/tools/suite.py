"""Run the whole suite twice, on SQLite and on a throw-away PostgreSQL, and fail when either fails.

python -m tests.tools.suite [pytest arguments]
"""

# ruff: noqa: T201 - its output is for the terminal

import os
import subprocess
import sys
import time
from pathlib import Path

from tests.tools.postgres import cluster

ROOT = Path(__file__).resolve().parents[2]
# Groups keep in one process what shares a running product.
DISTRIBUTION = ("-n", "2", "--dist", "loadgroup")


def run(name: str, arguments: list[str], env: dict[str, str]) -> int:
    """Run pytest once and return its exit code. No test at all counts as a failure, as pytest has it."""
    print(f"== Tests on {name}", flush=True)
    started = time.monotonic()
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-p",
        "tests.tools.trace",
        *DISTRIBUTION,
        *arguments,
    ]
    # A long run is of the trials alone, and says nothing of the other requirements.
    kind = "trace-long" if os.environ.get("TEST_LONG") == "1" else "trace"
    trace = {"TRACE_FILE": str(ROOT / "tests" / "artifacts" / f"{kind}-{name.lower()}.json")}
    code = subprocess.run(command, cwd=ROOT, env={**os.environ, **trace, **env}, check=False).returncode
    print(
        f"== Tests on {name}: {'passed' if code == 0 else 'FAILED'} in {time.monotonic() - started:.0f} s", flush=True
    )
    return code


def main() -> int:
    """Run both, even when the first one fails, so that one look shows all."""
    arguments = sys.argv[1:]
    codes = [run("SQLite", arguments, {})]
    with cluster() as url:
        codes.append(run("PostgreSQL", arguments, {"TEST_DATABASE_URL": url}))
    return max(codes)


if __name__ == "__main__":
    sys.exit(main())
