"""A code that was redeemed is spendable on the very next call."""

import pytest
from asgiref.sync import sync_to_async

from accounts.models import Organisation, User
from billing.services import codes, wallets
from newapi.kernel.money import NANO
from tests.billing import vouchers
from tests.gateway.conftest import Gateway


@pytest.mark.req("BIL-05")
async def test_the_next_call_spends_what_was_redeemed(gateway: Gateway, acme: Organisation, ben: User) -> None:
    def emptied() -> None:
        wallets.debit(
            organisation=acme, amount_nano=100 * NANO, idempotency_key="empty", actor=None, reason="Emptied for a test"
        )

    await sync_to_async(emptied)()
    assert (await gateway.chat()).status == 402
    raw = await sync_to_async(vouchers.code)()
    await sync_to_async(codes.redeem)(raw=raw, organisation=acme, user=ben)
    assert (await gateway.chat()).status == 200
