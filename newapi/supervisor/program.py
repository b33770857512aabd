"""What the supervisor is told about a process."""

import signal
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum


class Restart(Enum):
    """What to do when a process ends by itself."""

    ALWAYS = "always"
    NEVER = "never"


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """One process to keep. `env` is added to ours; `descriptors` are inherited under their own numbers.

    `stop_order`: lower numbers are stopped first, equal ones together. After `stop_timeout_s` the
    whole group is killed. `orphan_signal` is what the kernel sends it when the supervisor dies.
    `listen` gets its lines of output instead of the terminal.
    """

    name: str
    argv: Sequence[str]
    env: Mapping[str, str] = field(default_factory=dict)
    descriptors: tuple[int, ...] = ()
    restart: Restart = Restart.ALWAYS
    stop_order: int = 0
    stop_signal: signal.Signals = signal.SIGTERM
    stop_timeout_s: float = 10.0
    orphan_signal: signal.Signals = signal.SIGKILL
    listen: Callable[[str], None] | None = None
