"""Moderation with a past: how quickly all chains of events are verified, on a desk of 100,000 cases.

    python -m bench.moderation                 (SQLite, as the embedded size has it)
    python -m bench.moderation --postgresql    (a throw-away PostgreSQL)

The desk is made in bulk by bench.moderation_data. Then `verify_cases` is timed as a whole, beside reading the same
rows and hashing the same bytes only. Ends with 1 when a chain does not verify.
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
    options = parser.parse_args()
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="newapi-moderation-")))
        prepare(folder, stack, postgresql=options.postgresql, syncs=False)
        print(f"\n{'PostgreSQL' if options.postgresql else 'SQLite'}, load before: {os.getloadavg()[0]:.1f}\n")
        # Its models can be imported from here on only.
        return int(importlib.import_module("bench.moderation_work").measure(options))


if __name__ == "__main__":
    sys.exit(main())
