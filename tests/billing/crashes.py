"""Killing a process (kill -9, no cleaning up) before and after each of its SQL statements and Redis commands."""

import os
import signal
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

from django.db import connection, connections

from newapi.kernel.meters import bank

STEPS_MAX = 400


def at_every_step(work: Callable[[int], object]) -> Iterator[int]:
    """Run the work in a child that is killed at its first step, then its second, and so on.

    The work is given the number of the step. Yields it after each kill; ends when a child gets through. What
    the child is to see must be committed.
    """
    for step in count(1):
        assert step < STEPS_MAX, "the work never ends"
        connections.close_all()
        child = os.fork()
        if child == 0:
            _run_until(step, work)
        _, status = os.waitpid(child, 0)
        if os.WIFSIGNALED(status):
            assert os.WTERMSIG(status) == signal.SIGKILL
            yield step
            continue
        assert os.waitstatus_to_exitcode(status) == 0, "the child failed; its traceback is above"
        return


def _run_until(step: int, work: Callable[[int], object]) -> None:
    """In the child: never returns."""
    code = 1
    try:
        bank.connection.cache_clear()
        fuse = _Fuse(step)
        redis = bank.connection()
        plain = redis.execute_command

        def command(*args: Any, **options: Any) -> Any:
            return fuse.around(lambda: plain(*args, **options))

        redis.execute_command = command  # type: ignore[method-assign]
        with connection.execute_wrapper(lambda execute, *args: fuse.around(lambda: execute(*args))):
            work(step)
        code = 0
    finally:
        if code:
            import traceback

            traceback.print_exc()
        os._exit(code)


class _Fuse:
    def __init__(self, step: int) -> None:
        self.left = step

    def around(self, act: Callable[[], Any]) -> Any:
        """Count before and after; at zero, die."""
        self._count()
        result = act()
        self._count()
        return result

    def _count(self) -> None:
        self.left -= 1
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
