"""Whatever step a process is killed at, no call is lost, none is charged twice, and funds are right meanwhile."""

import pytest
from redis import Redis

from accounts.models import Organisation
from billing.models import LedgerTransaction, UsageEvent, Wallet
from billing.services import holds, posting, rollups, verifier, wallets
from channels.models import Model
from newapi.kernel import clock
from newapi.kernel.meters import bank, keys
from newapi.kernel.money import NANO
from tests.billing import books, calls, crashes

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def line(acme: Organisation, chat_model: Model) -> calls.Line:
    calls.warm(acme)
    return calls.line(acme, chat_model)


def let_leases_expire(redis: Redis) -> None:
    for shard in range(keys.SHARDS):
        redis.delete(f"{keys.usage(shard)}:poster")


@pytest.mark.req("BIL-11", "BIL-17")
def test_07_a_poster_killed_at_any_step(acme: Organisation, line: calls.Line, redis: Redis) -> None:
    served = calls.serve(calls.answered(line) for _ in range(3))
    steps = 0
    for steps in crashes.at_every_step(lambda step: posting.post()):
        spent = sum(record.costs.total for record in served)
        assert bank.till_state(acme.pk).available_nano == 100 * NANO - spent, f"after a kill at step {steps}"
        let_leases_expire(redis)
        posting.post()
        books.assert_balanced(acme)
        served += calls.serve(calls.answered(line) for _ in range(3))
    assert steps > 30
    posting.post()
    assert set(UsageEvent.objects.values_list("pk", flat=True)) == books.ids_of(served)
    books.assert_balanced(acme)
    rollups.roll_up()
    assert verifier.verify() == []


@pytest.mark.req("BIL-22")
def test_a_roll_up_killed_at_any_step(acme: Organisation, line: calls.Line) -> None:
    steps = 0
    calls.serve([calls.answered(line)])
    posting.post()
    for steps in crashes.at_every_step(lambda step: rollups.roll_up()):
        while rollups.roll_up():
            pass
        assert verifier.verify() == [], f"after a kill at step {steps}"
        calls.serve([calls.answered(line)])
        posting.post()
    assert steps > 20
    assert verifier.verify() == []


def test_a_sweeper_killed_at_any_step(acme: Organisation, line: calls.Line, redis: Redis) -> None:
    steps = 0
    with clock.shifted(-calls.DEADLINE_MS / 1000 - 30):
        calls.admit(calls.lost(line), seen=7)
    for steps in crashes.at_every_step(lambda step: holds.sweep()):
        holds.sweep()
        assert bank.holds(shard=keys.shard_of(acme.pk)) == [], f"after a kill at step {steps}"
        posting.post()
        books.assert_balanced(acme)
        with clock.shifted(-calls.DEADLINE_MS / 1000 - 30):
            calls.admit(calls.lost(line), seen=7)
    posting.post()
    assert UsageEvent.objects.count() == steps + 1
    books.assert_balanced(acme)


def test_a_credit_killed_at_any_step_is_booked_once_when_it_is_asked_for_again(acme: Organisation) -> None:
    calls.warm(acme)
    steps = 0

    def credit(key: str) -> LedgerTransaction:
        return wallets.credit(
            organisation=acme,
            amount_nano=NANO,
            kind=LedgerTransaction.Kind.TOP_UP,
            idempotency_key=key,
            actor=None,
            reason="Paid",
        )

    for steps in crashes.at_every_step(lambda step: credit(f"payment-{step}")):
        credit(f"payment-{steps}")
        wallets.publish_missed()
        assert books.wallet_of(acme).balance_nano == (100 + steps) * NANO, f"after a kill at step {steps}"
        assert bank.till_state(acme.pk).available_nano == (100 + steps) * NANO
    assert steps > 20
    books.assert_balanced(acme)


def test_funds_that_redis_could_not_be_told_are_told_later(
    acme: Organisation, redis: Redis, unreachable_redis: None
) -> None:
    wallets.credit(
        organisation=acme,
        amount_nano=NANO,
        kind=LedgerTransaction.Kind.TOP_UP,
        idempotency_key="while away",
        actor=None,
        reason="Paid",
    )
    wallet = Wallet.objects.get(organisation=acme)
    assert wallet.version_published < wallet.version
    assert wallets.publish_missed() == 0
