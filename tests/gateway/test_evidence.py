"""By what right a channel is used, as callers feel it."""

import pytest
from asgiref.sync import sync_to_async

from accounts.models import User
from channels.models import Channel
from channels.services import evidence
from tests import cast
from tests.gateway.conftest import Gateway


@pytest.mark.req("CHN-01")
async def test_withdrawing_and_approving_are_felt_by_the_next_call(
    gateway: Gateway, mock_channel: Channel, root: User
) -> None:
    assert (await gateway.chat()).status == 200
    piece = await mock_channel.evidence.aget()
    await sync_to_async(evidence.withdraw)(evidence=piece, actor=root, reason="Contract cancelled")
    assert (await gateway.chat()).status == 404
    assert (await (await gateway.get("/v1/models")).json())["data"] == []

    new = await sync_to_async(cast.evidence)(channel=mock_channel)
    assert (await gateway.chat()).status == 404
    await sync_to_async(evidence.approve)(evidence=new, actor=root, reason="The new contract")
    assert (await gateway.chat()).status == 200
