"""What a usage row keeps of a call: everything that was written down, nothing that was said, nothing malformed."""

from dataclasses import replace

import orjson
import pytest

from accounts.models import Organisation
from billing import bulk_insert
from billing.models import LedgerTransaction, PostingFault, Rollup15m, RollupDirty, UsageEvent
from billing.pricing import Costs, Tokens
from billing.services import holds, posting, rollups, usage_rows, verifier
from billing.usage_record import UsageRecord
from channels.models import Channel, Model
from newapi.kernel import clock
from tests import cast
from tests.billing import books, calls

# What a worker of an earlier version does not write.
LATER_FIELDS = ("country", "modality", "source", "domain", "is_test", "asked_model", "failed_attempts")
LATER_FIELDS += ("purse", "region", "price_basis", "service_tier")
ATTEMPT = {"channel": 7, "key": 9, "status": 503, "outcome": "error", "ms": 120}


@pytest.fixture
def line(acme: Organisation, chat_model: Model) -> calls.Line:
    calls.warm(acme)
    return calls.line(acme, chat_model)


def post(*records: UsageRecord) -> None:
    calls.serve(records)
    assert posting.post() == len(records)


@pytest.mark.req("GW-14", "GW-16")
def test_a_row_has_exactly_these_columns_and_none_for_what_was_said() -> None:
    """A column that could hold content must be seen by whoever adds it."""
    assert sorted(field.column for field in UsageEvent._meta.concrete_fields) == sorted(usage_rows.COLUMNS)
    texts = {
        field.name
        for field in UsageEvent._meta.concrete_fields
        if field.get_internal_type() in ("CharField", "TextField", "JSONField")
    }
    assert texts == {
        "endpoint",
        "outcome",
        "usage_source",
        "currency",
        "upstream_id",
        "country",
        "modality",
        "source",
        "domain",
        "failed_attempts",
        "region",
        "price_basis",
        "service_tier",
        "extras",
    }


@pytest.mark.req("GW-14")
def test_what_the_gateway_wrote_is_in_the_row_exactly(
    acme: Organisation, line: calls.Line, mock_channel: Channel
) -> None:
    asked = cast.model("asked-for")
    failed = [ATTEMPT, {**ATTEMPT, "key": 10, "status": None, "outcome": "timeout", "ms": 30_000}]
    record = calls.answered(
        line,
        channel=mock_channel.pk,
        attempts=3,
        country="DE",
        domain="HD-MED",
        asked_model=asked.pk,
        failed_attempts=failed,
    )
    post(record)
    row = UsageEvent.objects.get()
    assert (row.organisation, row.user, row.api_key) == (acme, line.api_key.user, line.api_key)
    assert (row.model, row.asked_model, row.channel) == (line.model, asked, mock_channel)
    assert (row.country, row.domain, row.is_test) == ("DE", "HD-MED", False)
    assert (row.attempts, row.failed_attempts) == (3, failed)
    assert (row.id, row.status, row.latency_ms) == (record.id, 200, 800)


@pytest.mark.req("GW-19")
@pytest.mark.parametrize("modality", UsageEvent.Modality.values)
@pytest.mark.parametrize("source", UsageEvent.CallSource.values)
def test_every_source_and_modality_is_stored(line: calls.Line, source: str, modality: str) -> None:
    post(calls.answered(line, source=source, modality=modality))
    row = UsageEvent.objects.get()
    assert (row.source, row.modality) == (source, modality)


def test_what_a_worker_of_an_earlier_version_wrote_is_posted_too(acme: Organisation, line: calls.Line) -> None:
    fields = orjson.loads(calls.answered(line).encode())
    for part in ("tokens", "costs"):
        del fields[part]["extras"]
    older = orjson.dumps({name: value for name, value in fields.items() if name not in LATER_FIELDS})
    record = usage_rows.read_record(older)
    calls.serve([record])
    posting.post()
    row = UsageEvent.objects.get()
    assert (row.country, row.modality, row.source, row.is_test) == ("", "text", "api", False)
    assert (row.asked_model, row.failed_attempts) == (None, None)
    assert (row.purse, row.region, row.price_basis, row.service_tier) == (None, "", "default", "")
    assert (row.extras, row.extras_cost_nano) == (None, 0)
    books.assert_balanced(acme)


@pytest.mark.parametrize(
    "spoiled",
    [
        {"country": "Germany"},
        {"country": "de"},
        {"country": None},
        {"modality": "smell"},
        {"source": ["api"]},
        {"domain": "x" * 21},
        {"is_test": 1},
        {"asked_model": "gpt"},
        {"failed_attempts": {}},
        {"failed_attempts": [ATTEMPT] * 21},
        {"failed_attempts": ["error"]},
        {"failed_attempts": [{**ATTEMPT, "body": "what was asked"}]},
        {"failed_attempts": [{"channel": 7}]},
        {"failed_attempts": [{**ATTEMPT, "channel": None}]},
        {"failed_attempts": [{**ATTEMPT, "status": True}]},
        {"failed_attempts": [{**ATTEMPT, "ms": -1}]},
        {"failed_attempts": [{**ATTEMPT, "outcome": "e" * 21}]},
        {"failed_attempts": [{**ATTEMPT, "outcome": "a\x00b"}]},
        {"purse": 0},
        {"purse": True},
        {"region": "Bavaria"},
        {"price_basis": "guess"},
        {"service_tier": "f" * 21},
        {"tokens": Tokens(extras={"smell": 1})},
        {"tokens": Tokens(extras={"tool:": 1})},
        {"tokens": Tokens(extras={f"tool:t{n}": 1 for n in range(33)})},
        {"costs": Costs(extras={"input_audio": 0})},
        {"tokens": Tokens(extras={"claim:x": 1}), "costs": Costs(extras={"claim:x": 0})},
    ],
)
def test_an_entry_whose_new_fields_are_malformed_is_set_aside(
    acme: Organisation, line: calls.Line, spoiled: dict[str, object]
) -> None:
    calls.serve([calls.answered(line, **spoiled)])
    posting.post()
    assert not UsageEvent.objects.exists()
    assert PostingFault.objects.get().organisation_id == acme.pk


def test_twenty_failed_attempts_are_kept(line: calls.Line) -> None:
    post(calls.answered(line, attempts=21, failed_attempts=[ATTEMPT] * 20))
    assert UsageEvent.objects.get().failed_attempts == [ATTEMPT] * 20


@pytest.mark.req("CHN-15")
def test_calls_with_a_test_key_have_rows_and_are_in_no_sum(acme: Organisation, line: calls.Line) -> None:
    paid = calls.answered(line)
    free = calls.answered(line, Tokens(input=5000), costs=Costs(), is_test=True)
    post(free, paid, replace(free, id=calls.new_id()))
    while rollups.roll_up():
        pass
    assert UsageEvent.objects.filter(is_test=True, transaction=None, cost_nano=0).count() == 2
    assert Rollup15m.objects.get().calls == 1
    assert Rollup15m.objects.get().input_tokens == paid.tokens.input
    assert LedgerTransaction.objects.filter(kind="usage").count() == 1
    assert verifier.verify() == []
    books.assert_balanced(acme)


@pytest.mark.req("CHN-15")
def test_where_only_test_keys_were_used_nothing_is_summed_up(line: calls.Line) -> None:
    post(calls.answered(line, costs=Costs(), is_test=True))
    assert not Rollup15m.objects.exists()
    assert not RollupDirty.objects.exists()
    assert verifier.verify() == []


@pytest.mark.req("CHN-15")
def test_sums_rebuilt_from_the_rows_leave_test_calls_out_too(acme: Organisation, line: calls.Line) -> None:
    at_ms = clock.now_ms()
    free = calls.answered(line, Tokens(input=5000), costs=Costs(), is_test=True)
    post(calls.answered(line), free)
    before = books.sums(Rollup15m)
    assert len(before) == 1
    Rollup15m.objects.update(calls=50)
    moment = clock.from_ms(at_ms)
    assert rollups.rebuild(organisation=acme, start=moment, end=clock.now()) == 1
    assert books.sums(Rollup15m) == before
    assert verifier.verify(since=moment) == []


@pytest.mark.req("CHN-15")
def test_a_test_call_that_cost_something_is_set_aside_for_a_person(acme: Organisation, line: calls.Line) -> None:
    calls.serve([calls.answered(line, is_test=True)])
    posting.post()
    assert not UsageEvent.objects.exists()
    assert PostingFault.objects.get().error.endswith("a call with a test key cost something")
    assert books.wallet_of(acme).used_nano == 0


@pytest.mark.req("GW-39")
def test_a_row_goes_on_naming_who_answered_for_the_call(acme: Organisation, line: calls.Line) -> None:
    post(calls.answered(line))
    acme.memberships.update(is_active=False)
    line.api_key.revoked_at = clock.now()
    line.api_key.save()
    line.api_key.user.is_active = False
    line.api_key.user.save()
    row = UsageEvent.objects.get()
    assert (row.organisation, row.user, row.api_key) == (acme, line.api_key.user, line.api_key)


def test_rows_from_before_there_were_test_keys_are_summed_up(acme: Organisation, line: calls.Line) -> None:
    record = calls.answered(line)
    values = dict(zip(usage_rows.COLUMNS, usage_rows.values_of(record, transaction_id=None), strict=True))
    older = {**values, "is_test": None, "modality": None, "source": None, "country": None, "domain": None}
    bulk_insert.insert(UsageEvent, columns=tuple(older), rows=[tuple(older.values())])
    assert rollups.rebuild(organisation=acme, start=clock.from_ms(record.at_ms), end=clock.now()) == 1
    assert Rollup15m.objects.get().cost_nano == record.costs.total


@pytest.mark.req("CHN-15")
def test_a_test_call_whose_worker_was_lost_is_free_too(acme: Organisation, line: calls.Line) -> None:
    calls.admit(replace(calls.lost(line), is_test=True), hold_nano=0, seen=500)
    with clock.shifted(calls.DEADLINE_MS / 1000 + 1):
        assert holds.sweep() == 1
        assert posting.post() == 1
    row = UsageEvent.objects.get()
    assert (row.is_test, row.outcome, row.output_tokens, row.cost_nano) == (True, "lost", 500, 0)
    books.assert_balanced(acme)


@pytest.mark.req("BIL-10", "BIL-11")
def test_rare_buckets_are_kept_apart_and_summed_up_under_their_nearest_name(
    acme: Organisation, line: calls.Line
) -> None:
    units = {"cache_write_1h": 7, "input_audio": 20, "output_audio": 5, "tool:web_search": 2, "claim:cached_input": 9}
    nano = {"cache_write_1h": 70, "input_audio": 200, "output_audio": 50, "tool:web_search": 10_000}
    tokens, costs = Tokens(100, 10, 3, 40, 4, units), Costs(1, 2, 3, 4, 5, 6, nano)
    post(calls.answered(line, tokens=tokens, costs=costs, region="DE", price_basis="verified", service_tier="flex"))
    row = UsageEvent.objects.get()
    assert row.extras == {
        "cache_write_1h": [7, 70],
        "input_audio": [20, 200],
        "output_audio": [5, 50],
        "tool:web_search": [2, 10_000],
        "claim:cached_input": [9, 0],
    }
    assert (row.extras_cost_nano, row.cost_nano, tokens.total) == (10_320, 10_341, 189)
    assert (row.region, row.price_basis, row.service_tier) == ("DE", "verified", "flex")
    assert usage_rows.tokens_of(row) == tokens
    rollup = Rollup15m.objects.get()
    assert (rollup.input_tokens, rollup.cache_write_tokens, rollup.output_tokens) == (120, 10, 45)
    assert (rollup.cached_input_tokens, rollup.reasoning_tokens, rollup.cost_nano) == (10, 4, 10_341)
    before = books.sums(Rollup15m)
    assert rollups.rebuild(organisation=acme, start=row.at, end=clock.now()) == 1
    assert books.sums(Rollup15m) == before
    assert verifier.verify() == []


def test_a_row_whose_rare_components_do_not_add_up_is_found(line: calls.Line) -> None:
    tokens, costs = Tokens(10, extras={"input_audio": 2}), Costs(1, extras={"input_audio": 2})
    record = calls.answered(line, tokens=tokens, costs=costs)
    post(record)
    values = dict(zip(usage_rows.COLUMNS, usage_rows.values_of(record, transaction_id=None), strict=True))
    wrong = {**values, "id": calls.new_id(), "extras_cost_nano": 1}
    bulk_insert.insert(UsageEvent, columns=tuple(wrong), rows=[tuple(wrong.values())])
    found = {finding.text for finding in verifier.verify() if finding.code == "components"}
    assert found == {f"usage {wrong['id']} is not the sum of its components"}


@pytest.mark.parametrize(
    "spoiled",
    [["input_audio"], "input_audio", 7, {"input_audio": -1}, {"input_audio": 2**53 + 1}, {"input_audio": 1.5}],
)
@pytest.mark.parametrize("part", ["tokens", "costs"])
def test_rare_buckets_that_are_no_object_of_whole_numbers_are_refused(
    line: calls.Line, part: str, spoiled: object
) -> None:
    fields = orjson.loads(calls.answered(line, Tokens(1, extras={"input_audio": 1})).encode())
    usage_rows.read_record(orjson.dumps(fields))
    fields[part]["extras"] = spoiled
    with pytest.raises(usage_rows.Unpostable, match=r"extras|input_audio"):
        usage_rows.read_record(orjson.dumps(fields))
