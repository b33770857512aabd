"""One program's current process: its output, its end, its successor."""

import asyncio
import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable

from newapi.supervisor.program import Program, Restart

BACKOFF_S = (0.1, 0.5, 1.0, 2.0, 5.0, 10.0)
SETTLED_AFTER_S = 10.0
LINE_BYTES_MAX = 65_536

_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


class Child:
    """One program's current process, its output, and its restarts."""

    def __init__(self, program: Program, *, say: Callable[..., None], cwd: str | None) -> None:
        self.program = program
        self.exits = 0
        self.code = 0
        self.ended = asyncio.Event()
        self._say = say
        self._cwd = cwd
        self._process: subprocess.Popen[bytes] | None = None
        self._started_at = 0.0
        self._failures = 0
        self._wanted = True
        self._retry: asyncio.TimerHandle | None = None
        self._pending = b""
        self._loop = asyncio.get_running_loop()

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process is not None else None

    def spawn(self) -> None:
        self._retry = None
        self._process = subprocess.Popen(  # noqa: S603 - argv comes from our own commands
            list(self.program.argv),
            env={**os.environ, "PYTHONUNBUFFERED": "1", **self.program.env},
            cwd=self._cwd,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            pass_fds=self.program.descriptors,
            start_new_session=True,
            # Safe here: the supervisor has one thread, so no lock can be held elsewhere while it forks.
            preexec_fn=_tie_to_parent(self.program.orphan_signal),
        )
        self._started_at = time.monotonic()
        self.ended.clear()
        pipe = self._process.stdout
        assert pipe is not None
        os.set_blocking(pipe.fileno(), False)
        self._loop.add_reader(pipe.fileno(), self._read, self._process)

    def poll(self) -> None:
        """Collect the process if it has ended, and see to its successor."""
        process = self._process
        if process is None or not os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT):
            return
        # Whatever it had started itself must not outlive it and work beside its successor. Before the
        # process is collected, because until then its number cannot have become someone else's.
        _signal_group(process.pid, signal.SIGKILL)
        self.code = process.wait()
        self._close(process)
        self._process = None
        if self._wanted:
            self.exits += 1
            self._after_unexpected_end()
        if not self._wanted or self.program.restart is Restart.NEVER:
            self.ended.set()

    def _after_unexpected_end(self) -> None:
        how = _describe(self.code)
        if self.program.restart is Restart.NEVER:
            self._wanted = False
            if self.code != 0:
                self._say(how, name=self.program.name)
            return
        if time.monotonic() - self._started_at > SETTLED_AFTER_S:
            self._failures = 0
        delay_s = BACKOFF_S[min(self._failures, len(BACKOFF_S) - 1)]
        self._failures += 1
        self._say(f"{how}; starting it again in {delay_s:g} s", name=self.program.name)
        self._retry = self._loop.call_later(delay_s, self._respawn)

    def _respawn(self) -> None:
        try:
            self.spawn()
        except OSError as error:
            self._say(f"cannot be started ({error}); trying again in {BACKOFF_S[-1]:g} s", name=self.program.name)
            self.exits += 1
            self._retry = self._loop.call_later(BACKOFF_S[-1], self._respawn)

    async def stop(self) -> None:
        """Ask it to end; kill its group when it takes too long."""
        self._wanted = False
        if self._retry is not None:
            self._retry.cancel()
            self._retry = None
        if self._process is None:
            return
        # The leader alone is asked: a pool's children are its own to wind down.
        os.kill(self._process.pid, self.program.stop_signal)
        try:
            await asyncio.wait_for(self.ended.wait(), self.program.stop_timeout_s)
        except TimeoutError:
            self._say(f"still there after {self.program.stop_timeout_s:g} s: killed", name=self.program.name)
            self.kill()
            await self.ended.wait()

    def kill(self) -> None:
        self._wanted = False
        if self._retry is not None:
            self._retry.cancel()
            self._retry = None
        if self._process is not None:
            _signal_group(self._process.pid, signal.SIGKILL)

    def _read(self, process: subprocess.Popen[bytes]) -> bool:
        """Print what it has just written, whole lines under its name. False when there is nothing more now."""
        assert process.stdout is not None
        try:
            data = os.read(process.stdout.fileno(), LINE_BYTES_MAX)
        except BlockingIOError:
            return False
        if not data:
            self._loop.remove_reader(process.stdout.fileno())
            return False
        *lines, self._pending = (self._pending + data).split(b"\n")
        if len(self._pending) > LINE_BYTES_MAX:
            lines.append(self._pending)
            self._pending = b""
        for line in lines:
            self._hear(line)
        return True

    def _hear(self, line: bytes) -> None:
        text = line.decode(errors="replace").rstrip("\r")
        if self.program.listen is not None:
            self.program.listen(text)
        else:
            self._say(text, name=self.program.name)

    def _close(self, process: subprocess.Popen[bytes]) -> None:
        while self._read(process):
            pass
        if self._pending:
            self._hear(self._pending)
            self._pending = b""
        assert process.stdout is not None
        self._loop.remove_reader(process.stdout.fileno())
        process.stdout.close()


def _tie_to_parent(number: signal.Signals) -> Callable[[], None] | None:
    """Return what a fresh child does first: ask for `number` when its parent dies. Linux only."""
    if _libc is None:
        return None
    libc, parent = _libc, os.getpid()

    def tie() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, int(number), 0, 0, 0)
        if os.getppid() != parent:  # it died before we asked
            os._exit(1)

    return tie


def _signal_group(group: int, number: signal.Signals) -> None:
    try:
        os.killpg(group, number)
    except (ProcessLookupError, PermissionError):
        return


def _describe(code: int) -> str:
    if code >= 0:
        return f"ended with code {code}"
    try:
        return f"ended by {signal.Signals(-code).name}"
    except ValueError:
        return f"ended by signal {-code}"
