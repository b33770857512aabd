"""What `serve` has to see to besides the processes, in each of the two sizes. The settings module says which it is."""

import asyncio
import os
from pathlib import Path

from django.conf import settings

from newapi import embedded_redis
from newapi.serving import ground, parts
from newapi.supervisor import StartFailed, Supervisor

REDIS_READY_S = 120.0
# How long another process may collect static files into the same folder: looks, and seconds between them.
STATIC_LOOKS = 600
STATIC_LOOK_S = 0.2


class Distributed:
    """Database and Redis stand elsewhere; schema and static files are the deployment's own steps."""

    def claim(self, url: str) -> None:
        """Take what only one `serve` may have. Raises Occupied or RedisUnavailable."""

    def inspect(self) -> None:
        """See what will have to be done. Blocks."""

    def release(self) -> None:
        """Give it back, after the last part has ended."""

    async def prepare(self, supervisor: Supervisor) -> None:
        """Start and do what the other parts need. Raises StartFailed."""


class Embedded(Distributed):
    """The data folder is this process's alone; Redis, schema and static files are seen to here."""

    def __init__(self, *, directory: Path, socket_path: str, fsync: str) -> None:
        self._directory = directory
        self._redis_directory = directory / "redis"
        self._socket_path = socket_path
        self._fsync = fsync
        self._locks: list[int] = []
        self._migrations = 0
        self._stamp = ""

    def claim(self, url: str) -> None:
        """See Distributed."""
        self._locks.append(ground.claim(self._directory, url=url))
        embedded_redis.prepare(self._redis_directory)
        self._locks.append(embedded_redis.lock(self._redis_directory))

    def inspect(self) -> None:
        """See Distributed."""
        self._migrations = ground.pending_migrations()
        self._stamp = ground.static_stamp()

    def release(self) -> None:
        """See Distributed."""
        while self._locks:
            os.close(self._locks.pop())

    async def prepare(self, supervisor: Supervisor) -> None:
        """See Distributed."""
        await self._start_redis(supervisor)
        await self._migrate(supervisor)
        await self._collect_static(supervisor)

    async def _start_redis(self, supervisor: Supervisor) -> None:
        program = parts.redis(
            directory=self._redis_directory,
            socket_path=self._socket_path,
            fsync=self._fsync,
            lock_fd=self._locks[-1],
        )
        supervisor.say(f"starting {program.argv[0]} on {self._socket_path}")
        supervisor.start(program)

        async def answers() -> bool:
            return embedded_redis.answers(self._socket_path)

        try:
            await supervisor.until(answers, names=("redis",), timeout_s=REDIS_READY_S)
        except StartFailed as error:
            log = embedded_redis.log_tail(self._redis_directory / embedded_redis.LOG_NAME)
            raise StartFailed(f"{error} {log}") from None

    async def _migrate(self, supervisor: Supervisor) -> None:
        if self._migrations and not supervisor.stopping:
            supervisor.say(f"bringing the database up to date: {self._migrations} migrations; no backup is made")
            await _must(supervisor, "migrate", "--skip-checks", "--no-input", "--verbosity", "0")

    async def _collect_static(self, supervisor: Supervisor) -> None:
        """The folder belongs to the code, not to the data, so another installation may be at it just now."""
        for _ in range(STATIC_LOOKS):
            if supervisor.stopping or ground.static_is_current(self._stamp):
                return
            held = ground.try_static()
            if held is None:
                await asyncio.sleep(STATIC_LOOK_S)
                continue
            try:
                # Looked at again: the other one may have finished between our look and our turn.
                if not ground.static_is_current(self._stamp):
                    await self._collect(supervisor)
            finally:
                os.close(held)
        raise StartFailed("Another process has been collecting static files for too long.")

    async def _collect(self, supervisor: Supervisor) -> None:
        supervisor.say("collecting static files")
        ground.forget_static()
        # Nothing is cleared: pages that are being served may still name the files of before.
        await _must(supervisor, "collectstatic", "--skip-checks", "--no-input", "--verbosity", "0")
        if not supervisor.stopping:
            ground.note_static(self._stamp)


def chosen() -> Distributed:
    """Return the size that the settings module makes, by naming a private Redis or not."""
    if not hasattr(settings, "EMBEDDED_REDIS_SOCKET"):
        return Distributed()
    # These three stand in the embedded settings only, which the type checker does not read.
    return Embedded(
        directory=settings.VAR_DIR,  # type: ignore[misc]
        socket_path=settings.EMBEDDED_REDIS_SOCKET,
        fsync=settings.EMBEDDED_REDIS_FSYNC,  # type: ignore[misc]
    )


async def _must(supervisor: Supervisor, *words: str) -> None:
    code = await supervisor.run(parts.command(*words))
    if code and not supervisor.stopping:
        raise StartFailed(f"manage.py {words[0]} failed with code {code}; its last lines are above.")
