"""By what right a channel is used, as callers feel it."""

from functools import partial

import pytest

from accounts.models import User
from channels.models import Channel
from channels.services import evidence
from tests import cast
from tests.gateway.conftest import Gateway
from tests.gateway.doors import in_database


@pytest.mark.req("CHN-01")
async def test_withdrawing_and_approving_are_felt_by_the_next_call(
    gateway: Gateway, mock_channel: Channel, root: User
) -> None:
    assert (await gateway.chat()).status == 200
    piece = await in_database(mock_channel.evidence.get)
    await in_database(partial(evidence.withdraw, evidence=piece, actor=root, reason="Contract cancelled"))
    assert (await gateway.chat()).status == 404
    assert (await (await gateway.get("/v1/models")).json())["data"] == []

    new = await in_database(partial(cast.evidence, channel=mock_channel))
    assert (await gateway.chat()).status == 404
    await in_database(partial(evidence.approve, evidence=new, actor=root, reason="The new contract"))
    assert (await gateway.chat()).status == 200
