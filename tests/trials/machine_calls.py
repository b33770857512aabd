"""What calls, workers, jobs and the clock do to the money machine's money."""

from dataclasses import dataclass, replace

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from billing.models import UsageEvent
from billing.pricing import Costs
from billing.services import expiry, holds, posting, rollups
from billing.usage_record import UsageRecord
from newapi.kernel import clock
from newapi.kernel.meters.till import Admission, Admitted, Refused, Stale
from tests.billing import calls
from tests.trials.machine import AMOUNTS, PICKS, WAITS_S, Money
from tests.trials.money_model import Call

SCOPES = ("any", "project", "model", "both")
INPUT_TOKENS = 1000
# What the input of a lost call is charged with, at 2 USD a million tokens.
INPUT_NANO = INPUT_TOKENS * 2000


@dataclass
class OpenCall:
    """An admitted call."""

    record: UsageRecord
    ask: Admission
    born: str
    nano: int


class MoneyMachine(Money):
    """Money with calls of any outcome, crashes, repeats and a clock that moves."""

    def __init__(self) -> None:
        super().__init__()
        self.open: dict[str, OpenCall] = {}
        self.rows = 0

    def end(self) -> None:
        """All calls end and everything is posted; then nothing is found by anyone."""
        self.lose_the_worker()
        self.post_all()
        super().end()
        assert UsageEvent.objects.count() == self.rows

    @rule(nano=AMOUNTS, scope=st.sampled_from(SCOPES))
    def admit(self, nano: int, scope: str) -> None:
        """A call asks, and asks once more because it heard no answer: it is held for once."""
        record = replace(calls.lost(self.line, input_tokens=INPUT_TOKENS), purse=self.purses.get(scope))
        ask = calls.admission(record, hold_nano=nano)
        answer = self.answer(ask)
        # While calls hold money that has ended, the till lets it be looked for once a second.
        for _ in range(3):
            if isinstance(answer, Stale):
                assert answer.what == "funds"
                self.expire()
                answer = self.answer(ask)
        assert isinstance(answer, Admitted | Refused)
        assert isinstance(answer, Admitted) == self.book.may_hold(nano, record.purse)
        if isinstance(answer, Admitted):
            name = str(record.id)
            self.open[name] = OpenCall(record, ask, answer.born, nano)
            self.book.held[name] = Call(nano, record.purse, record.at_ms)
            assert isinstance(self.answer(ask), Admitted | Stale)

    def answer(self, ask: Admission) -> Admitted | Refused | Stale:
        """Of the till."""
        return self.grounds.worker.run(self.grounds.worker.till.admit(ask))

    @precondition(lambda self: self.open)
    @rule(pick=PICKS, times=st.sampled_from([0, 1, 2, 3, 5]), again=st.booleans())
    def settle(self, pick: int, times: int, again: bool) -> None:
        """A call comes to nothing, less, all or more than was held, and says so once or twice."""
        name = sorted(self.open)[pick % len(self.open)]
        call = self.open.pop(name)
        cost_nano = call.nano * times // 3
        done = calls.answered(self.line, id=call.record.id, at_ms=call.record.at_ms, purse=call.record.purse)
        done = replace(done, costs=Costs(output=cost_nano))
        for _ in range(1 + again):
            self.grounds.worker.run(
                self.grounds.worker.till.settle(
                    admission=call.ask,
                    born=call.born,
                    cost_nano=cost_nano,
                    tokens=done.tokens.total,
                    event=done.encode(),
                    again=True,
                )
            )
        self.book.settle(name, cost_nano)
        self.rows += 1

    @rule()
    def lose_the_worker(self) -> None:
        """The worker is lost with all its calls, and the sweeper comes."""
        with clock.shifted(calls.DEADLINE_MS / 1000 + 1):
            assert self.told(holds.sweep) == len(self.open)
        # In the order in which they were due.
        for name, call in self.open.items():
            self.book.settle(name, min(INPUT_NANO, call.nano))
        self.rows += len(self.open)
        self.open.clear()

    @rule(limit=st.integers(1, 10))
    def post(self, limit: int) -> None:
        expected = min(limit, len(self.book.waiting))
        assert self.told(lambda: posting.post(limit=limit)) == expected
        self.book.post(limit)

    def post_all(self) -> None:
        """Until nothing waits."""
        while self.book.waiting:
            self.post(10)
        assert posting.post() == 0

    @rule(limit=st.integers(1, 4))
    def roll_up(self, limit: int) -> None:
        rollups.roll_up(limit=limit)

    @rule()
    def expire(self) -> None:
        """The job takes out what has ended."""
        now_ms = clock.now_ms()
        gave = self.told(lambda: expiry.expire(organisation_id=self.acme.pk))
        assert gave == self.book.expire(now_ms)

    @rule(seconds=WAITS_S)
    def wait(self, seconds: int) -> None:
        """Time passes. No call outlives its deadline: the sweeper comes every ten seconds."""
        last_ms = clock.now_ms() + seconds * 1000
        if any(call.ask.deadline_ms <= last_ms for call in self.open.values()):
            self.lose_the_worker()
        self.stack.enter_context(clock.shifted(seconds))

    @precondition(lambda self: not self.open)
    @rule()
    def lose_redis(self) -> None:
        """Redis is wiped at a quiet moment, and the next call opens the till again."""
        self.post_all()
        self.grounds.redis.flushdb()
        calls.warm(self.acme)
