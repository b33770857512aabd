"""Killing a process (kill -9, no cleaning up) before and after each of its SQL statements and Redis commands."""

import os
import signal
import traceback
from collections.abc import Awaitable, Callable, Iterator
from itertools import count
from typing import Any

from django.db import connection, connections
from redis.client import Pipeline

from newapi.kernel.meters import bank
from newapi.kernel.meters.pipe import Pipe

STEPS_MAX = 400


def at_every_step(work: Callable[[int], object]) -> Iterator[int]:
    """Run the work in a child that is killed at its first step, then its second, and so on.

    The work is given the number of the step. Yields it after each kill; ends when a child gets through. What
    the child is to see must be committed.
    """
    for step in count(1):
        assert step < STEPS_MAX, "the work never ends"
        if not is_killed_at(step, lambda step=step: work(step)):
            return
        yield step


def is_killed_at(step: int, work: Callable[[], object]) -> bool:
    """Run the work in a child that is killed at that step. False when it ended before."""
    return _run(_Fuse(step), work) is None


def steps_of(work: Callable[[], object]) -> int:
    """Run the work in a child that nobody kills, and return how many steps it took."""
    steps = _run(_Fuse(0), work)
    assert steps is not None
    return steps


def _run(fuse: "_Fuse", work: Callable[[], object]) -> int | None:
    """The steps that a child took, or None when it was killed. An error in the child fails the test."""
    connections.close_all()
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        _be_the_child(fuse, work, writer)
    os.close(writer)
    with os.fdopen(reader) as told:
        steps = told.read()
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        assert os.WTERMSIG(status) == signal.SIGKILL
        return None
    assert os.waitstatus_to_exitcode(status) == 0, "the child failed; its traceback is above"
    return int(steps)


def _be_the_child(fuse: "_Fuse", work: Callable[[], object], writer: int) -> None:
    """Never returns."""
    code = 1
    try:
        bank.connection.cache_clear()
        redis = bank.connection()
        redis.execute_command = fuse.guarding(redis.execute_command)  # type: ignore[method-assign]
        Pipeline.execute = fuse.guarding(Pipeline.execute)  # type: ignore[method-assign]
        Pipe.command = fuse.guarding_async(Pipe.command)  # type: ignore[method-assign]
        with connection.execute_wrapper(lambda execute, *args: fuse.around(lambda: execute(*args))):
            work()
        os.write(writer, str(fuse.steps).encode())
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


class _Fuse:
    """Counts steps, and dies at one of them; at none when that is 0."""

    def __init__(self, last: int) -> None:
        self.last = last
        self.steps = 0

    def around(self, act: Callable[[], Any]) -> Any:
        """Count before and after."""
        self._count()
        result = act()
        self._count()
        return result

    def guarding(self, plain: Callable[..., Any]) -> Callable[..., Any]:
        """The same function, with every call of it counted."""
        return lambda *args, **options: self.around(lambda: plain(*args, **options))

    def guarding_async(self, plain: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        """The same coroutine function, with every call of it counted."""

        async def guarded(*args: Any, **options: Any) -> Any:
            self._count()
            result = await plain(*args, **options)
            self._count()
            return result

        return guarded

    def _count(self) -> None:
        self.steps += 1
        if self.steps == self.last:
            os.kill(os.getpid(), signal.SIGKILL)
