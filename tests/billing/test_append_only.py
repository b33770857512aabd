"""What is booked, published or recorded is never changed: the database itself refuses."""

import pytest
from django.db import IntegrityError, connection, models, transaction

from accounts.models import AuditEvent, Organisation
from billing.models import LedgerTransaction, LedgerTransfer, PriceVersion, UsageEvent
from billing.services import booking
from channels.models import Model
from newapi.kernel import clock
from tests.billing import calls
from tests.tools import flush

TABLES = {
    LedgerTransaction: {"reason": "something else"},
    LedgerTransfer: {"amount_nano": 1},
    PriceVersion: {"input_nano": 1},
    UsageEvent: {"cost_nano": 0},
    AuditEvent: {"reason": "something else"},
}


@pytest.fixture
def written(acme: Organisation, chat_model: Model) -> None:
    """At least one row in every table."""
    booking.book([calls.answered(calls.line(acme, chat_model))])


@pytest.mark.parametrize("model", TABLES, ids=lambda model: model.__name__)
def test_update_and_delete_are_refused(written: None, model: type[models.Model]) -> None:
    rows = model._default_manager.order_by("pk")
    before = list(rows.values())
    assert before
    changed = TABLES[model]
    for statement in (
        lambda: rows.update(**changed),
        lambda: rows.filter(pk=before[0][rows.model._meta.pk.attname])._raw_delete("default"),
    ):
        with pytest.raises(IntegrityError, match="never changed or deleted"), transaction.atomic():
            statement()
    assert list(rows.values()) == before


def test_refusals_hold_for_usage_of_any_month(acme: Organisation, chat_model: Model) -> None:
    """On PostgreSQL each month is a table of its own."""
    line = calls.line(acme, chat_model)
    now_ms, month_ms = clock.now_ms(), 31 * 86_400_000
    records = []
    for ms in (now_ms, now_ms + month_ms, now_ms - 12 * month_ms, now_ms + 12 * month_ms):
        records.append(calls.answered(line, id=calls.new_id(ms), at_ms=ms))
    booking.book(records)
    for record in records:
        with pytest.raises(IntegrityError), transaction.atomic():
            UsageEvent.objects.filter(pk=record.id).update(cost_nano=0)
        with pytest.raises(IntegrityError), transaction.atomic(), connection.cursor() as cursor:
            key = UsageEvent._meta.pk.get_db_prep_value(record.id, connection)
            cursor.execute("DELETE FROM billing_usageevent WHERE id = %s", [key])


@pytest.mark.django_db(transaction=True)
def test_after_the_tests_own_flush_the_refusals_stand_again(written: None) -> None:
    if connection.vendor == "sqlite":
        with flush.lifted(connection), connection.cursor() as cursor:
            cursor.execute("DELETE FROM billing_usageevent")
    else:
        with connection.cursor() as cursor:
            cursor.execute("TRUNCATE billing_usageevent")
    assert not UsageEvent.objects.exists()
    with pytest.raises(IntegrityError):
        AuditEvent.objects.update(reason="x")
