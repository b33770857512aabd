"""The one download: whoever claims it has the codes, and after that nobody can get them, from anywhere."""

import logging
from datetime import timedelta

import pytest
from django.apps import apps
from django.test import override_settings

from accounts.models import AuditEvent, Notice, Organisation, User
from billing.errors import BillingRefusal
from billing.models import CodeBatch, LedgerTransaction
from billing.services import codes
from newapi.kernel import clock
from newapi.kernel.money import NANO
from tests.billing import books, vouchers
from tests.billing.threads import together

State = CodeBatch.State


@pytest.mark.req("BIL-05")
def test_the_download_has_every_code_and_erases_what_they_follow_from(root: User) -> None:
    batch = vouchers.made(12, expires_at=clock.now().replace(year=2030, month=1, day=2, hour=3, minute=4, second=5))
    parts = codes.take(batch=batch, actor=root, reason="For the fair").parts()
    header, *lines = "".join(parts).split("\r\n")[:-1]
    assert header == "code,value,currency,expires"
    assert {line.partition(",")[2] for line in lines} == {"5.00,USD,2030-01-02T03:04:05Z"}
    rows = {codes.find(raw=line.partition(",")[0]) for line in lines}
    assert rows == set(batch.codes.all())
    batch.refresh_from_db()
    assert (batch.state, batch.sealed_seed, batch.downloaded_by) == (State.OUT, "", root)
    event = AuditEvent.objects.get(action="code_batch.download")
    assert (event.actor, event.reason) == (root, "For the fair")


@pytest.mark.req("BIL-05")
def test_a_second_download_is_refused_with_words(db: None) -> None:
    batch, _ = vouchers.issued()
    with pytest.raises(BillingRefusal, match="downloaded before"):
        codes.take(batch=batch, actor=None, reason="Again")
    assert AuditEvent.objects.filter(action="code_batch.download").count() == 1


def test_what_is_not_made_or_is_void_is_not_downloaded(db: None) -> None:
    batch = vouchers.ordered()
    with pytest.raises(BillingRefusal, match="not made yet"):
        codes.take(batch=batch, actor=None, reason="Early")
    codes.void(batch=batch, takes_back=False, actor=None, reason="Not wanted")
    with pytest.raises(BillingRefusal, match="voided"):
        codes.take(batch=batch, actor=None, reason="Late")


@pytest.mark.django_db(transaction=True)
def test_of_two_who_download_at_once_one_gets_the_codes() -> None:
    batch = vouchers.made(5)
    got = together(*(lambda: codes.take(batch=batch, actor=None, reason="Mine") for _ in range(4)))
    assert sum(isinstance(one, BillingRefusal) for one in got) == 3, got
    assert sum(isinstance(one, codes.Taken) for one in got) == 1


def test_sold_codes_are_owed_from_the_download_on_and_given_ones_are_not(db: None) -> None:
    batch = vouchers.made(10, uses_per_code=3, **vouchers.SOLD)
    assert books.in_account(None, "codes") == 0
    vouchers.taken(batch)
    assert books.in_account(None, "codes") == -books.in_account(None, "clearing") == 150 * NANO
    booked = LedgerTransaction.objects.get(kind=LedgerTransaction.Kind.CODES_SOLD)
    assert booked.idempotency_key == f"codes_sold:{batch.pk}"
    vouchers.issued(10)
    assert books.in_account(None, "codes") == 150 * NANO


def test_a_missing_field_key_refuses_the_download_and_changes_nothing(db: None) -> None:
    batch = vouchers.made()
    with override_settings(FIELD_KEYS={"new": b"1" * 32}), pytest.raises(BillingRefusal, match="missing in FIELD_KEYS"):
        codes.take(batch=batch, actor=None, reason="Without the key")
    assert len(vouchers.taken(batch)) == 3


@pytest.mark.req("BIL-05")
def test_codes_that_nobody_downloads_in_a_week_are_erased_and_the_operators_told(db: None) -> None:
    batch, other = vouchers.made(name="Forgotten"), vouchers.issued()[0]
    with clock.shifted(7 * 86_400 - 60):
        assert codes.erase_forgotten() == 0
    with clock.shifted(7 * 86_400 + 60):
        assert codes.erase_forgotten() == 1
        assert codes.erase_forgotten() == 0
    batch.refresh_from_db()
    other.refresh_from_db()
    assert (batch.state, batch.sealed_seed, other.state) == (State.VOIDED, "", State.OUT)
    assert Notice.objects.get(kind="codes.forgotten").title == "The codes of “Forgotten” were erased"
    assert AuditEvent.objects.filter(action="code_batch.erase", actor=None).count() == 1


@pytest.mark.req("BIL-05")
def test_codes_rest_nowhere_once_they_are_out(acme: Organisation, ada: User, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    batch, issued = vouchers.issued(3)
    codes.redeem(raw=issued[0], organisation=acme, user=ada)
    with pytest.raises(codes.CodeRefused):
        codes.redeem(raw=issued[0], organisation=acme, user=ada)
    codes.void(batch=batch, takes_back=True, actor=ada, reason="A test")
    codes.finish_voids()
    with clock.shifted(timedelta(days=8).total_seconds()):
        codes.tend()
    kept = caplog.text
    for app in ("accounts", "billing", "channels", "moderation", "admin", "sessions"):
        for model in apps.get_app_config(app).get_models():
            kept += repr(list(model._default_manager.values()))
    assert "Spring" in kept
    for code in issued:
        assert code not in kept
        assert code.replace("-", "") not in kept
