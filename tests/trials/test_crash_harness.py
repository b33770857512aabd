"""kill -9 at each step of everything that moves money: what is right before is right after, and it happens once."""

import random
from collections.abc import Iterator

import pytest
from redis import Redis

from accounts.models import Organisation, User
from channels.models import Model
from tests import cast
from tests.billing import calls, crashes
from tests.trials import failpoints
from tests.trials.long import IS_LONG, half
from tests.trials.world import World

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def world(acme: Organisation, globex: Organisation, root: User, chat_model: Model, redis: Redis) -> Iterator[World]:
    calls.warm(acme)
    calls.warm(globex)
    made = World(acme, globex, root, cast.olga(), chat_model, redis)
    with made.stack:
        yield made


def chosen(steps: int, kills: int) -> list[int]:
    """Where to kill: everywhere in the long run, otherwise at the ends and at some places between, always the same.

    An ordinary run tries half of these on each database, at least one.
    """
    if IS_LONG or steps <= kills:
        return list(half(range(1, steps + 1)))
    return list(half(sorted({1, steps, *random.Random(steps).sample(range(2, steps), kills - 2)})))


@pytest.mark.req("BIL-11", "BIL-17", "BIL-22")
@pytest.mark.parametrize("name", failpoints.FLOWS)
def test_killed_at_any_step_it_happens_once_and_every_invariant_holds(name: str, world: World) -> None:
    flow = failpoints.FLOWS[name](world)
    flow.prepare("whole")
    steps = crashes.steps_of(lambda: flow.act("whole"))
    assert steps >= 2, "a flow without steps cannot be killed in any"
    ask_again(flow, "whole", "after the whole of it")
    for step in chosen(steps, flow.kills):
        key = f"step-{step}"
        flow.prepare(key)
        crashes.is_killed_at(step, lambda key=key: flow.act(key))
        world.recover()
        world.assert_right(f"killed at step {step} of {steps}")
        ask_again(flow, key, f"asked again after a kill at step {step} of {steps}")


def ask_again(flow: failpoints.Flow, key: str, when: str) -> None:
    """As who got no answer does; then all must be as though it had been asked for once."""
    flow.act(key)
    flow.world.recover()
    flow.world.assert_right(when)
    flow.check(key)


def test_there_are_at_least_twelve_failpoints() -> None:
    assert len(failpoints.FLOWS) >= 12
