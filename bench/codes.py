"""Redemption codes: how quickly they are made and redeemed, beside what the bare database does in the same run.

    python -m bench.codes                    (SQLite, as the embedded size has it)
    python -m bench.codes --postgresql       (a throw-away PostgreSQL that syncs to disk; --no-fsync: that does not)

Three questions. How long does a batch of a million take, beside inserting as many finished rows of the same shape?
What do a hundred at once get out of one code? How many different codes a second do eight processes redeem, beside
eight that commit one row a transaction? Codes are redeemed through billing.services.codes, the wallets, the ledger
and the till included. Ends with 1 when money is not what it must be.
"""

import argparse
import contextlib
import importlib
import os
import sys
import tempfile
from pathlib import Path

import django
from django.conf import settings
from django.core.management import call_command

from newapi import embedded_redis
from tests.tools import postgres


def main() -> int:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--postgresql", action="store_true", help="the distributed size")
    parser.add_argument("--no-fsync", action="store_true", help="PostgreSQL may lose what it has committed")
    parser.add_argument("--count", type=int, default=1_000_000, help="codes to make (default 1,000,000)")
    parser.add_argument("--workers", type=int, default=8, help="processes that redeem (default 8)")
    parser.add_argument("--seconds", type=float, default=15.0, help="for how long they do (default 15)")
    options = parser.parse_args()
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="newapi-codes-")))
        prepare(folder, stack, postgresql=options.postgresql, syncs=not options.no_fsync)
        print(f"\n{'PostgreSQL' if options.postgresql else 'SQLite'}, load before: {os.getloadavg()[0]:.1f}\n")
        # Its models can be imported from here on only.
        return int(importlib.import_module("bench.codes_work").measure(options))


def prepare(folder: Path, stack: contextlib.ExitStack, *, postgresql: bool, syncs: bool) -> None:
    """A database and a Redis of their own, and Django on them."""
    env = os.environ
    env |= {"VAR_DIR": str(folder / "var"), "DJANGO_SETTINGS_MODULE": "newapi.settings.embedded"}
    socket_path = str(folder / "r.sock")
    if postgresql:
        if syncs:
            postgres.OPTIONS |= {"fsync": "on", "synchronous_commit": "on", "full_page_writes": "on"}
        env |= {
            "DJANGO_SETTINGS_MODULE": "newapi.settings.distributed",
            "DATABASE_URL": stack.enter_context(postgres.cluster()),
            "REDIS_URL": f"unix://{socket_path}?db=0",
            "SECRET_KEY": "x" * 60,
            "API_KEY_PEPPER": "p" * 40,
            "FIELD_KEYS": "bench:MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=",
            "EMAIL_URL": "smtp://127.0.0.1:25",
        }
    django.setup()
    path = socket_path if postgresql else settings.EMBEDDED_REDIS_SOCKET
    redis = embedded_redis.start(directory=folder, socket_path=path)
    stack.callback(redis.wait)
    stack.callback(redis.kill)
    call_command("migrate", verbosity=0)


if __name__ == "__main__":
    sys.exit(main())
