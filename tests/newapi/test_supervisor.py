"""The supervisor: what dies comes back, what is stopped stops in order, and nothing is left behind."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from queue import Empty, Queue
from threading import Thread

import pytest

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_S = 30.0

# A supervisor of shell scripts: `name|stop order|stop timeout|script` per argument.
DRIVER = """
import asyncio, sys
from newapi.supervisor import Program, StartFailed, Supervisor, EXIT_FAILED

async def main():
    supervisor = Supervisor(out=sys.stdout)
    names = []
    try:
        for line in sys.argv[2:]:
            name, order, timeout_s, script = line.split("|", 3)
            names.append(name)
            supervisor.start(Program(name=name, argv=("sh", "-c", script), stop_order=int(order),
                                     stop_timeout_s=float(timeout_s)))
        if sys.argv[1] == "never-ready":
            async def ready():
                return False
            await supervisor.until(ready, names=names, timeout_s=20)
        await supervisor.wait()
    except StartFailed as error:
        supervisor.say(str(error))
        return EXIT_FAILED
    finally:
        await supervisor.stop()
    return supervisor.exit_code

sys.exit(asyncio.run(main()))
"""
IDLE = "echo up $$; trap 'echo bye; exit 0' TERM; while :; do sleep 0.02; done"
STUBBORN = "trap '' TERM; echo up $$; while :; do sleep 0.02; done"


class Run:
    """A supervisor process and the lines it has printed."""

    def __init__(self, *programs: str, mode: str = "ready") -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", DRIVER, mode, *programs],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self.seen: list[str] = []
        self._lines: Queue[str] = Queue()
        self._reader = Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._lines.put(line.rstrip("\n"))

    def line(self, pattern: str) -> re.Match[str]:
        """Return the next line that matches, waiting for it."""
        deadline = time.monotonic() + PATIENCE_S
        while (left := deadline - time.monotonic()) > 0:
            try:
                self.seen.append(self._lines.get(timeout=left))
            except Empty:
                break
            if found := re.search(pattern, self.seen[-1]):
                return found
        pytest.fail(f"no line matched {pattern!r} in {self.seen}")

    def pid_of(self, name: str) -> int:
        """Return the process id that a program prints when it starts."""
        return int(self.line(rf"^{name} +\| up (\d+)")[1])

    def end(self) -> int:
        """Return the exit code, with all lines seen."""
        code = self.process.wait(timeout=PATIENCE_S)
        self._reader.join(PATIENCE_S)
        while not self._lines.empty():
            self.seen.append(self._lines.get())
        return code


Supervise = Callable[..., Run]


@pytest.fixture
def supervise() -> Iterator[Supervise]:
    """Start supervisors; those still running at the end are ended with all they started."""
    runs: list[Run] = []

    def begin(*programs: str, mode: str = "ready") -> Run:
        runs.append(Run(*programs, mode=mode))
        return runs[-1]

    yield begin
    for run in runs:
        run.process.kill()
        run.process.wait()


def has_ended(pid: int, *, within_s: float = 5.0) -> bool:
    """Say whether a process that is not our child ends in time; one that waits to be collected has ended."""
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        try:
            if Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z":
                return True
        except (FileNotFoundError, ProcessLookupError):
            return True
        time.sleep(0.02)
    return False


def test_a_killed_process_is_back_within_a_second_and_the_others_stay(supervise: Supervise) -> None:
    run = supervise(f"web|0|5|{IDLE}", f"worker|1|5|{IDLE}")
    pids = {match[1]: int(match[2]) for match in (run.line(r"^(\w+) +\| up (\d+)") for _ in range(2))}

    killed_at = time.monotonic()
    os.kill(pids["web"], signal.SIGKILL)

    run.line(r"^web +\| ended by SIGKILL; starting it again in 0.1 s")
    assert run.pid_of("web") != pids["web"]
    assert time.monotonic() - killed_at < 1
    os.kill(pids["worker"], 0)
    assert not Path(f"/proc/{pids['web']}").exists(), "the dead process was not collected"


def test_a_process_that_keeps_dying_is_started_again_ever_later(supervise: Supervise) -> None:
    run = supervise("web|0|5|echo down; exit 3")

    for delay in ("0.1", "0.5", "1"):
        run.line(rf"^web +\| ended with code 3; starting it again in {delay} s")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_one_signal_stops_everything_in_order(supervise: Supervise, number: signal.Signals) -> None:
    run = supervise(f"redis|9|5|{IDLE}", f"web-1|0|5|{IDLE}", f"worker|4|5|{IDLE}")
    pids = [int(run.line(r"up (\d+)")[1]) for _ in range(3)]

    run.process.send_signal(number)

    assert run.end() == 0
    goodbyes = [line.split()[0] for line in run.seen if line.endswith("| bye")]
    assert goodbyes == ["web-1", "worker", "redis"]
    assert all(has_ended(pid) for pid in pids)


def test_a_process_that_will_not_stop_is_killed_after_its_time(supervise: Supervise) -> None:
    run = supervise(f"web|0|0.3|{STUBBORN}", f"redis|9|5|{IDLE}")
    pids = [int(run.line(r"up (\d+)")[1]) for _ in range(2)]

    run.process.terminate()

    assert run.end() == 0
    assert any("web" in line and "still there after 0.3 s: killed" in line for line in run.seen)
    assert all(has_ended(pid) for pid in pids)


def test_a_second_interrupt_kills_at_once(supervise: Supervise) -> None:
    run = supervise(f"web|0|60|{STUBBORN}", f"redis|9|60|{STUBBORN}")
    pids = [int(run.line(r"up (\d+)")[1]) for _ in range(2)]

    run.process.send_signal(signal.SIGINT)
    run.line("SIGINT: stopping in order")
    run.process.send_signal(signal.SIGINT)

    assert run.end() == 130
    assert all(has_ended(pid) for pid in pids)


def test_nothing_outlives_a_killed_supervisor(supervise: Supervise) -> None:
    run = supervise(f"web|0|5|{STUBBORN}", f"redis|9|5|{IDLE}")
    pids = [int(run.line(r"up (\d+)")[1]) for _ in range(2)]

    run.process.kill()

    assert all(has_ended(pid) for pid in pids)


def test_what_a_dead_process_had_started_does_not_work_beside_its_successor(supervise: Supervise) -> None:
    run = supervise(f"worker|0|5|(sleep 60 & echo pool $!); {IDLE}")
    pool = int(run.line(r"pool (\d+)")[1])
    leader = run.pid_of("worker")

    os.kill(leader, signal.SIGKILL)

    run.pid_of("worker")
    assert has_ended(pool)


def test_a_part_that_never_comes_up_ends_the_start_with_a_reason(supervise: Supervise) -> None:
    run = supervise("web|0|5|echo no such module; exit 1", f"redis|9|5|{IDLE}", mode="never-ready")

    assert run.end() == 1
    text = "\n".join(run.seen)
    assert "web      | no such module" in text
    assert "web does not come up: it ended 3 times" in text
    assert "redis    | bye" in text
