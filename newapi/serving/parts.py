"""The product's processes, as programs for the supervisor. Which of them run is for `serve` to say."""

import os
import signal
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from newapi import embedded_redis
from newapi.supervisor import Program, Restart

# Streams get this long to end by themselves; uvicorn then cuts them, and their holds are settled.
DRAIN_S = 20
BACKLOG = 2048
WEB_FIRST, BEAT_NEXT, WORKER_THEN, UPSTREAM_LATE, REDIS_LAST = range(5)


def web(*, number: int, listener_fd: int, env: Mapping[str, str]) -> Program:
    """One web worker. All of them accept from the same listening socket."""
    options = {
        "--fd": str(listener_fd),
        "--loop": "uvloop",
        "--http": "httptools",
        "--ws": "none",
        "--lifespan": "on",
        "--backlog": str(BACKLOG),
        "--timeout-keep-alive": "75",
        "--timeout-graceful-shutdown": str(DRAIN_S),
        "--log-level": "warning",
    }
    flags = ("--no-proxy-headers", "--no-access-log", "--no-server-header")
    return Program(
        name=f"web-{number}",
        argv=(*_module("uvicorn", "newapi.asgi:application"), *_flat(options), *flags),
        env=env,
        descriptors=(listener_fd,),
        stop_order=WEB_FIRST,
        stop_timeout_s=DRAIN_S + 10,
    )


def worker() -> Program:
    """The Celery worker. What it had begun when stopped is done again by the next one."""
    flags = ("--without-gossip", "--without-mingle", "--without-heartbeat", "--loglevel", "WARNING")
    return Program(
        name="worker",
        argv=(*_module("celery", "-q", "-A", "newapi", "worker", "--concurrency", "2", "--pool", "prefork"), *flags),
        # Messages are JSON only, so root may read them; Celery cannot know and would say so at each start.
        env={"PYTHONWARNINGS": "ignore:You're running the worker with superuser privileges"},
        stop_order=WORKER_THEN,
        stop_timeout_s=30,
    )


def beat() -> Program:
    """Celery's clock. The schedule is rows of the database; no file is kept."""
    return Program(
        name="beat",
        argv=_module("celery", "-q", "-A", "newapi", "beat", "--loglevel", "WARNING"),
        stop_order=BEAT_NEXT,
    )


def redis(*, directory: Path, socket_path: str, fsync: str, lock_fd: int) -> Program:
    """The private Redis. It inherits the lock on its folder, and writes everything down when its keeper dies."""
    return Program(
        name="redis",
        argv=embedded_redis.command(directory, socket_path, fsync=fsync),
        descriptors=(lock_fd,),
        stop_order=REDIS_LAST,
        stop_timeout_s=60,
        orphan_signal=signal.SIGTERM,
    )


def mock_upstream(*, listener_fd: int) -> Program:
    """The local provider of demonstrations."""
    options = {"--fd": str(listener_fd), "--ws": "none", "--log-level": "warning", "--timeout-graceful-shutdown": "3"}
    return Program(
        name="upstream",
        argv=(*_module("uvicorn", "newapi.mock.app:application"), *_flat(options), "--no-access-log"),
        descriptors=(listener_fd,),
        stop_order=UPSTREAM_LATE,
    )


def command(*words: str, listen: Callable[[str], None] | None = None) -> Program:
    """A management command that runs once."""
    manage = Path(__file__).resolve().parents[2] / "manage.py"
    argv = (sys.executable, str(manage), *words)
    return Program(
        name=words[0].removeprefix("collect"), argv=argv, restart=Restart.NEVER, listen=listen, stop_timeout_s=30
    )


def cores() -> int:
    """Return the processor cores that we may use."""
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


def _module(name: str, *words: str) -> tuple[str, ...]:
    return (sys.executable, "-m", name, *words)


def _flat(options: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(part for option in options.items() for part in option)
