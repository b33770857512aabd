"""The loop: signals in, programs started, waited for, and stopped in order."""

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import TextIO

from newapi.supervisor.child import Child
from newapi.supervisor.program import Program

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
EXIT_OK, EXIT_FAILED, EXIT_KILLED = 0, 1, 130


class StartFailed(RuntimeError):
    """A part did not come up. The message is for the terminal."""


class Supervisor:
    """Runs programs until told to stop: `start()` each, `await wait()`, and always `await stop()`."""

    def __init__(self, *, out: TextIO, cwd: str | None = None) -> None:
        self._out = out
        self._cwd = cwd
        self._children: dict[str, Child] = {}
        self._stopping = asyncio.Event()
        self._signals_seen = 0
        self._loop = asyncio.get_running_loop()
        self._loop.add_signal_handler(signal.SIGCHLD, self._reap)
        for number in STOP_SIGNALS:
            # nohup has SIGHUP ignored and means it; a shell that starts us in the background has SIGINT ignored
            # and means only its own Ctrl-C.
            if number is not signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:
                self._loop.add_signal_handler(number, self._asked_to_stop, number)

    @property
    def stopping(self) -> bool:
        """Whether someone has asked for the end."""
        return self._stopping.is_set()

    @property
    def exit_code(self) -> int:
        """0 after a clean stop, 130 when a second signal cut it short."""
        return EXIT_KILLED if self._signals_seen > 1 else EXIT_OK

    def say(self, line: str, *, name: str = "serve") -> None:
        """Print one line under a part's name. A terminal that has gone away is no reason to stop."""
        self.show(f"{name:<8} | {line}")

    def show(self, text: str) -> None:
        """Print text as it is."""
        with contextlib.suppress(OSError, ValueError):
            self._out.write(f"{text}\n")
            self._out.flush()

    def start(self, program: Program) -> None:
        """Start a program and keep it from now on. Raises OSError when it cannot be executed."""
        child = Child(program, say=self.say, cwd=self._cwd)
        self._children[program.name] = child
        child.spawn()

    def pid(self, name: str) -> int | None:
        """Return the process id of a running program."""
        return self._children[name].pid

    def exits(self, name: str) -> int:
        """Return how often a program has ended without being asked to."""
        return self._children[name].exits

    async def run(self, program: Program) -> int:
        """Run a program once and return its exit code. Cut short when the stop is asked for meanwhile."""
        self.start(program)
        child = self._children[program.name]
        stop = asyncio.create_task(self._stopping.wait())
        ended = asyncio.create_task(child.ended.wait())
        try:
            await asyncio.wait({stop, ended}, return_when=asyncio.FIRST_COMPLETED)
            if not ended.done():
                await child.stop()
        finally:
            stop.cancel()
            ended.cancel()
            self._children.pop(program.name)
        return child.code

    async def until(
        self,
        ready: Callable[[], Awaitable[bool]],
        *,
        names: Sequence[str],
        timeout_s: float,
        exits_max: int = 3,
    ) -> None:
        """Return once `ready()`, or when the stop is asked for.

        Raises StartFailed when it takes longer than `timeout_s`, or one of `names` dies `exits_max` times.
        """
        deadline = time.monotonic() + timeout_s
        while not self.stopping and not await ready():
            for name in names:
                if self.exits(name) >= exits_max:
                    raise StartFailed(f"{name} does not come up: it ended {exits_max} times. Its last lines are above.")
            if time.monotonic() > deadline:
                raise StartFailed(f"{', '.join(names)} did not come up within {timeout_s:g} s.")
            await asyncio.sleep(0.05)

    async def wait(self) -> None:
        """Wait until someone asks for the end."""
        await self._stopping.wait()

    async def stop(self) -> None:
        """Stop everything, group after group in `stop_order`. Safe to call twice."""
        self._stopping.set()
        for order in sorted({child.program.stop_order for child in self._children.values()}):
            group = [child for child in self._children.values() if child.program.stop_order == order]
            await asyncio.gather(*(child.stop() for child in group))
        for number in (*STOP_SIGNALS, signal.SIGCHLD):
            self._loop.remove_signal_handler(number)

    def _asked_to_stop(self, number: signal.Signals) -> None:
        self._signals_seen += 1
        if self._signals_seen == 1:
            self.say(f"{number.name}: stopping in order; once more to kill")
            self._stopping.set()
            return
        self.say(f"{number.name} again: killing")
        for child in self._children.values():
            child.kill()

    def _reap(self) -> None:
        """One SIGCHLD may stand for several deaths, so every child is asked."""
        for child in self._children.values():
            child.poll()
        self._reap_adopted()

    def _reap_adopted(self) -> None:
        """As process 1 of a container we inherit orphans: collect those that ended."""
        own = {child.pid for child in self._children.values()}
        with contextlib.suppress(ChildProcessError):
            while (dead := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)) and dead.si_pid not in own:
                os.waitpid(dead.si_pid, 0)
