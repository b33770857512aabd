"""Long random days: after every single step the books agree, and funds are what plain arithmetic says."""

import random
from collections.abc import Callable

import pytest
from redis import Redis

from accounts.models import Organisation
from billing.errors import BillingRefusal
from billing.models import LedgerTransaction, Rollup15m, UsageEvent
from billing.pricing import Costs
from billing.services import holds, posting, rollups, verifier, wallets
from billing.usage_record import UsageRecord
from channels.models import Model
from newapi.kernel import clock
from newapi.kernel.meters import bank
from newapi.kernel.meters.till import Admitted
from newapi.kernel.money import NANO
from tests.billing import books, calls

STEPS = 60


class Day:
    """Does random things to one organisation, and keeps its own account of what it has."""

    def __init__(self, organisation: Organisation, line: calls.Line, redis: Redis, dice: random.Random) -> None:
        self.organisation, self.line, self.redis, self.dice = organisation, line, redis, dice
        self.funds_nano = 100 * NANO
        self.limit_nano = self.spent_nano = 0
        self.open: dict[str, tuple[UsageRecord, int]] = {}
        self.calls = 0
        self.entries: list[LedgerTransaction] = []

    @property
    def expected_nano(self) -> int:
        """What is available by plain arithmetic."""
        held_nano = sum(nano for _, nano in self.open.values())
        return self.funds_nano + self.limit_nano - self.spent_nano - held_nano

    def step(self, number: int) -> None:
        acts: list[Callable[[str], None]] = [
            self.admit, self.admit, self.settle, self.settle, self.die, self.post, self.post,
            self.roll_up, self.credit, self.debit, self.limit, self.reverse, self.lose_the_till,
        ]  # fmt: skip
        self.dice.choice(acts)(f"step-{number}")

    def admit(self, key: str) -> None:
        nano = self.dice.randrange(1, 30 * NANO)
        record = calls.lost(self.line, input_tokens=self.dice.randrange(1, 10**6))
        answer = calls.with_till(lambda till: till.admit(calls.admission(record, hold_nano=nano)))
        assert isinstance(answer, Admitted) == (self.expected_nano >= nano)
        if isinstance(answer, Admitted):
            self.open[answer.born + ":" + str(record.id)] = (record, nano)

    def settle(self, key: str) -> None:
        if not self.open:
            return
        name = self.dice.choice(sorted(self.open))
        record, nano = self.open.pop(name)
        # Now and then a call comes to more than was held.
        cost_nano = self.dice.choice([0, self.dice.randrange(nano), nano, nano * 2])
        done = calls.answered(self.line, id=record.id, at_ms=record.at_ms, costs=Costs(output=cost_nano))
        ask = calls.admission(record, hold_nano=nano)
        calls.with_till(lambda till: calls.settle_at(till, ask, done, born=name.partition(":")[0]))
        self.spent_nano += cost_nano
        self.calls += 1

    def die(self, key: str) -> None:
        """The worker is lost with all its calls, and the sweeper comes."""
        with clock.shifted(calls.DEADLINE_MS / 1000 + 1):
            assert holds.sweep() == len(self.open)
        for record, nano in self.open.values():
            self.spent_nano += min(record.tokens.input * 2000, nano)
        self.calls += len(self.open)
        self.open.clear()

    def post(self, key: str) -> None:
        posting.post(limit=self.dice.randrange(1, 10))

    def roll_up(self, key: str) -> None:
        rollups.roll_up(limit=self.dice.randrange(1, 4))

    def credit(self, key: str) -> None:
        nano = self.dice.randrange(1, 50 * NANO)
        kind = self.dice.choice(list(wallets.SOURCES))
        for _ in range(2):  # told twice, booked once
            entry = wallets.credit(
                organisation=self.organisation,
                amount_nano=nano,
                kind=kind,
                idempotency_key=key,
                actor=None,
                reason="In",
            )
        self.entries.append(entry)
        self.funds_nano += nano
        self.tell()

    def debit(self, key: str) -> None:
        nano = self.dice.randrange(1, 80 * NANO)
        spendable = self.wallet.balance_nano + self.wallet.credit_limit_nano
        try:
            entry = wallets.debit(
                organisation=self.organisation, amount_nano=nano, idempotency_key=key, actor=None, reason="Out"
            )
        except BillingRefusal:
            assert nano > spendable
        else:
            assert nano <= spendable
            self.entries.append(entry)
            self.funds_nano -= nano
            self.tell()

    def limit(self, key: str) -> None:
        nano = self.dice.choice([0, 10 * NANO, 40 * NANO])
        try:
            wallets.set_credit_limit(wallet=self.wallet, credit_limit_nano=nano, actor=None, reason="Contract")
        except BillingRefusal:
            assert self.wallet.balance_nano < -nano
        else:
            self.limit_nano = nano
            self.tell()

    def reverse(self, key: str) -> None:
        usage = list(LedgerTransaction.objects.filter(kind="usage", reversed_by=None))
        candidates = [*self.entries, *usage]
        if not candidates:
            return
        entry = self.dice.choice(candidates)
        before = self.wallet.funded_nano
        try:
            wallets.reverse(booked=entry, actor=None, reason="Undo")
        except BillingRefusal:
            assert self.wallet.funded_nano == before
            return
        self.funds_nano += self.wallet.funded_nano - before
        if entry in self.entries:
            self.entries.remove(entry)
        self.tell()

    def lose_the_till(self, key: str) -> None:
        """Redis is wiped at a quiet moment, and the next call opens the till again."""
        self.die(key)
        while posting.post():
            pass
        self.redis.flushdb()
        calls.warm(self.organisation)

    def tell(self) -> None:
        """Tests within one transaction never commit, so the till is told by hand."""
        wallets.publish(wallet_id=self.wallet.pk)

    @property
    def wallet(self) -> object:
        return books.wallet_of(self.organisation)


@pytest.mark.req("BIL-17", "BIL-11")
@pytest.mark.parametrize("seed", range(6))
def test_after_every_step_the_books_agree_and_funds_are_right(
    acme: Organisation, chat_model: Model, redis: Redis, seed: int
) -> None:
    calls.warm(acme)
    day = Day(acme, calls.line(acme, chat_model), redis, random.Random(seed))
    for number in range(STEPS):
        day.step(number)
        assert verifier.verify() == [], f"seed {seed}, step {number}"
        assert bank.till_state(acme.pk).available_nano == day.expected_nano, f"seed {seed}, step {number}"
    day.die("end")
    while posting.post() or rollups.roll_up():
        pass
    books.assert_balanced(acme)
    assert books.used_in_rows(acme) == day.spent_nano
    assert UsageEvent.objects.count() == sum(Rollup15m.objects.values_list("calls", flat=True)) == day.calls
