"""The desk with a past: how quickly its board and queue open, and what the minute sweep costs.

    python -m bench.desk                 (SQLite, as the embedded size has it)
    python -m bench.desk --postgresql    (a throw-away PostgreSQL)

The desk is made in bulk by bench.moderation_data. The pages are asked through Django's test client, whole, with log-in,
menu and template; the sweep runs with as many clocks due as said, then with half of them, then with none. Ends with 1
when a bar is missed: 300 ms at the 95th percentile, 2 s for the sweep.
"""

import argparse
import contextlib
import importlib
import os
import sys
import tempfile
from pathlib import Path

from bench.codes import prepare


def main() -> int:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--postgresql", action="store_true", help="the distributed size")
    parser.add_argument("--cases", type=int, default=100_000, help="cases on the desk (default 100,000)")
    parser.add_argument("--events", type=int, default=10, help="events of each (default 10)")
    parser.add_argument("--due", type=int, default=200, help="clocks that have come due since the last sweep")
    parser.add_argument("--rounds", type=int, default=40, help="how often each page is asked")
    options = parser.parse_args()
    os.environ.setdefault("ALLOWED_HOSTS", "localhost")
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="newapi-desk-")))
        prepare(folder, stack, postgresql=options.postgresql, syncs=False)
        print(f"\n{'PostgreSQL' if options.postgresql else 'SQLite'}, load before: {os.getloadavg()[0]:.1f}\n")
        # Its models can be imported from here on only.
        return int(importlib.import_module("bench.desk_work").measure(options))


if __name__ == "__main__":
    sys.exit(main())
