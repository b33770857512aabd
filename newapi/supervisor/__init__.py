"""Keeps a handful of processes running in one terminal, and leaves nothing behind.

One thread, one event loop: children are started, read, reaped and restarted from there. Why both
of these: each child leads a session of its own, so that Ctrl-C in the terminal reaches only the
supervisor (which then stops parts in order) and a signal to the child's group reaches its
grandchildren too; and on Linux each child asks the kernel for a signal when its parent dies, so
that nothing survives even a `kill -9` of the supervisor. Knows nothing of Django.
"""

from newapi.supervisor.keeper import EXIT_FAILED, EXIT_KILLED, EXIT_OK, StartFailed, Supervisor
from newapi.supervisor.program import Program, Restart

__all__ = ["EXIT_FAILED", "EXIT_KILLED", "EXIT_OK", "Program", "Restart", "StartFailed", "Supervisor"]
