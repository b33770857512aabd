"""Money with a scope and an end, as calls feel it: on the very next one, and with every job dead."""

from datetime import timedelta

import pytest

from accounts.models import Organisation, Project, User
from billing.models import Grant, LedgerTransaction
from billing.services import wallets
from billing.services.wallets import Terms
from channels.models import Channel, Model
from newapi.kernel import clock
from newapi.kernel.money import NANO
from tests import cast
from tests.billing import books
from tests.gateway.conftest import Gateway
from tests.gateway.doors import error_of, in_database, posted

BODY = {"model": "mock-gpt", "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 10}
# Several calls' worth: each holds about 0.0003.
SOME = NANO // 100


@pytest.fixture
def acme(ada: User) -> Organisation:
    """A customer whose wallet is empty."""
    return cast.organisation("acme", owner=ada, funds_nano=0)


def give(to: Organisation, key: str, nano: int = SOME, **terms: object) -> Grant:
    booked = wallets.credit(
        organisation=to,
        amount_nano=nano,
        kind=LedgerTransaction.Kind.GRANT,
        idempotency_key=key,
        actor=None,
        reason="In",
        terms=Terms(**terms),
    )
    return booked.grant


def key_elsewhere(of: Organisation, user: User) -> str:
    """A key in another project than the others."""
    project = Project.objects.create(organisation=of, name="Elsewhere")
    return cast.api_keys.create(project=project, user=user, name="Other", actor=user, reason="Test set-up").raw


async def test_a_projects_money_is_spent_by_its_next_call_and_by_no_others(
    gateway: Gateway, acme: Organisation, ben: User
) -> None:
    other = await in_database(lambda: key_elsewhere(acme, ben))
    assert (await gateway.post(BODY)).status == (await gateway.post(BODY, key=other)).status == 402
    grant = await in_database(lambda: give(acme, "a", project=acme.projects.get(name="Main")))
    assert (await gateway.post(BODY)).status == 200
    refused = await gateway.post(BODY, key=other)
    assert refused.status == 402
    assert error_of(refused)["code"] == "insufficient_quota"
    [row] = await posted()
    assert row.purse_id == grant.purse_id
    await in_database(lambda: books.assert_balanced(acme))


async def test_a_models_money_is_not_spent_on_another_model(
    gateway: Gateway, acme: Organisation, chat_model: Model, mock_channel: Channel
) -> None:
    await in_database(lambda: cast.model("mock-gpt-mini", on=mock_channel))
    await in_database(lambda: give(acme, "a", model=chat_model))
    assert (await gateway.post(BODY)).status == 200
    assert (await gateway.post({**BODY, "model": "mock-gpt-mini"})).status == 402


async def test_when_a_purse_is_used_up_the_next_calls_are_paid_by_the_rest(
    gateway: Gateway, acme: Organisation, chat_model: Model
) -> None:
    scoped = await in_database(lambda: give(acme, "a", nano=30_000, model=chat_model))
    await in_database(lambda: give(acme, "b"))
    for _ in range(4):
        assert (await gateway.post(BODY)).status == 200
        rows = await posted()
    assert scoped.purse_id == rows[0].purse_id
    assert rows[-1].purse_id is None
    await in_database(lambda: books.assert_balanced(acme))
    used = await in_database(lambda: Grant.objects.get(pk=scoped.pk).remaining_nano)
    assert used == 0


async def test_money_that_has_ended_pays_no_call_though_no_job_runs(gateway: Gateway, acme: Organisation) -> None:
    end = clock.now() + timedelta(hours=1)
    await in_database(lambda: give(acme, "a", expires_at=end))
    with clock.at(end - timedelta(seconds=1)):
        assert (await gateway.post(BODY)).status == 200
    with clock.at(end):
        refused = await gateway.post(BODY)
        assert refused.status == 402, refused._body
        assert (await gateway.post(BODY)).status == 402
        await in_database(lambda: give(acme, "b"))
        assert (await gateway.post(BODY)).status == 200
    await posted()
    await in_database(lambda: books.assert_balanced(acme))


@pytest.mark.req("BIL-20")
async def test_calls_are_refused_while_the_wallet_is_frozen(gateway: Gateway, acme: Organisation) -> None:
    await in_database(lambda: give(acme, "a"))
    assert (await gateway.post(BODY)).status == 200
    await in_database(lambda: wallets.freeze(organisation=acme, actor=None, reason="Terminated"))
    assert (await gateway.post(BODY)).status == 402
    await in_database(lambda: wallets.thaw(organisation=acme, actor=None, reason="Mistake"))
    assert (await gateway.post(BODY)).status == 200
