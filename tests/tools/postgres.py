"""Run a command with a throw-away PostgreSQL: made for it, told to it as TEST_DATABASE_URL, gone after it.

    python tests/tools/postgres.py pytest -n 2

Listens on a free port of 127.0.0.1 only. PostgreSQL refuses to run as root; then it runs as `postgres`.
Nothing but the standard library, so that it runs before anything is installed.
"""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.processes import free_port

START_S = 120.0
# It is thrown away with its data, so nothing need reach the disk.
OPTIONS = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "max_connections": "300",
    "shared_buffers": "128MB",
    "listen_addresses": "127.0.0.1",
    "log_min_messages": "fatal",
}


def binaries() -> Path:
    """Return the folder of `initdb` and `postgres`, the newest one. Ends the program when there is none."""
    found = sorted(
        (path.parent for path in Path("/usr/lib/postgresql").glob("*/bin/initdb")),
        key=lambda folder: int(folder.parent.name) if folder.parent.name.isdigit() else 0,
    )
    if found:
        return found[-1]
    on_path = shutil.which("initdb")
    if on_path and shutil.which("postgres"):
        return Path(on_path).parent
    sys.exit("PostgreSQL is needed (initdb and postgres were not found): apt-get install postgresql")


def as_server() -> list[str]:
    """Return what goes before a server command: nothing, or a change of user when we are root."""
    if os.geteuid() != 0:
        return []
    return ["runuser", "-u", "postgres", "--"]


@contextmanager
def cluster() -> Iterator[str]:
    """Run a fresh cluster for the block and give its address."""
    folder = Path(tempfile.mkdtemp(prefix="newapi-postgres-"))
    data = folder / "data"
    port = free_port()
    try:
        if as_server():
            shutil.chown(folder, "postgres", "postgres")  # the package's own user
        init = [binaries() / "initdb", "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "-N"]
        subprocess.run([*as_server(), *init], check=True, stdout=subprocess.DEVNULL, cwd="/")
        options = [word for name, value in OPTIONS.items() for word in ("-c", f"{name}={value}")]
        server = [binaries() / "postgres", "-D", data, "-k", folder, "-p", str(port), *options]
        process = subprocess.Popen([*as_server(), *server], cwd="/", start_new_session=True)
        try:
            wait_ready(process, port)
            yield f"postgresql://postgres@127.0.0.1:{port}/postgres"
        finally:
            # To the group: runuser stands between us and the server. SIGINT: do not wait for clients.
            os.killpg(process.pid, signal.SIGINT)
            process.wait(timeout=START_S)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def wait_ready(process: "subprocess.Popen[bytes]", port: int) -> None:
    """Return once a client is let in; ends the program when the server does not come up."""
    deadline = time.monotonic() + START_S
    ready = [str(binaries() / "pg_isready"), "-q", "-U", "postgres", "-h", "127.0.0.1", "-p", str(port)]
    while subprocess.run(ready, check=False).returncode:
        if process.poll() is not None:
            sys.exit(f"PostgreSQL ended with code {process.returncode}")
        if time.monotonic() > deadline:
            sys.exit(f"PostgreSQL did not come up within {START_S:g} s")
        time.sleep(0.05)


def main() -> int:
    """Run the command of the arguments and return its exit code."""
    if not sys.argv[1:]:
        sys.exit(__doc__)
    with cluster() as url:
        command = subprocess.Popen(sys.argv[1:], env={**os.environ, "TEST_DATABASE_URL": url})
        try:
            return command.wait()
        except KeyboardInterrupt:
            return command.wait()


if __name__ == "__main__":
    sys.exit(main())
