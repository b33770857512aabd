"""A machine that does to money whatever hypothesis thinks of, and keeps its own books beside it."""

import asyncio
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

import pytest
from django.conf import settings
from django.db import transaction
from django.test import TestCase
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from redis import Redis

from accounts.models import Organisation
from billing.errors import BillingRefusal, IdempotencyConflict
from billing.models import LedgerTransaction
from billing.pricing import Costs
from billing.services import holds, posting, rollups, verifier, wallets
from billing.usage_record import UsageRecord
from newapi.kernel import clock
from newapi.kernel.meters import bank, keys
from newapi.kernel.meters.pipe import Pipe
from newapi.kernel.meters.till import Admission, Admitted, Till
from newapi.kernel.money import NANO
from tests.billing import books, calls
from tests.trials.money_model import Book

T = TypeVar("T")
Kind = LedgerTransaction.Kind
PICKS = st.integers(0, 1000)
AMOUNTS = st.one_of(st.integers(1, 1000), st.integers(1, 60).map(lambda units: units * NANO), st.integers(1, 10**11))
VERIFIED_EACH = 6


@dataclass
class Grounds:
    """What every example starts from, and is rolled back to."""

    acme: Organisation
    line: calls.Line
    redis: Redis


@dataclass
class OpenCall:
    """An admitted call."""

    record: UsageRecord
    ask: Admission
    born: str
    nano: int


class Worker:
    """One event loop and one connection to the till, for all examples."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.till = Till(Pipe(settings.REDIS_URL))

    def run(self, work: Awaitable[T]) -> T:
        """Wait for it."""
        return self.loop.run_until_complete(work)  # type: ignore[arg-type]

    def close(self) -> None:
        """Leave nothing open."""
        self.run(self.till.pipe.close())
        self.loop.close()


class MoneyMachine(RuleBasedStateMachine):
    """Money in, money out, calls of any outcome, crashes and repeats, in any order."""

    grounds: ClassVar[Grounds]
    worker: ClassVar[Worker]

    def __init__(self) -> None:
        super().__init__()
        self.stack = ExitStack()
        self.stack.enter_context(_rolled_back())
        self.acme, self.line = self.grounds.acme, self.grounds.line
        self.book = Book()
        self.open: dict[str, OpenCall] = {}
        self.entries: list[LedgerTransaction] = []
        # What was asked for, to be asked again: the function and what it was given.
        self.asked: list[tuple[Callable[..., Any], dict[str, Any]]] = []
        self.number = 0
        self.calls = 0

    @initialize()
    def begin(self) -> None:
        """An empty Redis, and the 100 that Acme begins with."""
        self.grounds.redis.flushdb()
        calls.warm(self.acme)
        self.book.funds_nano = 100 * NANO

    def teardown(self) -> None:
        """Whatever was done, in the end everything is posted and right."""
        try:
            # What failed already is what is to be told.
            if sys.exc_info()[1] is None:
                self.end()
        finally:
            self.stack.close()

    def end(self) -> None:
        """All calls end, everything is posted and summed up; then nothing is found by anyone."""
        self.lose_the_worker()
        while self.told(posting.post):
            pass
        self.book.post(len(self.book.waiting))
        while rollups.roll_up():
            pass
        assert verifier.verify() == []
        books.assert_balanced(self.acme)
        assert books.used_in_rows(self.acme) == self.book.spent_nano

    # Money in and out

    @rule(kind=st.sampled_from(sorted(wallets.SOURCES)), nano=AMOUNTS)
    def credit(self, kind: str, nano: int) -> None:
        self.ask(wallets.credit, kind=Kind(kind), amount_nano=nano, reason="In")
        self.book.funds_nano += nano

    @rule(nano=AMOUNTS)
    def debit(self, nano: int) -> None:
        if nano > self.book.spendable_nano:
            with pytest.raises(BillingRefusal):
                self.ask(wallets.debit, amount_nano=nano, reason="Out")
        else:
            self.ask(wallets.debit, amount_nano=nano, reason="Out")
            self.book.funds_nano -= nano

    @rule(nano=st.sampled_from([0, 10 * NANO, 40 * NANO]))
    def limit(self, nano: int) -> None:
        def change() -> object:
            wallet = books.wallet_of(self.acme)
            return wallets.set_credit_limit(wallet=wallet, credit_limit_nano=nano, actor=None, reason="Contract")

        if books.wallet_of(self.acme).balance_nano < -nano:
            with pytest.raises(BillingRefusal):
                self.told(change)
        else:
            self.told(change)
            self.book.limit_nano = nano

    @precondition(lambda self: self.asked)
    @rule(pick=PICKS, more=st.integers(0, 3))
    def ask_again(self, pick: int, more: int) -> None:
        """The same under its key changes nothing; something else under it is refused."""
        act, fields = self.asked[pick % len(self.asked)]
        before = LedgerTransaction.objects.count()
        if more:
            with pytest.raises(IdempotencyConflict):
                self.told(lambda: act(**{**fields, "amount_nano": fields["amount_nano"] + more}))
        else:
            self.told(lambda: act(**fields))
        assert LedgerTransaction.objects.count() == before

    # Calls

    @rule(nano=AMOUNTS, seen=st.none() | st.integers(0, 10**6))
    def admit(self, nano: int, seen: int | None) -> None:
        record = calls.lost(self.line, input_tokens=1000)
        ask = calls.admission(record, hold_nano=nano)
        answer = self.worker.run(self.worker.till.admit(ask))
        assert isinstance(answer, Admitted) == (self.book.available_nano >= nano)
        if isinstance(answer, Admitted):
            name = str(record.id)
            self.open[name] = OpenCall(record, ask, answer.born, nano)
            self.book.held[name] = nano
            assert isinstance(self.worker.run(self.worker.till.admit(ask)), Admitted), "asked twice, held once"

    @precondition(lambda self: self.open)
    @rule(pick=PICKS, times=st.sampled_from([0, 1, 2, 3, 5]), again=st.booleans())
    def settle(self, pick: int, times: int, again: bool) -> None:
        """A call comes to nothing, less, all or more than was held, and says so once or twice."""
        name = sorted(self.open)[pick % len(self.open)]
        call = self.open.pop(name)
        cost_nano = call.nano * times // 3
        done = calls.answered(self.line, id=call.record.id, at_ms=call.record.at_ms, costs=Costs(output=cost_nano))
        for _ in range(1 + again):
            self.worker.run(
                self.worker.till.settle(
                    admission=call.ask,
                    born=call.born,
                    cost_nano=cost_nano,
                    tokens=done.tokens.total,
                    event=done.encode(),
                    again=True,
                )
            )
        self.book.settle(name, cost_nano)
        self.calls += 1

    @rule()
    def lose_the_worker(self) -> None:
        """The worker is lost with all its calls, and the sweeper comes."""
        with clock.shifted(calls.DEADLINE_MS / 1000 + 1):
            assert self.told(holds.sweep) == len(self.open)
        # Swept in the order in which they were due.
        for name, call in self.open.items():
            self.book.settle(name, min(1000 * 2000, call.nano))
        self.calls += len(self.open)
        self.open.clear()

    @rule(limit=st.integers(1, 10))
    def post(self, limit: int) -> None:
        assert self.told(lambda: posting.post(limit=limit)) == min(limit, len(self.book.waiting))
        self.book.post(limit)

    @rule(limit=st.integers(1, 4))
    def roll_up(self, limit: int) -> None:
        rollups.roll_up(limit=limit)

    @precondition(lambda self: not self.open)
    @rule()
    def lose_redis(self) -> None:
        """Redis is wiped at a quiet moment, and the next call opens the till again."""
        while self.told(posting.post):
            pass
        self.book.post(len(self.book.waiting))
        self.grounds.redis.flushdb()
        calls.warm(self.acme)

    # What must be true after each

    @invariant()
    def the_till_has_what_the_model_says(self) -> None:
        state = bank.till_state(self.acme.pk)
        assert state is not None
        assert state.available_nano == self.book.available_nano

    @invariant()
    def the_wallet_is_its_transfers_and_the_models(self) -> None:
        wallet = books.wallet_of(self.acme)
        assert wallet.balance_nano - wallet.owed_nano == self.book.worth_nano
        assert wallet.balance_nano == books.in_account(self.acme, "wallet")
        assert wallet.owed_nano == -books.in_account(self.acme, "receivable")

    @invariant()
    def nothing_is_found(self) -> None:
        self.number += 1
        if self.number % VERIFIED_EACH == 0:
            assert verifier.verify() == []
            assert books.waiting() == len(self.book.waiting)
            assert len(bank.holds(shard=keys.shard_of(self.acme.pk))) == len(self.open)

    # How

    def ask(self, act: Callable[..., Any], **fields: Any) -> LedgerTransaction:
        """Ask for a booking under a key of its own, and remember it once it stands."""
        self.number += 1
        fields |= {"organisation": self.acme, "idempotency_key": f"rule-{self.number}", "actor": None}
        entry: LedgerTransaction = self.told(lambda: act(**fields))
        self.asked.append((act, fields))
        self.entries.append(entry)
        return entry

    def told(self, act: Callable[[], T]) -> T:
        """Do something, and then what it left to be done after its commit."""
        with TestCase.captureOnCommitCallbacks(execute=True):
            return act()


@contextmanager
def _rolled_back() -> Iterator[None]:
    """What is done in the block is undone in the end."""
    with transaction.atomic():
        try:
            yield
        finally:
            transaction.set_rollback(True)
