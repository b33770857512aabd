"""Codes are made in the background: every number once, whatever happens meanwhile, and nothing of them in the clear."""

from datetime import timedelta
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.db import IntegrityError
from django.test import override_settings

from accounts.models import AuditEvent, Organisation
from billing import code_symbols, tasks
from billing.models import CodeBatch, RedemptionCode
from billing.models.code import BATCH_MAX
from billing.services import codes
from billing.services.codes import making, seeds
from newapi.kernel import clock, secrets
from newapi.kernel.money import NANO
from tests.billing import crashes, vouchers
from tests.billing.threads import together

State = CodeBatch.State


def assert_complete(batch: CodeBatch) -> None:
    """Ready, with every number once, each with the digest that its code has."""
    batch.refresh_from_db()
    assert (batch.state, batch.made, batch.making_until) == (State.READY, batch.count, None)
    seed = seeds.opened(batch)
    expected = [
        (number, secrets.code_digest(symbols, key_id=batch.key_id), symbols[-4:], 0)
        for number, symbols in ((number, seeds.code(seed, number)) for number in range(batch.count))
    ]
    rows = batch.codes.order_by("number").values_list("number", "digest", "last4", "uses")
    assert [(number, bytes(digest), last4, uses) for number, digest, last4, uses in rows] == expected


@pytest.mark.req("BIL-05")
def test_codes_are_made_after_the_order_in_chunks(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(making, "CHUNK_ROWS", 7)
    batch = vouchers.ordered(50)
    assert (batch.state, batch.codes.count()) == (State.QUEUED, 0)
    assert codes.make_waiting() == 50
    assert_complete(batch)
    assert len({bytes(digest) for digest in batch.codes.values_list("digest", flat=True)}) == 50
    assert codes.make_waiting() == 0


def test_two_batches_of_one_size_have_no_code_in_common(db: None) -> None:
    one, other = vouchers.issued(20)[1], vouchers.issued(20)[1]
    assert len({*one, *other}) == 40
    assert all(code_symbols.read(code) for code in one + other)


@pytest.mark.req("BIL-05")
def test_only_digests_are_kept_and_the_seed_is_sealed(db: None) -> None:
    batch = vouchers.made(3)
    seed = seeds.opened(batch)
    kept = repr(list(CodeBatch.objects.values())) + repr(list(RedemptionCode.objects.values()))
    assert seed.hex() not in kept
    assert not any(seeds.code(seed, number) in kept for number in range(3))
    moved = vouchers.made(3)
    moved.sealed_seed = batch.sealed_seed
    with pytest.raises(secrets.SealBroken):
        seeds.opened(moved)


@pytest.mark.req("BIL-03")
@pytest.mark.parametrize("purpose", ["", "fun"])
def test_a_batch_without_a_purpose_is_refused_by_the_service_and_by_the_database(db: None, purpose: str) -> None:
    with pytest.raises(ValidationError) as refused:
        vouchers.ordered(purpose=purpose)
    assert "purpose" in refused.value.error_dict
    with pytest.raises(IntegrityError):
        CodeBatch.objects.create(
            name="x", purpose=purpose, currency="USD", value_nano=1, count=1, key_id="test",
            expires_at=clock.now() + timedelta(days=1),
        )  # fmt: skip


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"count": 0}, "count"),
        ({"count": BATCH_MAX + 1}, "count"),
        ({"count": BATCH_MAX, "value_nano": 1001 * NANO}, "count"),
        ({"value_nano": 0}, "value_nano"),
        ({"value_nano": 10**6 * NANO + 1}, "value_nano"),
        ({"currency": "usd"}, "currency"),
        ({"purpose": "internal_settlement"}, "issuer"),
        ({"uses_per_code": 0}, "uses_per_code"),
        ({"priority": 101}, "priority"),
        ({"name": ""}, "name"),
    ],
)
def test_a_wrong_order_is_refused_and_leaves_nothing(db: None, wrong: dict[str, Any], field: str) -> None:
    with pytest.raises(ValidationError) as refused:
        vouchers.ordered(**wrong)
    assert field in refused.value.error_dict
    assert not CodeBatch.objects.exists()


def test_dates_and_promotions_that_cannot_be_are_refused(db: None) -> None:
    now = clock.now()
    with pytest.raises(ValidationError, match="over already"):
        vouchers.ordered(starts_at=now - timedelta(days=2), expires_at=now - timedelta(days=1))
    with pytest.raises(ValidationError, match="ends before it starts"):
        vouchers.ordered(starts_at=now + timedelta(days=2), expires_at=now + timedelta(days=1))
    running = vouchers.promotion()
    with pytest.raises(ValidationError, match="not given away"):
        vouchers.ordered(promotion=running, **vouchers.SOLD)
    with pytest.raises(ValidationError, match="codes in EUR"):
        vouchers.ordered(promotion=running, currency="EUR")
    assert not CodeBatch.objects.exists()


def test_who_ordered_what_is_on_record(acme: Organisation) -> None:
    batch = vouchers.ordered(issuer=acme, purpose="internal_settlement")
    event = AuditEvent.objects.get(action="code_batch.make")
    assert (event.object_id, event.organisation, event.reason) == (str(batch.pk), acme, "Test set-up")
    assert event.changes["value_nano"] == [None, 5 * NANO]


def test_a_job_goes_on_where_its_time_was_up(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(making, "CHUNK_ROWS", 4)
    batch = vouchers.ordered(10)
    seconds = iter([0.0, 0.0, 0.0, 99.0, 99.0])
    monkeypatch.setattr("billing.services.codes.making.monotonic", lambda: next(seconds))
    assert codes.make_waiting() == 4
    batch.refresh_from_db()
    assert (batch.state, batch.made) == (State.MAKING, 4)
    assert codes.are_waiting()
    monkeypatch.undo()
    assert codes.make_waiting() == 6
    assert_complete(batch)


def test_the_task_asks_for_itself_again_while_codes_wait(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    vouchers.ordered(10)
    sent: list[str] = []
    monkeypatch.setattr(tasks.make_codes, "delay", lambda: sent.append("again"))
    assert tasks.make_codes() == 10
    assert sent == []
    vouchers.ordered(10)
    monkeypatch.setattr(making, "RUN_S_MAX", 0.0)
    assert tasks.make_codes() == 0
    assert sent == ["again"]


def test_whoever_is_gone_is_taken_over_from_when_the_lease_is_over(db: None) -> None:
    batch = vouchers.ordered(10)
    CodeBatch.objects.filter(pk=batch.pk).update(state=State.MAKING, making_until=clock.now() + making.LEASE)
    assert codes.make_waiting() == 0
    with clock.shifted(making.LEASE.total_seconds() + 1):
        assert codes.make_waiting() == 10
    assert_complete(batch)


def test_one_worker_at_most_is_busy_with_codes(db: None) -> None:
    one, other = vouchers.ordered(3), vouchers.ordered(4)
    making._claim()
    assert not codes.are_waiting()
    assert codes.make_waiting() == 0
    with clock.shifted(making.LEASE.total_seconds() + 1):
        assert codes.make_waiting() == 7
    assert_complete(one)
    assert_complete(other)


def test_what_is_voided_meanwhile_is_not_made_on(db: None) -> None:
    batch = vouchers.ordered(10)
    claimed = making._claim()
    codes.void(batch=batch, takes_back=False, actor=None, reason="Not wanted")
    assert making._make(claimed, b"x" * 32, until=10**12) == 0
    assert not batch.codes.exists()
    assert codes.make_waiting() == 0


def test_a_batch_whose_field_key_is_gone_waits_and_keeps_no_other_from_being_made(db: None) -> None:
    stuck = vouchers.ordered(3)
    with override_settings(FIELD_KEYS={"new": b"1" * 32}):
        other = vouchers.ordered(4)
        assert codes.make_waiting() == 4
        assert_complete(other)
    stuck.refresh_from_db()
    assert (stuck.state, stuck.made) == (State.QUEUED, 0)
    with clock.shifted(making.LEASE.total_seconds() + 1):
        assert codes.make_waiting() == 3
    assert_complete(stuck)


@pytest.mark.django_db(transaction=True)
def test_workers_at_once_make_each_number_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(making, "CHUNK_ROWS", 20)
    batch = vouchers.ordered(300)
    # Two that hold the same lease, as when one was believed to be gone and is not.
    both = [making._claim(), CodeBatch.objects.get(pk=batch.pk)]
    seed = seeds.opened(batch)
    made = together(*(lambda one=one: making._make(one, seed, until=10**12) for one in both))
    assert sum(made) == 300
    assert_complete(batch)


@pytest.mark.django_db(transaction=True)
def test_a_maker_killed_at_any_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(making, "CHUNK_ROWS", 3)
    batch = vouchers.ordered(8)
    steps = 0
    for steps in crashes.at_every_step(lambda step: codes.make_waiting()):
        standing = CodeBatch.objects.get(pk=batch.pk)
        assert standing.made == standing.codes.count(), f"after a kill at step {steps}"
        with clock.shifted(making.LEASE.total_seconds() + 1):
            codes.make_waiting()
        assert_complete(batch)
        batch = vouchers.ordered(8)
    assert steps > 10
    assert_complete(batch)
