"""The verifier finds what is wrong, and nothing when nothing is."""

import io
import json
from dataclasses import replace
from datetime import timedelta

import pytest
from django.core.management import call_command
from django.db.models import F
from redis import Redis

from accounts.models import Organisation
from billing.models import (
    LedgerAccount,
    LedgerTransaction,
    LedgerTransfer,
    PostingFault,
    Rollup15m,
    RollupDay,
    RollupHour,
    RollupMonth,
    UsageEvent,
    VerifierRun,
    Wallet,
)
from billing.pricing import Costs
from billing.services import ledger, posting, rollups, usage_rows, verifier
from channels.models import Model
from newapi.kernel import clock
from newapi.kernel.meters import bank, keys
from newapi.kernel.money import NANO
from tests.billing import books, calls
from tests.billing.conftest import InBackground


@pytest.fixture
def line(acme: Organisation, chat_model: Model) -> calls.Line:
    """A key that has been used: some calls posted and summed up, one waiting, one open."""
    calls.warm(acme)
    line = calls.line(acme, chat_model)
    calls.serve(calls.answered(line) for _ in range(8))
    posting.post()
    rollups.roll_up()
    calls.serve([calls.answered(line)])
    calls.admit(calls.lost(line))
    return line


def codes() -> set[str]:
    return {finding.code for finding in verifier.verify()}


def insert_row(record: object, **changes: object) -> None:
    """Write a usage row past the poster."""
    values = dict(zip(usage_rows.COLUMNS, usage_rows.values_of(record, transaction_id=None), strict=True))
    UsageEvent.objects.create(**{**values, **changes})


def test_all_is_well_with_posted_waiting_and_open_calls(line: calls.Line) -> None:
    assert verifier.verify() == []
    assert verifier.verify(since=clock.now() - timedelta(days=2)) == []


def test_all_is_well_while_sums_are_waiting(line: calls.Line) -> None:
    posting.post()
    assert verifier.verify() == []


def test_a_wallet_that_was_tampered_with(acme: Organisation, line: calls.Line) -> None:
    Wallet.objects.filter(organisation=acme).update(funded_nano=F("funded_nano") + 1)
    assert codes() == {"wallet", "grants", "till_funded"}
    Wallet.objects.filter(organisation=acme).update(owed_nano=5)
    assert {"owed", "wallet"} <= codes()


def test_usage_that_a_wallet_does_not_know_of(acme: Organisation, line: calls.Line) -> None:
    Wallet.objects.filter(organisation=acme).update(used_nano=F("used_nano") - 1, funded_nano=F("funded_nano") - 1)
    assert {"usage_ledger", "usage_quarters", "till_acked"} <= codes()


def test_a_usage_row_that_nobody_booked(line: calls.Line) -> None:
    insert_row(calls.answered(line))
    assert codes() == {"rows_quarters", "unbooked"}


def test_a_row_whose_components_do_not_add_up(line: calls.Line) -> None:
    free = replace(calls.answered(line), costs=Costs())
    insert_row(free, call_cost_nano=1)
    assert codes() == {"components", "rows_quarters"}


def test_a_transaction_that_moved_something_else(acme: Organisation, line: calls.Line) -> None:
    booked = LedgerTransaction.objects.get(kind="usage")
    accounts = [
        ledger.account(organisation=owner, kind=kind, currency="USD")
        for owner, kind in ((acme, LedgerAccount.Kind.WALLET), (None, LedgerAccount.Kind.REVENUE))
    ]
    ledger.move(booked, [(*accounts, 1)])
    assert codes() == {"transaction", "usage_ledger", "wallet"}


def test_a_transfer_between_currencies(line: calls.Line) -> None:
    usd, eur = (
        ledger.account(organisation=None, kind=LedgerAccount.Kind.REVENUE, currency=currency)
        for currency in ("USD", "EUR")
    )
    # Past the service, which refuses it.
    booked = LedgerTransaction.objects.filter(kind="top_up").first()
    LedgerTransfer.objects.create(transaction=booked, debit_account=usd, credit_account=eur, amount_nano=1)
    assert codes() == {"currency"}


@pytest.mark.parametrize(
    ("level", "found"),
    [
        (Rollup15m, {"rollup_hour", "rollup_day", "rollup_month", "rows_quarters", "usage_quarters"}),
        (RollupHour, {"rollup_hour"}),
        (RollupDay, {"rollup_day"}),
        (RollupMonth, {"rollup_month"}),
    ],
)
def test_a_rollup_that_is_one_nano_off(line: calls.Line, level: type[Rollup15m], found: set[str]) -> None:
    level.objects.update(cost_nano=F("cost_nano") + 1)
    assert codes() == found
    level.objects.update(cost_nano=F("cost_nano") - 1)
    assert codes() == set()


def test_a_rollup_that_counts_one_call_too_many(line: calls.Line) -> None:
    RollupDay.objects.update(calls=F("calls") + 1)
    assert codes() == {"rollup_day"}


def test_rows_of_long_ago_are_for_the_command_not_for_the_job(line: calls.Line) -> None:
    long_ago = clock.now() - timedelta(days=40)
    old = calls.answered(line, id=calls.new_id(clock.to_ms(long_ago)), at_ms=clock.to_ms(long_ago))
    insert_row(old)
    assert codes() == {"rows_quarters", "unbooked"}
    assert verifier.verify(since=clock.now() - timedelta(days=2)) == []


def test_usage_that_waits_for_a_person(acme: Organisation, line: calls.Line) -> None:
    fault = PostingFault.objects.create(
        entry="0:1-1", organisation_id=acme.pk, cost_nano=5, payload="?", error="malformed"
    )
    (finding,) = verifier.verify()
    assert (finding.code, finding.organisation_id) == ("faults", acme.pk)
    fault.resolved_at = clock.now()
    fault.save()
    assert verifier.verify() == []


@pytest.mark.parametrize(
    ("field", "by", "found"),
    [
        ("pending", 1, {"till_pending"}),
        ("posted", 1, {"till_posted"}),
        ("acked", 1, {"till_acked", "till_posted"}),
        ("funded", 1, {"till_funded", "till_posted"}),
    ],
)
def test_a_till_that_is_one_nano_off(
    acme: Organisation, line: calls.Line, redis: Redis, field: str, by: int, found: set[str]
) -> None:
    redis.hincrby(keys.till(acme.pk), field, by)
    assert codes() == found


def test_a_till_that_forgot_what_it_was_told(acme: Organisation, line: calls.Line, redis: Redis) -> None:
    Wallet.objects.filter(organisation=acme).update(version=F("version") + 1, version_published=F("version") + 1)
    assert codes() == {"till_behind"}


def test_a_hold_is_overdue_a_minute_after_its_deadline(line: calls.Line) -> None:
    with clock.shifted(calls.DEADLINE_MS / 1000 + 55):
        assert codes() == set()
    with clock.shifted(calls.DEADLINE_MS / 1000 + 61):
        assert codes() == {"hold"}


def test_holds_that_no_sweeper_will_ever_see(acme: Organisation, line: calls.Line, redis: Redis) -> None:
    shard = keys.shard_of(acme.pk)
    redis.delete(keys.due(shard))
    assert codes() == {"hold_deadline"}
    redis.hset(keys.holds(shard), "x", "5|5||not json")
    assert codes() == {"hold_deadline", "hold_unreadable"}


def test_the_books_are_checked_although_redis_is_away(
    acme: Organisation, line: calls.Line, unreachable_redis: None
) -> None:
    assert codes() == {"till_away"}
    Wallet.objects.filter(organisation=acme).update(funded_nano=F("funded_nano") + 1)
    assert codes() == {"till_away", "wallet", "grants"}


@pytest.mark.django_db(transaction=True)
def test_a_run_is_kept_and_the_command_says_what_it_found(acme: Organisation, line: calls.Line) -> None:
    def command(*options: str) -> tuple[str, int]:
        out = io.StringIO()
        try:
            call_command("verify_money", *options, stdout=out)
        except SystemExit as end:
            return out.getvalue(), end.code
        return out.getvalue(), 0

    assert command() == ("All is well.\n", 0)
    assert verifier.run().findings == []
    RollupHour.objects.update(calls=F("calls") + 1)
    text, code = command()
    assert code == 1
    assert f"organisation {acme.pk}" in text
    text, code = command("--json")
    assert (json.loads(text)[0]["code"], code) == ("rollup_hour", 1)
    assert verifier.run().findings[0]["code"] == "rollup_hour"
    assert VerifierRun.objects.count() == 2


def test_clean_runs_are_forgotten_after_a_month_and_others_kept(db: None) -> None:
    with clock.shifted(-31 * 86_400):
        VerifierRun.objects.create(duration_ms=1, findings=[])
        VerifierRun.objects.create(duration_ms=1, findings=[{"code": "wallet"}])
    verifier.run()
    assert [run.findings for run in VerifierRun.objects.order_by("at")] == [[{"code": "wallet"}], []]


@pytest.mark.django_db(transaction=True)
def test_nothing_is_found_while_the_books_move(
    acme: Organisation, line: calls.Line, in_background: InBackground
) -> None:
    """Posting, summing up and serving go on during the checks."""

    def work() -> None:
        calls.serve((calls.answered(line, costs=Costs(output=1)) for _ in range(20)), hold_nano=1)
        posting.post()
        rollups.roll_up()

    with in_background(work) as rounds:
        for _ in range(10):
            assert verifier.verify() == []
    assert rounds() > 1
    books.assert_balanced()
    assert books.wallet_of(acme).funded_nano == 100 * NANO
    assert bank.till_state(acme.pk) is not None
