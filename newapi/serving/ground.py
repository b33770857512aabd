"""What must be so before the parts start: the data and the port are ours, schema and static files are current."""

import errno
import fcntl
import hashlib
import json
import os
import socket
from pathlib import Path

from django.conf import settings
from django.contrib.staticfiles.finders import get_finders
from django.db import connection, connections
from django.db.migrations.executor import MigrationExecutor

LOCK_NAME = "serve.lock"
STATIC_STAMP = "collected.stamp"


class Occupied(RuntimeError):
    """Somebody else has the data or the port. The message is one line for the terminal."""


def claim(directory: Path, *, url: str) -> int:
    """Take the data folder for this process, until it ends. Return the descriptor that holds it.

    Raises Occupied, naming the process that has it.
    """
    descriptor = os.open(directory / LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = _holder(descriptor)
        os.close(descriptor)
        raise Occupied(f"newapi is already running on {directory}{holder}. Stop it first.") from None
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, json.dumps({"pid": os.getpid(), "url": url}).encode(), 0)
    return descriptor


def _holder(descriptor: int) -> str:
    try:
        noted = json.loads(os.pread(descriptor, 1000, 0))
        return f" (process {noted['pid']}, {noted['url']})"
    except (ValueError, KeyError, TypeError):
        return ""


def listen(host: str, port: int, *, backlog: int) -> socket.socket:
    """Return a listening socket for children to inherit. Raises Occupied when the address cannot be had."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise Occupied(f"Cannot listen on {host}: {error.strerror}.") from None
    try:
        # A restart must not wait for the last connections to leave the kernel's tables.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # Accepted connections inherit it. A server that is handed a descriptor does not know that it is TCP and
        # would leave Nagle's algorithm on, which holds back each event of a stream for up to 40 ms.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        listener.bind(address)
        listener.listen(backlog)
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            raise Occupied(
                f"Port {port} on {host} is in use. Stop what listens there, or choose another --port."
            ) from None
        raise Occupied(f"Cannot listen on {host} port {port}: {error.strerror}.") from None
    return listener


def listen_near(host: str, port: int, *, backlog: int) -> socket.socket:
    """Return a listening socket on that port, or on a free one when it is taken."""
    try:
        return listen(host, port, backlog=backlog)
    except Occupied:
        return listen(host, 0, backlog=backlog)


def reachable(listener: socket.socket) -> tuple[str, int]:
    """Return the host and port at which this machine reaches the listener, for a wildcard address too."""
    host, port = listener.getsockname()[:2]
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host), port  # noqa: S104 - read, not bound


def url_of(listener: socket.socket) -> str:
    """Return the address to show and to call."""
    host, port = reachable(listener)
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def pending_migrations() -> int:
    """Return how many migrations the database lacks."""
    executor = MigrationExecutor(connection)
    plan = executor.migration_plan(executor.loader.graph.leaf_nodes())
    # Parts are forked later on; none may inherit an open database.
    connections.close_all()
    return len(plan)


def static_stamp() -> str:
    """Return a digest of the names, sizes and times of all static files of all apps."""
    digest = hashlib.sha256()
    for finder in get_finders():
        for path, storage in sorted(finder.list([]), key=lambda found: found[0]):
            status = os.stat(storage.path(path))
            digest.update(f"{path}\0{status.st_size}\0{status.st_mtime_ns}\n".encode())
    return digest.hexdigest()


def static_is_current(stamp: str) -> bool:
    """Say whether static files were collected from just these sources."""
    noted = Path(settings.STATIC_ROOT) / STATIC_STAMP
    return noted.exists() and noted.read_text() == stamp


def try_static() -> int | None:
    """Take the folder of static files, for a collection; None while someone else has it. Closing lets it go."""
    folder = Path(settings.STATIC_ROOT)
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


def forget_static() -> None:
    """Say that the folder is being changed: a collection that is cut short must be done again."""
    (Path(settings.STATIC_ROOT) / STATIC_STAMP).unlink(missing_ok=True)


def note_static(stamp: str) -> None:
    """Remember what was collected, once it has been."""
    (Path(settings.STATIC_ROOT) / STATIC_STAMP).write_text(stamp)
