"""Statements that are written once give what Django's own give, whatever is said in their slots."""

import pytest
from django.db import IntegrityError, connection, transaction
from django.db.models import Exists, F, OuterRef
from django.test.utils import CaptureQueriesContext

from accounts.models import AuditEvent, Organisation
from billing.models import CodeBatch, GrantEntry, LedgerTransaction, RedemptionCode, Wallet
from billing.services import codes
from newapi.kernel import statements
from newapi.kernel.money import NANO
from newapi.kernel.statements import Select, Update, slot
from tests.billing import vouchers

pytestmark = pytest.mark.django_db


def transaction_called(key: str) -> LedgerTransaction:
    return LedgerTransaction(idempotency_key=key, request_hash="0" * 64, kind=LedgerTransaction.Kind.GRANT)


def test_rows_come_with_what_belongs_to_them_and_with_what_was_worked_out(acme: Organisation) -> None:
    plain, promoted = vouchers.row(vouchers.code()), vouchers.row(vouchers.code(promotion=vouchers.promotion()))
    with_promotion = Exists(CodeBatch.objects.filter(pk=OuterRef("batch"), promotion__isnull=False))
    asked = Select(
        lambda: (
            RedemptionCode.objects.filter(digest__in=[slot(RedemptionCode, "digest")])
            .select_related("batch__promotion")
            .annotate(is_promoted=with_promotion)
        )
    )
    for _ in range(3):
        for code in (plain, promoted):
            found = asked.first(digest=bytes(code.digest))
            with CaptureQueriesContext(connection) as queries:
                assert (found, found.batch, found.batch.promotion) == (code, code.batch, code.batch.promotion)
            # Only those of `code`, which was read without them.
            assert len(queries) <= 2
            assert (bytes(found.digest), found.batch.expires_at) == (bytes(code.digest), code.batch.expires_at)
            assert found.is_promoted is (code is promoted)
        assert asked.rows(digest=b"unknown") == []


def test_constants_and_values_may_have_every_symbol(acme: Organisation) -> None:
    odd = "50 % of 'all' \"this\" %s \\ %%"
    Organisation.objects.filter(pk=acme.pk).update(name=odd)
    by_constant = Select(lambda: Organisation.objects.filter(name=odd).values_list("pk", flat=True))
    by_value = Select(lambda: Organisation.objects.filter(name=slot(Organisation, "name")).values_list("pk", "name"))
    for _ in range(3):
        assert by_constant.rows() == [acme.pk]
        assert by_value.rows(name=odd) == [(acme.pk, odd)]
        assert by_value.rows(name="50 %") == []


def test_an_update_says_how_many_rows_it_found(acme: Organisation) -> None:
    wallet = Wallet.objects.get(organisation=acme)
    raised = Update(
        lambda: (
            Wallet.objects.filter(pk=slot(Wallet, "id"), version=slot(Wallet, "version"), frozen_at=None),
            {"funded_nano": F("funded_nano") + slot(Wallet, "funded_nano", "more"), "version": F("version") + 1},
        )
    )
    for step in range(3):
        # Large and small: PostgreSQL is told of either as a bigint.
        assert raised(id=wallet.pk, version=wallet.version + step, more=10**15 + step) == 1
    assert raised(id=wallet.pk, version=wallet.version, more=1) == 0
    funded_nano = wallet.funded_nano + 3 * 10**15 + 3
    wallet.refresh_from_db()
    assert wallet.funded_nano == funded_nano
    with pytest.raises(KeyError):
        raised(id=wallet.pk, version=wallet.version)


def test_a_row_is_inserted_once_for_a_key() -> None:
    first, again = transaction_called("key"), transaction_called("key")
    assert statements.insert([first], unless_standing=True) == 1
    assert statements.insert([again], unless_standing=True) == 0
    with pytest.raises(IntegrityError), transaction.atomic():
        statements.insert([again])
    assert LedgerTransaction.objects.get(idempotency_key="key") == first
    assert not first._state.adding


def test_more_rows_than_a_statement_takes_are_all_inserted(acme: Organisation) -> None:
    grant = acme.wallets.get().grants.get()
    booked = transaction_called("many")
    statements.insert([booked])
    rows = [GrantEntry(grant=grant, transaction=booked, nano=nano) for nano in range(1, 1001)]
    assert statements.insert(rows) == 1000
    assert sorted(booked.grant_entries.values_list("nano", flat=True)) == list(range(1, 1001))
    assert statements.insert([]) == 0


def test_rows_get_their_keys_from_the_database_when_they_have_none(acme: Organisation) -> None:
    fields = {"action": "x.y", "object_type": "o", "object_id": "1", "object_text": "o", "organisation": acme}
    events = [AuditEvent(reason=f"{number} %s", changes={"a": [number, None]}, **fields) for number in range(3)]
    events[1].address = "2001:db8::1"
    assert statements.insert(events) == 3
    for event in events:
        saved = AuditEvent.objects.get(pk=event.pk)
        assert (saved.reason, saved.changes, saved.address) == (event.reason, event.changes, event.address)
        assert (saved.at, saved.organisation) == (event.at, acme)


@pytest.mark.req("BIL-05")
def test_a_redemption_takes_few_statements(acme: Organisation) -> None:
    _, issued = vouchers.issued(2, uses_per_organisation=2)
    codes.redeem(raw=issued[0], organisation=acme, user=None)
    with CaptureQueriesContext(connection) as queries:
        redemption = codes.redeem(raw=issued[1], organisation=acme, user=None)
    # One look at the code and the wallet; the rest, with two more for a savepoint of this test, in one transaction.
    assert len(queries) <= 15, [query["sql"] for query in queries]
    assert redemption.grant.amount_nano == 5 * NANO
