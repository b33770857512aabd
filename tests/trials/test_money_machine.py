"""Whatever is done to money, in whatever order, a dictionary with plain numbers says what becomes of it.

Each seed is 50 examples: in an ordinary run 4 seeds, two on SQLite and two others on PostgreSQL; by `make test-long`
200 on each. A seed that fails names itself, and finds the same again:
`TEST_LONG=1 .venv/bin/python -m pytest tests/trials/test_money_machine.py -k seed-7-`
"""

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import seed as seeded
from hypothesis.stateful import run_state_machine_as_test
from redis import Redis

from accounts.models import Organisation
from channels.models import Model
from tests.billing import calls, vouchers
from tests.trials.grounds import Grounds, Worker
from tests.trials.long import either, half
from tests.trials.machine_calls import MoneyMachine

EXAMPLES = 50
STEPS = 20
SEEDS = either(4, 200)

PROFILE = settings(
    max_examples=EXAMPLES,
    stateful_step_count=STEPS,
    deadline=None,
    # The same seed finds the same, whatever was found before.
    database=None,
    suppress_health_check=list(HealthCheck),
)


@pytest.fixture
def worker() -> Iterator[Worker]:
    made = Worker()
    yield made
    made.close()


@pytest.mark.req("BIL-11", "BIL-17", "BIL-20")
@pytest.mark.parametrize("seed", [pytest.param(number, id=f"seed-{number}-") for number in half(range(SEEDS))])
def test_whatever_is_done_money_is_what_the_model_says(
    acme: Organisation, chat_model: Model, redis: Redis, worker: Worker, seed: int
) -> None:
    grounds = Grounds(acme, calls.line(acme, chat_model), redis, worker, vouchers.issued(5, uses_per_organisation=5)[1])
    machine = seeded(seed)(type("Machine", (MoneyMachine,), {"grounds": grounds}))
    try:
        run_state_machine_as_test(machine, settings=PROFILE)
    except Exception as error:
        error.add_note(f"This was seed {seed}.")
        raise
