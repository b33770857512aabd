"""Money that has ended is spent by nobody, whatever happened in the moment between its end and the job."""

from datetime import timedelta

import pytest
from redis import Redis

from accounts.models import Organisation
from billing.models import LedgerTransaction
from billing.services import expiry, posting, verifier, wallets
from billing.services.wallets import Terms
from channels.models import Model
from newapi.kernel import clock
from newapi.kernel.meters.till import Admitted, Stale
from newapi.kernel.money import NANO
from tests.billing import books, calls

pytestmark = pytest.mark.django_db(transaction=True)

Kind = LedgerTransaction.Kind
HOUR_S = 3600


@pytest.fixture
def line(acme: Organisation, chat_model: Model) -> calls.Line:
    """Acme has 100 for good, and 10 for an hour."""
    give(acme, 10, "given", Terms(expires_at=clock.now() + timedelta(seconds=HOUR_S)))
    calls.warm(acme)
    return calls.line(acme, chat_model)


def give(to: Organisation, units: int, key: str, terms: Terms = wallets.PLAIN) -> None:
    wallets.credit(
        organisation=to,
        amount_nano=units * NANO,
        kind=Kind.GRANT,
        idempotency_key=key,
        actor=None,
        reason="Given",
        terms=terms,
    )


def is_admitted(line: calls.Line, units: int) -> bool:
    """Whether a call that holds so much passes, with one look at the database when the till asks for it."""
    ask = calls.admission(calls.lost(line), hold_nano=units * NANO)
    answer = calls.with_till(lambda till: till.admit(ask))
    if isinstance(answer, Stale):
        assert answer.what == "funds"
        expiry.expire(organisation_id=line.organisation.pk)
        answer = calls.with_till(lambda till: till.admit(ask))
    return isinstance(answer, Admitted)


def test_until_just_before_its_end_it_is_spent(line: calls.Line) -> None:
    with clock.shifted(HOUR_S - 5):
        assert is_admitted(line, 110)


def test_from_its_end_on_it_is_not_though_no_job_has_run(line: calls.Line) -> None:
    with clock.shifted(HOUR_S + 1):
        assert not is_admitted(line, 101)
        assert is_admitted(line, 100)


def test_other_money_that_comes_in_between_the_end_and_the_job_brings_none_of_it_back(line: calls.Line) -> None:
    with clock.shifted(HOUR_S + 1):
        give(line.organisation, 1, "other")
        assert not is_admitted(line, 102)
        assert is_admitted(line, 101)


def test_a_till_that_is_opened_between_the_end_and_the_job_has_none_of_it(line: calls.Line, redis: Redis) -> None:
    with clock.shifted(HOUR_S + 1):
        redis.flushdb()
        calls.warm(line.organisation)
        assert not is_admitted(line, 101)
        assert is_admitted(line, 100)


def test_what_a_call_that_began_before_gives_back_is_spent_by_nobody_a_second_after_the_end(line: calls.Line) -> None:
    first = calls.lost(line)
    ask = calls.admit(first, hold_nano=105 * NANO)
    with clock.shifted(HOUR_S + 1):
        expiry.expire(organisation_id=line.organisation.pk)
        done = calls.answered(line, id=first.id, at_ms=first.at_ms)
        calls.with_till(lambda till: calls.settle_at(till, ask, done, born="another"))
    with clock.shifted(HOUR_S + 3):
        assert not is_admitted(line, 101)
        while posting.post():
            pass
        expiry.sweep()
        assert books.wallet_of(line.organisation).balance_nano == 100 * NANO
        assert verifier.verify() == []
