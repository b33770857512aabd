"""The migrated test database: made by the migrations once, kept as a file, and copied for as long as nothing changes.

To migrate takes most of a minute of CPU, a copy a second. The file's name is a digest of what a migrated database
depends on, so whoever changes a migration, a model or a seed gets a new one. A fresh checkout starts without any,
and so tries the migrations themselves. `make clean` forgets them.
"""

import fcntl
import hashlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import django
from django.conf import settings
from django.db import connection

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "tests" / "artifacts" / "databases"
PACKAGES = ("accounts", "channels", "billing", "moderation", "newapi")
# What migrations and their signals read: folders, and single files that they import.
FOLDERS = {"migrations", "models", "kernel", "detectors"}
FILES = {"chain.py", "partitioning.py", "permissions.py", "policy.py", "schedule.py", "settings.py", "base.py"}
TOOL_TIMEOUT_S = 300


def make() -> None:
    """Make the test database of this process and connect to it, from the kept copy when there is one."""
    kept = FOLDER / f"{connection.vendor}-{_digest()}"
    # One process migrates; the others of this run wait for its copy.
    with _alone():
        if not kept.exists():
            connection.creation.create_test_db(verbosity=0, autoclobber=True, serialize=False)
            _save(kept)
            return
    _load(kept)


def _digest() -> str:
    found = hashlib.sha256(f"{django.__version__} {connection.vendor}".encode())
    for path in sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*") if _counts(path)):
        found.update(f"{path.relative_to(ROOT)}\0".encode() + path.read_bytes())
    return found.hexdigest()[:20]


def _counts(path: Path) -> bool:
    if path.suffix not in {".py", ".csv", ".json", ".md"} or not path.is_file():
        return False
    return path.suffix != ".py" or path.name in FILES or not FOLDERS.isdisjoint(path.parts)


@contextmanager
def _alone() -> Iterator[None]:
    FOLDER.mkdir(parents=True, exist_ok=True)
    with (FOLDER / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _save(kept: Path) -> None:
    made = kept.with_suffix(f".{os.getpid()}")
    connection.close()
    name = connection.settings_dict["NAME"]
    if connection.vendor == "sqlite":
        with connection.cursor() as cursor:
            cursor.execute("VACUUM INTO %s", [str(made)])
    else:
        _run("pg_dump", "--no-owner", "--file", str(made), name)
    made.rename(kept)


def _load(kept: Path) -> None:
    connection.close()
    name = connection.creation._get_test_db_name()
    if connection.vendor == "sqlite":
        shutil.copyfile(kept, name)
    else:
        quoted = connection.ops.quote_name(name)
        with connection.creation._nodb_cursor() as cursor:
            cursor.execute(f"DROP DATABASE IF EXISTS {quoted} WITH (FORCE)")
            cursor.execute(f"CREATE DATABASE {quoted}")
        _run("psql", "--quiet", "--no-psqlrc", "--set", "ON_ERROR_STOP=1", "--file", str(kept), name)
    # As `create_test_db` does it.
    settings.DATABASES["default"]["NAME"] = connection.settings_dict["NAME"] = name


def _run(program: str, *arguments: str) -> None:
    server: dict[str, Any] = connection.settings_dict
    said = {"PGHOST": "HOST", "PGPORT": "PORT", "PGUSER": "USER", "PGPASSWORD": "PASSWORD"}
    known = {variable: str(server[key]) for variable, key in said.items() if server[key]}
    subprocess.run(
        [program, *arguments],
        env={**os.environ, **known},
        stdout=subprocess.DEVNULL,
        check=True,
        timeout=TOOL_TIMEOUT_S,
    )
