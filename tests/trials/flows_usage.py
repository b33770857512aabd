"""Calls on their way: from a hold at the till to sums in the database."""

from dataclasses import replace
from datetime import timedelta

from billing.models import LedgerTransfer, RatingDelta, Rollup15m, RollupDirty, UsageEvent
from billing.services import holds, posting, rerating, rerating_run, rollups
from billing.usage_record import UsageRecord
from newapi.kernel import clock
from newapi.kernel.meters import bank, keys
from newapi.kernel.money import NANO
from tests import cast
from tests.billing import calls
from tests.trials.flow import Flow
from tests.trials.world import LATER, World


class _Calls(Flow):
    """Flows of one call each."""

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self.records: dict[str, UsageRecord] = {}

    def prepare(self, key: str) -> None:
        self.records[key] = calls.lost(self.world.line)

    def row(self, key: str) -> UsageEvent:
        """The one row of a call, which cost what its transaction moved."""
        row = UsageEvent.objects.get(pk=self.records[key].id)
        moved = LedgerTransfer.objects.filter(transaction=row.transaction_id).values_list("amount_nano", flat=True)
        rows = UsageEvent.objects.filter(transaction=row.transaction_id).values_list("cost_nano", flat=True)
        assert sum(moved) == sum(rows) > 0
        return row

    def answered(self, key: str) -> UsageRecord:
        """What the call of that key came to."""
        record = self.records[key]
        return calls.answered(self.world.line, id=record.id, at_ms=record.at_ms)


class Admit(_Calls):
    """A hold is placed; the worker that placed it dies."""

    def act(self, key: str) -> object:
        return calls.admit(self.records[key])

    def check(self, key: str) -> None:
        # Before it was asked for again it was swept, if it stood; afterwards it was swept for certain.
        assert self.row(key).outcome == "lost"


class Settle(_Calls):
    """A call ends. Who gets no answer settles once more, and says that it is a repeat."""

    def prepare(self, key: str) -> None:
        super().prepare(key)
        self.ask = calls.admit(self.records[key])
        self.born = self.world.redis.hget(keys.till(self.world.acme.pk), "born").decode()
        self.tried: set[str] = set()

    def act(self, key: str) -> object:
        record = self.answered(key)
        return calls.with_till(
            lambda till: till.settle(
                admission=self.ask,
                born=self.born,
                cost_nano=record.costs.total,
                tokens=record.tokens.total,
                event=record.encode(),
                again=True,
            )
        )

    def check(self, key: str) -> None:
        # Killed before it was told, the call is the sweeper's.
        assert self.row(key).outcome in ("ok", "lost")


class _Settled(_Calls):
    def prepare(self, key: str) -> None:
        super().prepare(key)
        [self.records[key]] = calls.serve([self.answered(key)])

    def check(self, key: str) -> None:
        row = self.row(key)
        assert (row.outcome, row.cost_nano) == ("ok", self.records[key].costs.total)


class Post(_Settled):
    """The poster takes a call from the stream into the books."""

    def act(self, key: str) -> object:
        self.world.let_leases_expire()
        return posting.post()


class Acknowledge(_Settled):
    """The books know the call; the till is told."""

    def prepare(self, key: str) -> None:
        super().prepare(key)
        shard = keys.shard_of(self.world.acme.pk)
        self.entries = bank.unposted(shard=shard, limit=100)
        posting.post()
        # As though the poster had died right after its commit.
        for entry in self.entries:
            fields = {"o": entry.organisation_id, "c": entry.cost_nano, "e": entry.event}
            self.world.redis.hincrby(keys.till(entry.organisation_id), "pending", entry.cost_nano)
            self.world.redis.xadd(keys.usage(shard), fields)

    def act(self, key: str) -> object:
        self.world.let_leases_expire()
        return posting.post()


class RollUp(_Settled):
    """Quarters are summed up."""

    def prepare(self, key: str) -> None:
        super().prepare(key)
        posting.post()

    def act(self, key: str) -> object:
        return rollups.roll_up()

    def check(self, key: str) -> None:
        super().check(key)
        assert not RollupDirty.objects.exists()
        assert sum(Rollup15m.objects.values_list("calls", flat=True)) == UsageEvent.objects.count()


class Sweep(_Calls):
    """The hold of a lost worker is settled from its last mark."""

    def prepare(self, key: str) -> None:
        with clock.shifted(-LATER.total_seconds()):
            super().prepare(key)
            calls.admit(self.records[key], seen=7)

    def act(self, key: str) -> object:
        return holds.sweep()

    def check(self, key: str) -> None:
        row = self.row(key)
        assert (row.outcome, row.output_tokens, row.usage_source) == ("lost", 7, "estimate")


class Rerate(_Calls):
    """A call of two hours ago was charged twice what it should have cost; the half of it is given back."""

    def prepare(self, key: str) -> None:
        wrong, right = (
            cast.price(self.world.model, price_group=f"{name}-{key}", input_nano=nano, output_nano=4 * nano)
            for name, nano in (("wrong", 2 * NANO), ("right", NANO))
        )
        with clock.shifted(-7200):
            self.records[key] = calls.answered(replace(self.world.line, version=wrong))
        calls.serve([self.records[key]])
        posting.post()
        self.before_nano = self.world.balance_nano
        now = clock.now()
        asked = rerating.request(
            wrong_price=wrong,
            right_price=right,
            since=now - timedelta(hours=3),
            until=now - timedelta(minutes=61),
            actor=self.world.root,
            reason="Mistyped",
        )
        self.asked = rerating.approve(of=asked, actor=self.world.olga, reason="Checked")

    def act(self, key: str) -> object:
        return rerating_run.run()

    def check(self, key: str) -> None:
        self.asked.refresh_from_db()
        [delta] = RatingDelta.objects.filter(usage=self.records[key].id)
        cost_nano = self.row(key).cost_nano
        assert (self.asked.state, delta.before_nano, delta.after_nano) == ("done", cost_nano, cost_nano // 2)
        assert self.world.balance_nano - self.before_nano == cost_nano // 2


FLOWS: dict[str, type[Flow]] = {
    "admit": Admit,
    "settle": Settle,
    "post": Post,
    "acknowledge": Acknowledge,
    "roll-up": RollUp,
    "sweep": Sweep,
    "re-rating batch": Rerate,
}
