"""Voided codes are redeemed no more, what was owed for them is given back, and what is unspent is taken back."""

from collections.abc import Callable

import pytest

from accounts.models import AuditEvent, Notice, Organisation
from billing import tasks
from billing.errors import BillingRefusal
from billing.models import CodeBatch, LedgerTransaction, Redemption, RedemptionCode, Wallet
from billing.services import codes, posting, verifier
from billing.services.codes import void_job
from channels.models import Model
from newapi.kernel import clock
from newapi.kernel.money import NANO
from tests import cast
from tests.billing import books, calls, crashes, vouchers
from tests.billing.calls import Tokens
from tests.billing.threads import together

State = CodeBatch.State


def void(batch: CodeBatch, *, takes_back: bool = False) -> None:
    codes.void(batch=batch, takes_back=takes_back, actor=None, reason="Stolen")


def redeem(raw: str, organisation: Organisation) -> Redemption:
    return codes.redeem(raw=raw, organisation=organisation, user=None)


def spend(organisation: Organisation, model: Model, nano: int) -> None:
    """Use so much, at 8 USD per million output tokens."""
    calls.warm(organisation)
    line = calls.line(organisation, model)
    calls.serve([calls.answered(line, Tokens(output=nano // 8000))], hold_nano=nano)
    posting.post()


@pytest.mark.req("BIL-05")
def test_a_voided_batch_is_refused_at_once_and_its_codes_are_voided_by_a_job(acme: Organisation) -> None:
    batch, (one, two) = vouchers.issued(2)
    redeem(one, acme)
    void(batch)
    with pytest.raises(codes.CodeRefused):
        redeem(two, acme)
    assert codes.finish_voids() == 1
    assert not RedemptionCode.objects.filter(voided_at=None).exists()
    assert codes.finish_voids() == 0
    assert books.wallet_of(acme).balance_nano == 105 * NANO
    with pytest.raises(BillingRefusal, match="voided before"):
        void(batch)
    assert AuditEvent.objects.get(action="code_batch.void").changes == {"state": ["out", "voided"]}


def test_what_was_owed_for_unredeemed_sold_codes_goes_back(acme: Organisation, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(void_job, "CHUNK_ROWS", 3)
    batch, issued = vouchers.issued(10, uses_per_code=2, uses_per_organisation=4, **vouchers.SOLD)
    for raw in issued[:4]:
        redeem(raw, acme)
    codes.void_code(code=vouchers.row(issued[9]), takes_back=False, actor=None, reason="Lost")
    assert books.in_account(None, "codes") == 70 * NANO
    void(batch)
    codes.finish_voids()
    assert books.in_account(None, "codes") == 0
    assert books.in_account(None, "clearing") == -(100 + 20) * NANO
    assert verifier.verify() == []


def test_codes_that_were_never_out_were_never_owed_for(db: None) -> None:
    batch = vouchers.made(10, **vouchers.SOLD)
    void(batch)
    codes.finish_voids()
    assert not LedgerTransaction.objects.exists()
    assert not RedemptionCode.objects.filter(voided_at=None).exists()


@pytest.mark.req("BIL-05")
def test_only_what_is_unspent_is_taken_back_and_people_are_told(
    acme: Organisation, globex: Organisation, chat_model: Model
) -> None:
    batch, (one, two, _) = vouchers.issued(3, value_nano=10 * NANO, **vouchers.SOLD)
    first, second = redeem(one, acme), redeem(two, globex)
    # Burns the code's grant alone: of two that are paid for and last for good, the older goes first.
    books_before = books.wallet_of(acme).balance_nano
    spend(acme, chat_model, 104 * NANO)
    assert books_before == 110 * NANO
    first.grant.refresh_from_db()
    assert first.grant.remaining_nano == 6 * NANO
    void(batch, takes_back=True)
    codes.finish_voids()
    assert books.wallet_of(acme).balance_nano == 0
    assert books.wallet_of(globex).balance_nano == 100 * NANO
    for redemption in (first, second):
        redemption.grant.refresh_from_db()
        assert redemption.grant.remaining_nano == 0
    # 30 were paid; 4 of them were spent.
    assert (books.in_account(None, "codes"), books.in_account(None, "clearing")) == (0, -(200 + 4) * NANO)
    told = {notice.organisation: notice.title for notice in Notice.objects.filter(kind="codes.clawback")}
    assert told[acme] == "6.00 USD of a redemption code was taken back"
    assert told[globex] == "10.00 USD of a redemption code was taken back"
    codes.finish_voids()
    assert LedgerTransaction.objects.filter(idempotency_key__startswith="clawback:").count() == 2
    assert verifier.verify() == []


def test_a_voider_goes_on_where_its_time_was_up(acme: Organisation, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(void_job, "CHUNK_ROWS", 2)
    batch, (first, *_) = vouchers.issued(8, **vouchers.SOLD)
    redeem(first, acme)
    void(batch, takes_back=True)
    sent: list[str] = []
    monkeypatch.setattr(tasks.tend_codes, "delay", lambda: sent.append("again"))
    left = []
    for _ in range(3):
        seconds = iter([0.0, 0.0, 0.0, 0.0, *[99.0] * 9])
        monkeypatch.setattr("billing.services.codes.void_job.monotonic", lambda seconds=seconds: next(seconds))
        tasks.tend_codes()
        left.append(RedemptionCode.objects.filter(voided_at=None).count())
    assert left == [4, 0, 0]
    assert sent == ["again"] * 2
    assert books.in_account(None, "codes") == 0
    assert books.wallet_of(acme).balance_nano == 100 * NANO


def test_given_codes_are_taken_back_into_promotional_expense(acme: Organisation) -> None:
    batch, (one, _) = vouchers.issued(2)
    redeem(one, acme)
    void(batch)
    codes.finish_voids()
    codes.claw_back(batch=batch, actor=None, reason="After all")
    codes.finish_voids()
    assert books.in_account(None, "promotion") == 0
    assert books.wallet_of(acme).balance_nano == 100 * NANO
    with pytest.raises(BillingRefusal, match="Only what a voided batch"):
        codes.claw_back(batch=vouchers.issued()[0], actor=None, reason="Not void")


def test_money_in_a_frozen_wallet_stays_until_it_is_thawed(acme: Organisation) -> None:
    batch, (one, _) = vouchers.issued(2)
    redeem(one, acme)
    wallet = Wallet.objects.filter(organisation=acme)
    wallet.update(frozen_at=clock.now())
    void(batch, takes_back=True)
    assert codes.finish_voids() == 0
    assert books.wallet_of(acme).balance_nano == 105 * NANO
    wallet.update(frozen_at=None)
    assert codes.finish_voids() == 0
    with clock.shifted(void_job.RETRY.total_seconds() + 1):
        assert codes.finish_voids() == 1
    assert books.wallet_of(acme).balance_nano == 100 * NANO


@pytest.mark.req("BIL-05")
def test_one_code_is_voided_and_what_is_unspent_of_it_taken_back(acme: Organisation) -> None:
    _, (one, two, three) = vouchers.issued(3, uses_per_organisation=3, **vouchers.SOLD)
    redeem(one, acme)
    assert codes.void_code(code=vouchers.row(one), takes_back=True, actor=None, reason="Stolen") == 5 * NANO
    assert codes.void_code(code=vouchers.row(two), takes_back=True, actor=None, reason="Stolen") == 0
    with pytest.raises(codes.CodeRefused):
        redeem(two, acme)
    with pytest.raises(BillingRefusal, match="void already"):
        codes.void_code(code=vouchers.row(two), takes_back=False, actor=None, reason="Again")
    redeem(three, acme)
    assert (books.in_account(None, "codes"), books.in_account(None, "clearing")) == (0, -105 * NANO)
    assert AuditEvent.objects.filter(action="redemption_code.void").count() == 2


def test_sold_codes_that_expire_unredeemed_are_broken_off_once(acme: Organisation) -> None:
    batch, issued = vouchers.issued(4, **vouchers.SOLD)
    redeem(issued[0], acme)
    with clock.shifted(30 * 86_400 + 60):
        assert codes.settle_expired() == 0
    with clock.shifted(30 * 86_400 + 3700):
        assert codes.settle_expired() == 1
        assert codes.settle_expired() == 0
        assert (books.in_account(None, "codes"), books.in_account(None, "breakage")) == (0, 15 * NANO)
        void(batch)
        codes.finish_voids()
    assert (books.in_account(None, "codes"), books.in_account(None, "breakage")) == (0, 15 * NANO)


@pytest.mark.django_db(transaction=True)
def test_redemptions_and_a_void_at_once_lose_nothing(acme: Organisation, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(void_job, "CHUNK_ROWS", 4)
    shops = [cast.organisation(f"shop{number}", owner=cast.person(f"o{number}"), funds_nano=0) for number in range(6)]
    for _ in range(3):
        batch, issued = vouchers.issued(12, uses_per_organisation=2, **vouchers.SOLD)

        def end(batch: CodeBatch = batch) -> None:
            void(batch, takes_back=True)
            codes.finish_voids()

        works: list[Callable[[], object]] = [
            lambda raw=raw, i=i: redeem(raw, shops[i % 6]) for i, raw in enumerate(issued)
        ]
        got = together(*works[:6], end, *works[6:])
        assert all(isinstance(one, Redemption | codes.CodeRefused | None) for one in got), got
        codes.finish_voids()
        assert books.in_account(None, "codes") == 0
        assert all(books.wallet_of(shop).balance_nano == 0 for shop in shops if shop.wallets.exists())
    assert books.in_account(None, "clearing") == -100 * NANO
    assert verifier.verify() == []


@pytest.mark.django_db(transaction=True)
def test_a_voider_killed_at_any_step(acme: Organisation, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(void_job, "CHUNK_ROWS", 2)

    def prepared() -> CodeBatch:
        batch, issued = vouchers.issued(3, **vouchers.SOLD)
        redeem(issued[0], acme)
        void(batch, takes_back=True)
        return batch

    batch = prepared()
    steps = 0
    for steps in crashes.at_every_step(lambda step: codes.finish_voids()):
        with clock.shifted(void_job.LEASE.total_seconds() + 1):
            codes.finish_voids()
        batch.refresh_from_db()
        assert batch.making_until is None, f"after a kill at step {steps}"
        assert books.in_account(None, "codes") == 0
        assert books.wallet_of(acme).balance_nano == 100 * NANO
        batch = prepared()
    assert steps > 30
    assert verifier.verify() == []


@pytest.mark.django_db(transaction=True)
def test_what_is_owed_for_a_code_that_is_voided_as_it_expires_goes_one_way_only() -> None:
    for _ in range(4):
        _, (raw, _) = vouchers.issued(2, **vouchers.SOLD)
        code = vouchers.row(raw)
        with clock.shifted(30 * 86_400 + 3700):
            together(
                lambda code=code: codes.void_code(code=code, takes_back=False, actor=None, reason="Lost"),
                codes.settle_expired,
            )
        assert books.in_account(None, "codes") == 0
    assert verifier.verify() == []
