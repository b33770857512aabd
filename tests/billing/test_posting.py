"""From the till's stream into the books, exactly once."""

import io
from dataclasses import replace

import orjson
import pytest
from django.core.management import call_command
from django.db import DatabaseError, connection, transaction
from redis import Redis

from accounts.models import AuditEvent, Organisation, User
from billing.models import (
    LedgerTransaction,
    PostingFault,
    Rollup15m,
    RollupDirty,
    UsageEvent,
    Wallet,
)
from billing.pricing import Costs, Tokens
from billing.services import faults, posting, wallets
from channels.models import Channel, Model
from newapi.kernel import clock
from newapi.kernel.meters import bank, keys
from newapi.kernel.money import NANO
from tests import cast
from tests.billing import books, calls
from tests.billing.threads import together


@pytest.fixture
def line(acme: Organisation, chat_model: Model) -> calls.Line:
    calls.warm(acme)
    return calls.line(acme, chat_model)


def push(entry_organisation: int, cost_nano: int, event: bytes) -> None:
    """Put an entry into the stream as SETTLE would."""
    shard = keys.shard_of(entry_organisation)
    bank.connection().hincrby(keys.till(entry_organisation), "pending", cost_nano)
    bank.connection().xadd(keys.usage(shard), {"o": entry_organisation, "c": cost_nano, "e": event})


@pytest.mark.req("BIL-11")
def test_a_settled_call_becomes_a_row_a_transfer_and_a_rollup(
    acme: Organisation, line: calls.Line, mock_channel: Channel
) -> None:
    record = calls.answered(line, Tokens(1000, 500, 50, 100, 10), channel=mock_channel.pk)
    calls.serve([record])
    assert posting.post() == 1

    row = UsageEvent.objects.get()
    # 2 USD per million in every input bucket, 8 in both output buckets.
    assert row.cost_nano == 1550 * 2000 + 110 * 8000
    assert (row.id, clock.to_ms(row.at)) == (record.id, record.at_ms)
    assert (row.input_tokens, row.cached_input_tokens, row.cache_write_tokens) == (1000, 500, 50)
    assert (row.output_tokens, row.reasoning_tokens) == (100, 10)
    assert (row.organisation, row.user, row.api_key) == (acme, line.api_key.user, line.api_key)
    assert (row.price, row.channel, row.client_address) == (line.version, mock_channel, "203.0.113.7")
    assert (row.status, row.outcome, row.usage_source) == (200, "ok", "provider")
    booked = LedgerTransaction.objects.get(pk=row.transaction_id)
    assert [transfer.amount_nano for transfer in booked.transfers.all()] == [row.cost_nano]
    assert Rollup15m.objects.get().cost_nano == row.cost_nano
    assert RollupDirty.objects.get().level == "hour"
    books.assert_balanced(acme)


@pytest.mark.req("BIL-11")
def test_posting_again_changes_nothing(acme: Organisation, line: calls.Line) -> None:
    records = calls.serve(calls.answered(line) for _ in range(30))
    assert posting.post() == 30
    for record in records:
        push(acme.pk, record.costs.total, record.encode())
    assert posting.post() == 30
    assert posting.post() == 0
    assert UsageEvent.objects.count() == 30
    assert Rollup15m.objects.get().calls == 30
    books.assert_balanced(acme)


def test_of_two_entries_with_one_id_the_first_is_booked(acme: Organisation, line: calls.Line) -> None:
    record = calls.answered(line)
    calls.serve([record])
    later = replace(record, tokens=Tokens(output=999), costs=Costs(output=999))
    calls.settle_late(later)
    assert posting.post() == 2
    assert UsageEvent.objects.get().cost_nano == record.costs.total
    books.assert_balanced(acme)


def test_one_transaction_for_each_organisation_in_a_batch(
    acme: Organisation, globex: Organisation, line: calls.Line, chat_model: Model
) -> None:
    calls.warm(globex)
    other = calls.line(globex, chat_model)
    calls.serve(calls.answered(each) for each in [line, other] * 10)
    assert posting.post() == 20
    assert LedgerTransaction.objects.filter(kind="usage").count() == 2
    books.assert_balanced(acme, globex)


def test_a_call_that_cost_nothing_has_a_row_but_no_transfer(acme: Organisation, line: calls.Line) -> None:
    calls.serve([calls.answered(line, Tokens(), status=502, outcome="error", usage_source="none")])
    assert posting.post() == 1
    assert UsageEvent.objects.get().transaction_id is None
    assert not LedgerTransaction.objects.filter(kind="usage").exists()
    rollup = Rollup15m.objects.get()
    assert (rollup.calls, rollup.errors, rollup.cost_nano, rollup.channel_id) == (1, 1, 0, 0)
    books.assert_balanced(acme)


def test_usage_beyond_the_balance_is_owed_and_paid_first_by_the_next_credit(
    acme: Organisation, line: calls.Line, root: User
) -> None:
    dear = calls.answered(line, costs=Costs(output=130 * NANO))
    calls.serve([dear])
    posting.post()
    wallet = books.wallet_of(acme)
    assert (wallet.balance_nano, wallet.owed_nano) == (0, 30 * NANO)
    assert bank.till_state(acme.pk).available_nano == -30 * NANO
    books.assert_balanced(acme)

    def pay(units: int, key: str) -> None:
        wallets.credit(
            organisation=acme,
            amount_nano=units * NANO,
            kind=LedgerTransaction.Kind.TOP_UP,
            idempotency_key=key,
            actor=root,
            reason="Paid",
        )
        # Tests within one transaction never commit, so the till is told by hand.
        wallets.publish(wallet_id=wallet.pk)

    pay(20, "first")
    wallet.refresh_from_db()
    assert (wallet.balance_nano, wallet.owed_nano) == (0, 10 * NANO)
    pay(25, "second")
    wallet.refresh_from_db()
    assert (wallet.balance_nano, wallet.owed_nano) == (15 * NANO, 0)
    assert bank.till_state(acme.pk).available_nano == 15 * NANO
    books.assert_balanced(acme)

    wallets.reverse(booked=LedgerTransaction.objects.get(kind="usage"), actor=root, reason="Our mistake")
    wallets.publish(wallet_id=wallet.pk)
    wallet.refresh_from_db()
    assert (wallet.balance_nano, wallet.owed_nano) == (145 * NANO, 0)
    assert bank.till_state(acme.pk).available_nano == 145 * NANO
    books.assert_balanced(acme)


def test_a_credit_limit_is_used_up_before_anything_is_owed(acme: Organisation, line: calls.Line) -> None:
    wallet = books.wallet_of(acme)
    wallets.set_credit_limit(wallet=wallet, credit_limit_nano=20 * NANO, actor=None, reason="Contract")
    wallets.publish(wallet_id=wallet.pk)
    calls.serve([calls.answered(line, costs=Costs(output=130 * NANO))])
    posting.post()
    wallet.refresh_from_db()
    assert (wallet.balance_nano, wallet.owed_nano) == (-20 * NANO, 10 * NANO)
    books.assert_balanced(acme)


def test_usage_of_an_organisation_without_a_wallet_opens_one(gus: User, chat_model: Model) -> None:
    fresh = cast.organisation("fresh", owner=gus, funds_nano=0)
    record = calls.answered(calls.line(fresh, chat_model))
    calls.settle_late(record)
    assert posting.post() == 1
    assert Wallet.objects.get(organisation=fresh).owed_nano == record.costs.total
    books.assert_balanced(fresh)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda event: b"not json",
        lambda event: b"\xff\x00",
        lambda event: orjson.dumps({**event, "surprise": 1}),
        lambda event: orjson.dumps({**event, "id": "x"}),
        lambda event: orjson.dumps({**event, "organisation": event["organisation"] + 1}),
        lambda event: orjson.dumps({**event, "currency": "dollars"}),
        lambda event: orjson.dumps({**event, "tokens": {"input": -5}}),
        lambda event: orjson.dumps({**event, "tokens": {"input": 1.5}}),
        lambda event: orjson.dumps({**event, "costs": {"input": 1}}),
        lambda event: orjson.dumps({**event, "outcome": "fine"}),
        lambda event: orjson.dumps({**event, "upstream_id": "a\x00b"}),
        lambda event: orjson.dumps({**event, "client_address": "nowhere"}),
        lambda event: orjson.dumps({**event, "latency_ms": 2**40}),
        lambda event: orjson.dumps({**event, "at_ms": 10**17}),
        lambda event: orjson.dumps({**event, "price": True}),
        lambda event: orjson.dumps([event]),
    ],
)
def test_a_malformed_entry_is_set_aside_whole_and_blocks_nothing(
    acme: Organisation, line: calls.Line, spoil: object
) -> None:
    before, bad, after = (calls.answered(line) for _ in range(3))
    calls.serve([before])
    spoiled = spoil(orjson.loads(bad.encode()))
    push(acme.pk, bad.costs.total, spoiled)
    calls.serve([after])

    assert posting.post() == 3
    assert set(UsageEvent.objects.values_list("pk", flat=True)) == {before.id, after.id}
    fault = PostingFault.objects.get()
    assert (fault.organisation_id, fault.cost_nano, fault.resolved_at) == (acme.pk, bad.costs.total, None)
    assert fault.payload == spoiled.decode("utf-8", "backslashreplace").replace("\x00", "\\x00")
    assert fault.error
    books.assert_balanced(acme)


@pytest.mark.django_db(transaction=True)
def test_an_entry_that_only_the_database_refuses_is_found_among_many(acme: Organisation, line: calls.Line) -> None:
    good = [calls.answered(line) for _ in range(20)]
    nobody = acme.pk + keys.SHARDS  # in the same shard, but no such organisation
    stray = replace(calls.answered(line), organisation=nobody)
    calls.serve(good[:9])
    push(nobody, stray.costs.total, stray.encode())
    calls.serve(good[9:])
    assert posting.post() == 21
    assert set(UsageEvent.objects.values_list("pk", flat=True)) == books.ids_of(good)
    assert PostingFault.objects.get().organisation_id == nobody
    books.assert_balanced(acme)


def test_a_fault_is_booked_once_its_cause_is_gone(acme: Organisation, line: calls.Line) -> None:
    record = calls.answered(line)
    push(acme.pk, record.costs.total, orjson.dumps({**orjson.loads(record.encode()), "from_tomorrow": 1}))
    posting.post()
    fault = PostingFault.objects.get()
    call_command("post_usage", "--faults", stdout=io.StringIO())
    assert not UsageEvent.objects.exists()

    PostingFault.objects.update(payload=record.encode().decode())  # as an upgraded reader would see it
    out = io.StringIO()
    call_command("post_usage", "--faults", stdout=out)
    assert out.getvalue().startswith("1 events posted")
    assert UsageEvent.objects.get().id == record.id
    books.assert_balanced(acme)
    assert faults.retry() == 0
    assert not faults.give_up(fault=fault, actor=None, reason="Too late")


def test_a_fault_is_given_up_with_a_reason(acme: Organisation, line: calls.Line, root: User) -> None:
    push(acme.pk, 5, b"?")
    posting.post()
    fault = PostingFault.objects.get()
    assert faults.give_up(fault=fault, actor=root, reason="Made by a test client")
    event = AuditEvent.objects.get(action="posting_fault.give_up")
    assert (event.actor, event.organisation, event.reason) == (root, acme, "Made by a test client")
    assert not PostingFault.objects.filter(resolved_at=None).exists()
    books.assert_balanced(acme)


@pytest.mark.django_db(transaction=True)
def test_trouble_of_the_database_blames_no_entry(acme: Organisation, line: calls.Line) -> None:
    records = calls.serve(calls.answered(line) for _ in range(5))
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE billing_usageevent RENAME TO away")
    try:
        with pytest.raises(DatabaseError):
            posting.post()
    finally:
        with connection.cursor() as cursor:
            cursor.execute("ALTER TABLE away RENAME TO billing_usageevent")
    assert books.waiting() == 5
    assert not PostingFault.objects.exists()
    assert not LedgerTransaction.objects.filter(kind="usage").exists()
    assert posting.post() == 5
    assert set(UsageEvent.objects.values_list("pk", flat=True)) == books.ids_of(records)
    books.assert_balanced(acme)


def test_one_run_takes_no_more_than_it_is_asked_to(acme: Organisation, line: calls.Line) -> None:
    calls.serve(calls.answered(line) for _ in range(25))
    assert posting.post(limit=10) == 10
    assert books.waiting() == 15
    assert posting.post() == 15
    books.assert_balanced(acme)


def test_every_shard_is_posted(gus: User, chat_model: Model) -> None:
    organisations = [cast.organisation(f"org-{number}", owner=gus) for number in range(keys.SHARDS)]
    for organisation in organisations:
        calls.warm(organisation)
    calls.serve(calls.answered(calls.line(organisation, chat_model)) for organisation in organisations)
    assert posting.post() == keys.SHARDS
    books.assert_balanced(*organisations)


def test_a_shard_that_another_poster_works_on_is_left_to_it(acme: Organisation, line: calls.Line, redis: Redis) -> None:
    calls.serve([calls.answered(line)])
    lease = f"{keys.usage(keys.shard_of(acme.pk))}:poster"
    redis.set(lease, "someone else", px=60_000)
    assert posting.post() == 0
    redis.delete(lease)
    assert posting.post() == 1
    assert redis.get(lease) is None


@pytest.mark.django_db(transaction=True)
@pytest.mark.req("BIL-11")
def test_racing_posters_book_each_call_once(
    acme: Organisation, globex: Organisation, line: calls.Line, chat_model: Model
) -> None:
    """Without leases: every thread reads the same entries and posts them at the same time."""
    other = calls.line(globex, chat_model)
    calls.warm(globex)
    for _ in range(5):
        records = calls.serve(calls.answered(each) for each in [line, other] * 20)
        everything = [entry for shard in range(keys.SHARDS) for entry in bank.unposted(shard=shard, limit=1000)]

        def post_all(entries: list[bank.Entry] = everything) -> int:
            shards = {entry.shard for entry in entries}
            return sum(posting.post_batch([e for e in entries if e.shard == shard]) for shard in shards)

        taken = together(*[post_all] * 6)
        assert sum(taken) == len(records)
        books.assert_balanced(acme, globex)
    assert UsageEvent.objects.count() == 200
    assert sum(Rollup15m.objects.values_list("calls", flat=True)) == 200
    assert not PostingFault.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_posting_and_funding_at_the_same_time_keep_the_books_straight(acme: Organisation, line: calls.Line) -> None:
    calls.serve(calls.answered(line, costs=Costs(output=3 * NANO)) for _ in range(40))

    def pay(number: int) -> None:
        for step in range(5):
            wallets.credit(
                organisation=acme,
                amount_nano=NANO,
                kind=LedgerTransaction.Kind.TOP_UP,
                idempotency_key=f"{number}-{step}",
                actor=None,
                reason="Drip",
            )

    def post_some() -> None:
        while posting.post(limit=4):
            pass

    results = together(post_some, *(lambda number=number: pay(number) for number in range(3)))
    assert results == [None] * 4
    wallet = books.wallet_of(acme)
    assert wallet.funded_nano == 115 * NANO
    assert wallet.used_nano == 120 * NANO
    assert wallet.balance_nano - wallet.owed_nano == -5 * NANO
    books.assert_balanced(acme)


def test_a_till_that_went_cold_before_posting_comes_back_right(
    acme: Organisation, line: calls.Line, redis: Redis
) -> None:
    """Redis was wiped while a call ran: its settlement arrives at a till that nobody has opened."""
    redis.flushdb()
    record = calls.answered(line)
    calls.settle_late(record)
    calls.warm(acme)
    funded = 100 * NANO
    assert bank.till_state(acme.pk).available_nano == funded - record.costs.total
    posting.post()
    assert bank.till_state(acme.pk).available_nano == funded - record.costs.total
    books.assert_balanced(acme)


def test_posting_goes_on_although_the_till_is_cold(acme: Organisation, line: calls.Line, redis: Redis) -> None:
    redis.flushdb()
    record = calls.answered(line)
    calls.settle_late(record)
    posting.post()
    calls.warm(acme)
    assert bank.till_state(acme.pk).available_nano == 100 * NANO - record.costs.total
    books.assert_balanced(acme)


def test_what_is_booked_is_all_or_nothing(acme: Organisation, line: calls.Line) -> None:
    calls.serve([calls.answered(line)])
    with pytest.raises(RuntimeError), transaction.atomic():
        posting.post()
        raise RuntimeError("the process is told to stop")
    assert not UsageEvent.objects.exists()
    assert not Rollup15m.objects.exists()
    assert books.wallet_of(acme).used_nano == 0


def test_funds_and_usage_that_reach_a_cold_till_leave_it_cold(
    acme: Organisation, line: calls.Line, redis: Redis
) -> None:
    """Only a load opens a till, because only it says when the till was born, which admission needs."""
    redis.flushdb()
    record = calls.answered(line)
    calls.settle_late(record)
    wallets.publish(wallet_id=books.wallet_of(acme).pk)
    posting.post()
    assert bank.till_state(acme.pk) is None
    calls.warm(acme)
    calls.serve([calls.answered(line)])
    posting.post()
    books.assert_balanced(acme)
