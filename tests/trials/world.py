"""What crash trials happen in: Acme with a till, its jobs, and what must be true of its money."""

from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cached_property
from importlib import import_module

from redis import Redis

from accounts.models import Organisation, User
from billing.services import verifier
from channels.models import Model
from newapi import schedule
from newapi.kernel import clock
from newapi.kernel.meters import keys
from tests.billing import books, calls

# Jobs that only look, or that ask somebody outside.
NOT_RUN = {"billing.tasks.verify_money", "billing.tasks.prepare_partitions"}
# By then every hold of a lost worker is due, and so is a first repeat of what failed.
LATER = timedelta(milliseconds=calls.DEADLINE_MS) + timedelta(seconds=30)
ROUNDS_MAX = 50


@dataclass
class World:
    """Acme, its till and the people around it."""

    acme: Organisation
    globex: Organisation
    root: User
    olga: User
    model: Model
    redis: Redis
    # What is closed when the trial is over.
    stack: ExitStack = field(default_factory=ExitStack)

    @cached_property
    def line(self) -> calls.Line:
        """A key, a model and its price."""
        return calls.line(self.acme, self.model)

    def recover(self) -> None:
        """What the product does by itself once it runs again: every job of billing, until none finds any work."""
        self.let_leases_expire()
        for wait in (timedelta(0), LATER):
            with clock.shifted(wait.total_seconds()):
                run_jobs()

    def let_leases_expire(self) -> None:
        """The leases of who was killed run out."""
        for shard in range(keys.SHARDS):
            self.redis.delete(f"{keys.usage(shard)}:poster")

    def assert_right(self, when: str) -> None:
        """Everything of design.md's fifth chapter, to the nano."""
        assert verifier.verify() == [], when
        with clock.shifted(LATER.total_seconds()):
            assert verifier.verify() == [], f"{when}, later"
        books.assert_balanced(self.acme, self.globex)

    @property
    def balance_nano(self) -> int:
        """What Acme's wallet holds."""
        return books.wallet_of(self.acme).balance_nano


def run_jobs() -> None:
    """Every scheduled job of billing, again and again until none of them has anything to do."""
    for _ in range(ROUNDS_MAX):
        if not any([_run(job.task) for job in schedule.JOBS if _is_ours(job.task)]):
            return
    raise AssertionError("the jobs never come to rest")


def _is_ours(task: str) -> bool:
    return task.startswith("billing.tasks.") and task not in NOT_RUN


def _run(task: str) -> bool:
    module, _, name = task.rpartition(".")
    return bool(getattr(import_module(module), name)())
