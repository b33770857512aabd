"""Usage of a wrong price rated again: by differences, once for each call, whoever is killed; rows stay as they are."""

import uuid
from datetime import datetime, timedelta
from fractions import Fraction
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction

from accounts.models import AuditEvent, Notice, Organisation, User
from billing import tasks
from billing.models import LedgerTransaction, PriceVersion, RatingDelta, Rerating, UsageEvent
from billing.pricing import Costs, Tokens
from billing.services import posting, prices, rerating, rerating_rows, rerating_run, rollups, verifier, wallets
from billing.usage_record import UsageRecord
from channels.models import Model
from newapi.kernel import clock
from newapi.kernel.meters import bank
from newapi.kernel.money import NANO
from tests import cast
from tests.billing import books, calls, crashes

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.req("BIL-09")]

AGO = timedelta(hours=2)
SINCE, UNTIL = timedelta(hours=3), timedelta(minutes=61)


@pytest.fixture
def line(acme: Organisation, chat_model: Model) -> calls.Line:
    calls.warm(acme)
    return calls.line(acme, chat_model)


@pytest.fixture
def globex_line(globex: Organisation, chat_model: Model) -> calls.Line:
    calls.warm(globex)
    return calls.line(globex, chat_model)


@pytest.fixture
def right(chat_model: Model, line: calls.Line) -> PriceVersion:
    """Half of what was charged."""
    return price(chat_model, input_nano=NANO, output_nano=4 * NANO)


def price(model: Model, **fields: Any) -> PriceVersion:
    """A version that holds whenever, dearer ones after their notice."""
    fields = {"currency": "USD", **fields}
    when = clock.now() + timedelta(days=100 + PriceVersion.objects.count())
    return prices.publish(model=model, effective_from=when, actor=None, reason="The right price", **fields)


def used(*records: UsageRecord) -> list[UsageRecord]:
    """Calls of two hours ago, posted."""
    done = calls.serve(records)
    posting.post()
    return done


def answered(line: calls.Line, tokens: Tokens | None = None, **fields: Any) -> UsageRecord:
    """A call of two hours ago; by default 1,000 tokens in and 100 out, for 0.0028."""
    with clock.shifted(-AGO.total_seconds()):
        return calls.answered(line, tokens, **fields)


def ask(wrong: PriceVersion, right: PriceVersion, **fields: Any) -> Rerating:
    now = clock.now()
    values = {"since": now - SINCE, "until": now - UNTIL, "actor": None, "reason": "Mistyped", **fields}
    return rerating.request(wrong_price=wrong, right_price=right, **values)


def run(wrong: PriceVersion, right: PriceVersion, **fields: Any) -> Rerating:
    """Asked for, approved by somebody else, and run by the job."""
    made = rerating.approve(of=ask(wrong, right, **fields), actor=cast.olga(), reason="Checked")
    tasks.rerate()
    made.refresh_from_db()
    assert made.state == "done"
    return made


def state_of_rows() -> list[Any]:
    return list(UsageEvent.objects.order_by("pk").values_list())


def balance(organisation: Organisation) -> int:
    return books.wallet_of(organisation).balance_nano - books.wallet_of(organisation).owed_nano


def assert_right(*organisations: Organisation) -> None:
    rollups.roll_up()
    assert verifier.verify() == []
    for organisation in organisations:
        books.assert_balanced(organisation)


def test_too_much_is_given_back_and_the_rows_stay(
    acme: Organisation, globex: Organisation, line: calls.Line, globex_line: calls.Line, right: PriceVersion
) -> None:
    used(*(answered(line) for _ in range(3)), answered(globex_line, Tokens(input=7, output=3)))
    rows, before, globex_before = state_of_rows(), balance(acme), balance(globex)
    made = run(line.version, right)
    assert balance(acme) - before == 3 * 1_400_000
    # 7 and 3 tokens at 2 and 8 per million, less the same at 1 and 4.
    assert balance(globex) - globex_before == (14_000 + 24_000) - (7_000 + 12_000)
    assert (made.rows_seen, made.delta_nano) == (4, -3 * 1_400_000 - 19_000)
    assert state_of_rows() == rows
    assert books.in_account(None, "revenue") == books.used_in_rows(acme) + books.used_in_rows(globex) + made.delta_nano
    assert_right(acme, globex)


def test_one_transaction_for_an_organisation_and_batch_and_one_delta_for_a_call(
    acme: Organisation, line: calls.Line, right: PriceVersion
) -> None:
    done = used(*(answered(line) for _ in range(3)))
    made = run(line.version, right)
    booked = LedgerTransaction.objects.get(kind="rerating")
    first = min(record.id for record in done)
    assert booked.idempotency_key == f"rerate:{made.pk}:{acme.pk}:{first}"
    assert (booked.actor, "Mistyped" in booked.reason) == (cast.olga(), False)
    deltas = RatingDelta.objects.filter(rerating=made)
    assert set(deltas.values_list("usage", flat=True)) == {record.id for record in done}
    assert set(deltas.values_list("before_nano", "after_nano", "transaction")) == {(2_800_000, 1_400_000, booked.pk)}


def test_too_little_is_charged_in_addition_down_into_debt(
    acme: Organisation, line: calls.Line, chat_model: Model
) -> None:
    used(answered(line))
    dear = price(chat_model, input_nano=200_000 * NANO, output_nano=8 * NANO)
    before = balance(acme)
    made = run(line.version, dear)
    # 1,000 tokens at 200,000 per million are 200, and 100 were in the wallet.
    assert made.delta_nano == 200 * NANO - 2_000_000
    assert balance(acme) == before - made.delta_nano
    assert books.wallet_of(acme).owed_nano > 99 * NANO
    assert_right(acme)


def test_tiers_rare_buckets_and_the_price_of_a_call_are_rated_as_calls_are(
    acme: Organisation, line: calls.Line, chat_model: Model
) -> None:
    right = price(
        chat_model,
        input_nano=3 * NANO,
        output_nano=9 * NANO,
        per_call_nano=1_000,
        extra_rates={"input_audio": 50 * NANO, "tool:web_search": 10_000_000},
        tiers=[
            {"service": "", "above_tokens": 500, "rates": {"input": 5 * NANO}},
            {"service": "flex", "above_tokens": 0, "rates": {"input": NANO, "output": 2 * NANO}},
        ],
    )
    extras = {"input_audio": 11, "tool:web_search": 2}
    short = answered(line, Tokens(input=100, output=10, extras=extras), costs=Costs(input=5, extras={"input_audio": 6}))
    long = answered(line, Tokens(input=600))
    flex = answered(line, Tokens(input=100, output=10), service_tier="flex")
    used(short, long, flex)
    run(line.version, right)
    after = dict(RatingDelta.objects.values_list("usage", "after_nano"))
    per = Fraction(NANO, 1_000_000)
    assert after[short.id] == 3 * 100 * per + 9 * 10 * per + 50 * 11 * per + 2 * 10_000_000 + 1_000
    assert after[long.id] == 5 * 600 * per + 1_000
    assert after[flex.id] == 1 * 100 * per + 2 * 10 * per + 1_000
    assert dict(RatingDelta.objects.values_list("usage", "before_nano"))[short.id] == 11
    assert_right(acme)


def test_only_calls_of_that_price_span_and_organisation_are_rated_again(
    acme: Organisation,
    line: calls.Line,
    globex_line: calls.Line,
    right: PriceVersion,
    chat_model: Model,
) -> None:
    other = price(chat_model, input_nano=5 * NANO, output_nano=5 * NANO)
    mine = answered(line)
    with clock.shifted(-600):
        late = calls.answered(line)
    with clock.shifted(-5 * 3600):
        early = calls.answered(line)
    test = answered(line, costs=Costs(), is_test=True)
    nothing = answered(line, Tokens(), costs=Costs(), usage_source="none", outcome="error", status=502)
    used(mine, late, early, test, nothing, answered(globex_line), answered(line, price=other.pk))
    made = run(line.version, right, organisation=acme)
    assert list(RatingDelta.objects.values_list("usage", flat=True)) == [mine.id]
    assert made.rows_seen == 1


def test_the_span_is_half_open(acme: Organisation, line: calls.Line, right: PriceVersion) -> None:
    record = answered(line)
    used(record)
    at = UsageEvent.objects.get().at
    minute = timedelta(minutes=10)
    run(line.version, right, since=at - minute, until=at)
    run(line.version, right, since=at + timedelta(milliseconds=1), until=at + minute)
    assert not RatingDelta.objects.exists()
    run(line.version, right, since=at, until=at + timedelta(milliseconds=1))
    assert RatingDelta.objects.get().usage == record.id


def test_a_call_is_not_corrected_twice(acme: Organisation, line: calls.Line, right: PriceVersion) -> None:
    used(answered(line), answered(line))
    run(line.version, right)
    before = balance(acme)
    again = run(line.version, right)
    assert (balance(acme), again.delta_nano, again.rows_seen) == (before, 0, 2)
    assert LedgerTransaction.objects.filter(kind="rerating").count() == 1


def test_a_correction_of_a_correction_starts_from_what_is_charged_by_then(
    acme: Organisation, line: calls.Line, right: PriceVersion, chat_model: Model
) -> None:
    used(answered(line))
    start = balance(acme)
    run(line.version, right)
    third = price(chat_model, input_nano=3 * NANO, output_nano=12 * NANO)
    run(line.version, third)
    assert balance(acme) - start == 2_800_000 - 4_200_000
    assert list(RatingDelta.objects.order_by("pk").values_list("before_nano", "after_nano")) == [
        (2_800_000, 1_400_000),
        (1_400_000, 4_200_000),
    ]


def test_what_was_reversed_is_neither_given_back_twice_nor_taken_for_corrected(
    acme: Organisation, line: calls.Line, right: PriceVersion
) -> None:
    used(answered(line))
    run(line.version, right)
    wallets.reverse(booked=LedgerTransaction.objects.get(kind="rerating"), actor=None, reason="Too early")
    before = balance(acme)
    run(line.version, right)
    assert balance(acme) - before == 1_400_000
    used(answered(line))
    usage = UsageEvent.objects.latest("pk").transaction
    assert usage is not None
    wallets.reverse(booked=usage, actor=None, reason="All of it")
    before = balance(acme)
    run(line.version, right)
    assert balance(acme) == before


def test_what_a_call_is_charged_by_now_counts_every_correction_that_stands(
    acme: Organisation, line: calls.Line, right: PriceVersion, chat_model: Model
) -> None:
    """Also when a correction was reversed that a later one had started from."""
    used(answered(line))
    start = balance(acme)
    first = run(line.version, right)
    run(line.version, price(chat_model, input_nano=3 * NANO, output_nano=12 * NANO))
    booked = first.deltas.get().transaction
    assert booked is not None
    wallets.reverse(booked=booked, actor=None, reason="Not that one")
    assert balance(acme) - start == -2_800_000
    run(line.version, right)
    assert balance(acme) - start == 1_400_000
    assert_right(acme)


def test_a_lost_call_gets_no_dearer_than_its_hold(acme: Organisation, line: calls.Line, chat_model: Model) -> None:
    used(answered(line, outcome="lost", usage_source="estimate"))
    run(line.version, price(chat_model, input_nano=4 * NANO, output_nano=9 * NANO))
    assert not RatingDelta.objects.exists()


def test_a_lost_call_that_was_corrected_too_far_comes_back_as_far_as_its_hold(
    acme: Organisation, line: calls.Line, right: PriceVersion, chat_model: Model
) -> None:
    used(answered(line, outcome="lost", usage_source="estimate"))
    start = balance(acme)
    run(line.version, right)
    run(line.version, price(chat_model, input_nano=4 * NANO, output_nano=9 * NANO))
    assert balance(acme) == start
    assert_right(acme)


def test_a_frozen_wallet_gets_nothing_back_until_it_is_asked_for_again(
    acme: Organisation, line: calls.Line, globex_line: calls.Line, globex: Organisation, right: PriceVersion
) -> None:
    used(answered(line), answered(globex_line))
    wallets.freeze(organisation=globex, actor=None, reason="Terminated")
    before = balance(globex)
    made = run(line.version, right)
    assert made.delta_nano == -1_400_000
    assert balance(globex) == before
    notice = Notice.objects.get(kind="rerating.held")
    assert (notice.audience, "could not correct Globex" in notice.title) == ("operators", True)
    wallets.thaw(organisation=globex, actor=None, reason="Settled")
    again = run(line.version, right)
    assert again.delta_nano == -1_400_000
    assert balance(globex) == before + 1_400_000
    assert_right(acme, globex)


def test_batches_are_small_and_come_to_the_same(
    acme: Organisation,
    globex: Organisation,
    line: calls.Line,
    globex_line: calls.Line,
    right: PriceVersion,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(rerating_rows, "WINDOW", 3)
    used(*(answered(one) for _ in range(5) for one in (line, globex_line)))
    before = balance(acme)
    made = rerating.approve(of=ask(line.version, right), actor=cast.olga(), reason="Checked")
    assert rerating_run.run() == 4
    made.refresh_from_db()
    assert (made.state, made.rows_seen, made.delta_nano) == ("done", 10, -10 * 1_400_000)
    assert balance(acme) - before == 5 * 1_400_000
    assert rerating_run.run() == 0
    assert_right(acme, globex)


def test_differences_that_cancel_out_are_kept_and_nothing_is_booked(
    acme: Organisation, line: calls.Line, chat_model: Model
) -> None:
    right = price(chat_model, input_nano=3 * NANO, output_nano=7 * NANO)
    used(answered(line, Tokens(input=10)), answered(line, Tokens(output=10)))
    made = run(line.version, right)
    assert (made.delta_nano, RatingDelta.objects.filter(transaction=None).count()) == (0, 2)
    assert not LedgerTransaction.objects.filter(kind="rerating").exists()
    assert run(line.version, right).deltas.count() == 0


@pytest.mark.req("BIL-11", "BIL-17")
def test_a_re_rating_killed_at_any_step_corrects_each_call_once(
    acme: Organisation,
    globex: Organisation,
    line: calls.Line,
    globex_line: calls.Line,
    right: PriceVersion,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The same three calls are rated at one price and at the other in turn; two batches each time."""
    monkeypatch.setattr(rerating_rows, "WINDOW", 2)
    olga = cast.olga()
    used(answered(line), answered(globex_line), answered(line))
    charged_full = (balance(acme), balance(globex))
    charged_half = (charged_full[0] + 2_800_000, charged_full[1] + 1_400_000)

    targets = (right, price(line.model, input_nano=2 * NANO, output_nano=8 * NANO))

    def ask_again(step: int) -> Rerating:
        return rerating.approve(of=ask(line.version, targets[step % 2]), actor=olga, reason="Checked")

    made, steps = ask_again(0), 0
    for steps in crashes.at_every_step(lambda step: rerating_run.run()):
        rerating_run.run()
        made.refresh_from_db()
        assert made.state == "done", f"after a kill at step {steps}"
        assert abs(made.delta_nano) == 3 * 1_400_000
        assert (balance(acme), balance(globex)) == (charged_half if steps % 2 else charged_full)
        made = ask_again(steps)
    assert steps > 60
    wallets.publish_missed()
    assert bank.till_state(acme.pk).available_nano == balance(acme)
    assert_right(acme, globex)


def test_a_preview_is_what_then_happens(
    acme: Organisation, globex: Organisation, line: calls.Line, globex_line: calls.Line, right: PriceVersion
) -> None:
    used(answered(line), answered(globex_line), answered(globex_line))
    made = ask(line.version, right)
    told = rerating.estimate(made)
    assert (told.seen, told.is_whole, told.nano) == (3, True, -3 * 1_400_000)
    assert told.sums == {acme: (1, -1_400_000), globex: (2, -2_800_000)}
    assert not RatingDelta.objects.exists()
    rerating.approve(of=made, actor=cast.olga(), reason="Checked")
    rerating_run.run()
    made.refresh_from_db()
    assert (made.rows_seen, made.delta_nano) == (told.seen, told.nano)


def test_whoever_asks_does_not_decide_and_it_is_decided_once(
    acme: Organisation, line: calls.Line, right: PriceVersion, root: User
) -> None:
    used(answered(line))
    made = ask(line.version, right, actor=root)
    for decide in (rerating.approve, rerating.reject):
        with pytest.raises(ValidationError, match="You asked for it yourself"):
            decide(of=made, actor=root, reason="Me")
    rerating_run.run()
    assert not RatingDelta.objects.exists()
    rerating.reject(of=made, actor=cast.olga(), reason="No")
    with pytest.raises(ValidationError, match="decided on already"):
        rerating.approve(of=made, actor=cast.olga(), reason="Yes after all")
    rerating_run.run()
    assert not RatingDelta.objects.exists()
    actions = AuditEvent.objects.filter(action__startswith="rerating.").values_list("action", "actor__email", "reason")
    assert set(actions) == {
        ("rerating.request", "root@example.com", "Mistyped"),
        ("rerating.reject", "olga@example.com", "No"),
    }


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"since": timedelta(hours=1), "until": timedelta(hours=2)}, "ends before it begins"),
        ({"until": timedelta(minutes=59)}, "last hour"),
        ({"since": timedelta(days=402)}, "At most 400 days"),
    ],
)
def test_what_makes_no_sense_is_refused(
    line: calls.Line, right: PriceVersion, fields: dict[str, timedelta], complaint: str
) -> None:
    now: datetime = clock.now()
    with pytest.raises(ValidationError, match=complaint):
        ask(line.version, right, **{name: now - ago for name, ago in fields.items()})
    assert not Rerating.objects.exists()


def test_the_right_price_is_another_one_of_the_same_model_and_currency(
    line: calls.Line, right: PriceVersion, chat_model: Model
) -> None:
    other = cast.model("other").prices.get()
    euros = price(chat_model, currency="EUR", input_nano=1)
    gone = price(chat_model, is_withdrawn=True)
    for wrong, complaint in (
        (line.version, "wrong price itself"),
        (other, "same model"),
        (euros, "same model"),
        (gone, "no price"),
    ):
        with pytest.raises(ValidationError, match=complaint):
            ask(line.version, wrong)


def test_those_concerned_are_told_what_it_came_to(
    acme: Organisation, globex: Organisation, line: calls.Line, right: PriceVersion
) -> None:
    used(answered(line))
    run(line.version, right)
    notice = Notice.objects.get(kind="rerating.done")
    assert notice.organisation == acme
    assert "0.0014 USD were given back" in notice.title
    assert "Mistyped" not in notice.body
    waiting = Notice.objects.get(kind="rerating.waiting")
    assert waiting.audience == "operators"


def test_deltas_are_never_changed(acme: Organisation, line: calls.Line, right: PriceVersion) -> None:
    used(answered(line))
    made = run(line.version, right)
    for change in (
        lambda: RatingDelta.objects.update(after_nano=0),
        lambda: RatingDelta.objects.all().delete(),
        lambda: RatingDelta.objects.create(
            rerating=made, usage=RatingDelta.objects.get().usage, organisation=acme, before_nano=0, after_nano=1
        ),
    ):
        with pytest.raises(IntegrityError), transaction.atomic():
            change()
    assert uuid.UUID(str(RatingDelta.objects.get().usage))
