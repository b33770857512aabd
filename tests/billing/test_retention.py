"""Usage that is past its time: gone by whole months, with its sums kept, and the books still add up to the nano."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import pytest
from django.core.exceptions import ValidationError
from django.db import IntegrityError, connection, transaction
from django.db.models import F
from django.test import Client
from django.urls import reverse

from accounts.models import AuditEvent, LegalHold, LogClass, Notice, Organisation, RetentionRule, User
from accounts.models.retention import seed
from accounts.services import retention
from accounts.tasks import purge_expired
from billing import partitioning
from billing.errors import BillingRefusal
from billing.models import (
    Rollup15m,
    RollupDay,
    RollupMonth,
    UsageEvent,
    UsagePurge,
)
from billing.pricing import Costs
from billing.services import booking, partitions, posting, rollups, verifier
from channels.models import Model
from newapi.kernel import clock
from tests.billing import books, calls, crashes
from tests.billing.threads import together

pytestmark = pytest.mark.django_db

JANUARY, FEBRUARY, MARCH = (datetime(2024, month, 1, tzinfo=UTC) for month in (1, 2, 3))
DAYS = 760
# The first moment at which all of a month is more than so many days old.
JANUARY_GOES = FEBRUARY + timedelta(days=DAYS)
FEBRUARY_GOES = MARCH + timedelta(days=DAYS)
IS_POSTGRESQL = connection.vendor == "postgresql"
REASON = "Because the test says so"


@pytest.fixture(autouse=True)
def rules(db: None) -> None:
    """As the migration made them, also after a transactional test has emptied the tables."""
    seed(RetentionRule)


@pytest.fixture
def line(acme: Organisation, chat_model: Model) -> calls.Line:
    """A key of Acme's."""
    calls.warm(acme)
    return calls.line(acme, chat_model)


@pytest.fixture
def other(globex: Organisation, chat_model: Model) -> calls.Line:
    """A key of Globex's."""
    calls.warm(globex)
    return calls.line(globex, chat_model)


def prepare(*months: datetime) -> None:
    for month in months:
        with clock.at(month):
            partitions.prepare()


def use(line: calls.Line, moment: datetime, count: int = 3, **fields: object) -> None:
    """Calls at a moment, posted and summed up."""
    with clock.at(moment):
        calls.serve(calls.answered(line, **fields) for _ in range(count))
        posting.post()
        sum_up()


def sum_up() -> None:
    while rollups.roll_up():
        pass


def book(*records: object) -> None:
    """Past the till, in one go."""
    booking.book(records)
    sum_up()


def at(line: calls.Line, moment: datetime, **fields: object) -> object:
    """A call whose id and time are of a moment."""
    ms = clock.to_ms(moment)
    return calls.answered(line, **{"id": calls.new_id(ms), "at_ms": ms, **fields})


def months() -> list[str]:
    """The months of which rows are there."""
    return sorted({f"{clock.from_ms(key.int >> 80):%Y-%m}" for key in UsageEvent.objects.values_list("pk", flat=True)})


def run(moment: datetime = FEBRUARY_GOES) -> int:
    """The job, as it runs then."""
    with clock.at(moment):
        return purge_expired()


def book_findings() -> list[object]:
    """What the verifier says of the books."""
    return [finding for finding in verifier.verify() if not finding.code.startswith("till")]


@pytest.mark.req("GW-15")
def test_a_month_goes_when_all_of_it_is_past_its_time_and_the_run_is_on_record(line: calls.Line) -> None:
    prepare(JANUARY)
    use(line, JANUARY + timedelta(days=14))
    use(line, FEBRUARY + timedelta(days=9), count=2)
    sums = {level: books.sums(level) for level in (Rollup15m, RollupDay, RollupMonth)}
    audited = AuditEvent.objects.count()

    assert run(JANUARY_GOES - timedelta(minutes=1)) == 0
    assert AuditEvent.objects.count() == audited
    assert months() == ["2024-01", "2024-02"]

    assert run(JANUARY_GOES) == 3
    assert months() == ["2024-02"]
    event = AuditEvent.objects.get(action="retention.purge")
    assert event.actor is None
    assert event.changes.pop("before")[1].startswith(JANUARY.strftime("2024-02-01T00:00"))
    assert event.changes == {"rows": [3, 0], "2024-01": [3, 0]}
    stone = UsagePurge.objects.get()
    assert (stone.month, stone.organisation, stone.currency, stone.rows) == (JANUARY, line.organisation, "USD", 3)
    assert stone.cost_nano == 3 * calls.answered(line).costs.total
    assert sums == {level: books.sums(level) for level in sums}
    assert verifier.verify() == []

    assert run(JANUARY_GOES) == 0
    assert AuditEvent.objects.filter(action="retention.purge").count() == 1
    rule = RetentionRule.objects.get(log_class="access")
    assert (rule.last_purged_rows, rule.last_left) == (3, "")


@pytest.mark.req("GW-15")
def test_one_run_takes_one_month_oldest_first(line: calls.Line) -> None:
    use(line, FEBRUARY + timedelta(days=3), count=2)
    use(line, JANUARY + timedelta(days=3), count=1)
    assert [run(), months()] == [1, ["2024-02"]]
    assert [run(), months()] == [2, []]
    assert run() == 0
    assert verifier.verify() == []


@pytest.mark.req("GW-15")
def test_the_database_goes_on_refusing_to_delete_usage_and_tombstones(line: calls.Line) -> None:
    use(line, JANUARY)
    use(line, FEBRUARY)
    assert run(JANUARY_GOES) == 3
    for rows in (UsageEvent.objects.all(), UsagePurge.objects.all()):
        for statement in (lambda rows=rows: rows.update(cost_nano=0), lambda rows=rows: rows._raw_delete("default")):
            with pytest.raises(IntegrityError, match="never changed or deleted"), transaction.atomic():
                statement()
    assert (UsageEvent.objects.count(), UsagePurge.objects.get().rows) == (3, 3)


@pytest.mark.req("GW-15")
def test_a_month_with_a_held_organisation_stays_whole_until_the_hold_is_lifted(
    line: calls.Line, other: calls.Line, root: User
) -> None:
    use(line, JANUARY + timedelta(days=3))
    use(other, JANUARY + timedelta(days=4))
    use(other, FEBRUARY + timedelta(days=4))
    hold = retention.impose(organisation=line.organisation, log_class="access", actor=root, reason=REASON)

    assert run() == 3
    assert months() == ["2024-01"]
    assert UsageEvent.objects.count() == 6
    assert "2024-01: under legal hold: Acme" in RetentionRule.objects.get(log_class="access").last_left
    assert [run(), months()] == [0, ["2024-01"]]
    assert verifier.verify() == []

    assert retention.lift(hold=hold, actor=root, reason=REASON)
    assert [run(), months()] == [6, []]
    assert verifier.verify() == []


@pytest.mark.req("GW-15")
@pytest.mark.parametrize("log_class", ["", "access"])
def test_a_hold_on_everybody_keeps_all_usage_and_one_on_another_class_keeps_none(
    line: calls.Line, root: User, log_class: str
) -> None:
    use(line, JANUARY)
    retention.impose(organisation=line.organisation, log_class=LogClass.SECURITY, actor=root, reason=REASON)
    hold = retention.impose(organisation=None, log_class=log_class, actor=root, reason=REASON)
    assert run() == 0
    assert "hold on everybody" in RetentionRule.objects.get(log_class="access").last_left
    retention.lift(hold=hold, actor=root, reason=REASON)
    assert run() == 3


@pytest.mark.req("GW-15")
def test_a_month_that_does_not_add_up_is_left_and_reported_once(line: calls.Line) -> None:
    use(line, JANUARY + timedelta(days=3))
    use(line, FEBRUARY + timedelta(days=3))
    RollupDay.objects.filter(bucket__lt=FEBRUARY).update(cost_nano=F("cost_nano") + 1)
    assert [run(), months()] == [3, ["2024-01"]]
    assert run() == 0
    notice = Notice.objects.get(kind="retention.left")
    assert (notice.audience, notice.organisation) == ("operators", None)
    assert "2024-01" in notice.title
    assert f"organisation {line.organisation.pk}" in notice.body
    assert {finding.code for finding in verifier.verify()} == {"rollup_day"}

    RollupDay.objects.filter(bucket__lt=FEBRUARY).update(cost_nano=F("cost_nano") - 1)
    assert [run(), months()] == [3, []]
    assert verifier.verify() == []


@pytest.mark.req("GW-15")
def test_a_month_that_waits_to_be_summed_up_goes_once_it_is(line: calls.Line) -> None:
    booking.book([at(line, JANUARY + timedelta(days=3))])
    assert run() == 0
    assert "2024-01: some of it is not summed up" in RetentionRule.objects.get(log_class="access").last_left
    assert not Notice.objects.filter(kind="retention.left").exists()
    sum_up()
    assert run() == 1


def test_a_row_whose_time_is_not_that_of_its_id_keeps_its_month(line: calls.Line) -> None:
    book(at(line, JANUARY + timedelta(days=3), at_ms=clock.to_ms(MARCH)))
    assert run(MARCH + timedelta(days=DAYS + 40)) == 0
    assert "not the time in their ids" in Notice.objects.get(kind="retention.left").body


@pytest.mark.req("GW-15")
def test_calls_around_the_turn_of_a_month_are_counted_where_the_sums_have_them(line: calls.Line) -> None:
    turn = clock.to_ms(FEBRUARY)
    book(
        at(line, JANUARY),
        at(line, FEBRUARY, id=calls.new_id(turn - 200), at_ms=turn + 100),
        at(line, FEBRUARY, id=calls.new_id(turn + 100), at_ms=turn - 200),
        at(line, FEBRUARY + timedelta(days=3)),
    )
    for rows in (2, 2):
        assert run() == rows
        assert book_findings() == []
    stones = UsagePurge.objects.order_by("pk").values_list("month", "rows")
    assert list(stones) == [(JANUARY, 1), (FEBRUARY, 1), (JANUARY, 1), (FEBRUARY, 1)]


def test_rows_of_test_keys_go_as_well_and_are_in_no_sum(line: calls.Line) -> None:
    free = Costs()
    book(at(line, JANUARY), *(at(line, JANUARY, is_test=True, costs=free) for _ in range(2)))
    assert run() == 3
    assert UsagePurge.objects.values_list("rows", "test_rows").get() == (3, 2)
    assert book_findings() == []


def test_a_transaction_that_booked_rows_of_two_months_may_lose_those_of_one(line: calls.Line) -> None:
    with clock.at(FEBRUARY + timedelta(hours=1)):
        book(at(line, JANUARY + timedelta(days=30)), at(line, FEBRUARY))
    with clock.at(MARCH):
        book(at(line, MARCH))
    assert UsageEvent.objects.values("transaction").distinct().count() == 2
    assert run(JANUARY_GOES) == 1
    assert book_findings() == []


@pytest.mark.req("GW-15")
def test_rows_that_vanish_without_a_purge_are_still_found_after_one(line: calls.Line) -> None:
    use(line, JANUARY)
    use(line, FEBRUARY)
    use(line, MARCH)
    assert run(JANUARY_GOES) == 3
    partitioning.drop_month(connection, FEBRUARY)
    assert {finding.code for finding in verifier.verify()} == {"rows_quarters", "transaction"}


def test_usage_that_is_posted_late_goes_with_a_later_run(line: calls.Line) -> None:
    prepare(JANUARY)
    use(line, JANUARY)
    assert run() == 3
    use(line, JANUARY + timedelta(hours=2), count=1)
    assert [verifier.verify(), months()] == [[], ["2024-01"]]
    assert [run(), months()] == [1, []]
    assert [stone.rows for stone in UsagePurge.objects.order_by("pk")] == [3, 1]
    assert verifier.verify() == []


def test_sums_of_a_purged_month_are_not_rebuilt_from_nothing(line: calls.Line) -> None:
    use(line, JANUARY)
    before = books.sums(Rollup15m)
    assert run() == 3
    with pytest.raises(BillingRefusal, match="gone"):
        rollups.rebuild(organisation=line.organisation, start=JANUARY, end=JANUARY + timedelta(hours=1))
    assert books.sums(Rollup15m) == before
    use(line, JANUARY, count=1)
    before = books.sums(Rollup15m)
    with pytest.raises(BillingRefusal, match="gone"):
        rollups.rebuild(organisation=line.organisation, start=JANUARY, end=JANUARY + timedelta(hours=1))
    assert books.sums(Rollup15m) == before


def test_rows_that_lie_in_no_partition_of_their_own_go_too(line: calls.Line) -> None:
    """PostgreSQL: the job that makes partitions did not run, and they lie in the default one, with others that stay."""
    use(line, JANUARY)
    use(line, FEBRUARY)
    before = partitioning.partitions(connection)
    assert partitioning.name_of(JANUARY) not in before
    assert [run(JANUARY_GOES), months()] == [3, ["2024-02"]]
    assert partitioning.partitions(connection) == before
    assert verifier.verify() == []


def test_pages_of_a_purged_call_say_that_it_is_not_there(line: calls.Line, ada: User, root: User) -> None:
    use(line, JANUARY, count=1)
    call = UsageEvent.objects.get()
    member, boss = Client(), Client()
    member.force_login(ada)
    boss.force_login(root)
    page = reverse("portal:call", args=[line.organisation.slug, call.pk])
    record = reverse("admin:billing_usageevent_change", args=[call.pk])
    assert [member.get(page).status_code, boss.get(record).status_code] == [200, 200]
    assert run() == 1
    assert member.get(page).status_code == 404
    gone = boss.get(record, follow=True)
    assert "exist" in gone.content.decode()


@pytest.fixture
def own_partitions() -> Iterator[None]:
    """Partitions outlive a transactional test unless they are dropped."""
    before = partitioning.partitions(connection)
    yield
    for name in partitioning.partitions(connection) - before:
        with connection.cursor() as cursor:
            cursor.execute(f'DROP TABLE "{name}"')


@pytest.mark.req("GW-15")
@pytest.mark.django_db(transaction=True)
def test_a_purge_that_is_killed_at_any_step_leaves_everything_or_has_done_everything(
    own_partitions: None, line: calls.Line
) -> None:
    prepare(JANUARY)
    use(line, JANUARY)
    steps = purges = 0
    for steps in crashes.at_every_step(lambda step: run()):
        stones = sum(stone.rows for stone in UsagePurge.objects.all())
        rows = sum(event.changes["rows"][0] for event in AuditEvent.objects.filter(action="retention.purge"))
        assert UsageEvent.objects.count() + stones == 3 * (purges + 1), f"after a kill at step {steps}"
        assert stones == rows
        assert book_findings() == [], f"after a kill at step {steps}"
        with pytest.raises(IntegrityError), transaction.atomic():
            AuditEvent.objects.update(reason="x")
        if not UsageEvent.objects.exists():
            purges += 1
            use(line, JANUARY)
    assert steps > 20
    assert (UsageEvent.objects.exists(), purges > 0) == (False, True)
    assert verifier.verify() == []


@pytest.mark.django_db(transaction=True)
def test_two_runs_at_once_purge_each_month_once(own_partitions: None, line: calls.Line) -> None:
    prepare(JANUARY)
    use(line, JANUARY)
    with clock.at(JANUARY_GOES):
        assert sorted(together(purge_expired, purge_expired)) == [0, 3]
    assert UsagePurge.objects.get().rows == 3
    assert verifier.verify() == []


def impatiently(work: Callable[[], object]) -> object:
    """What it returns or raises beside a writer that is in the way; SQLite would wait for it for 20 seconds."""

    def hurry() -> object:
        if not IS_POSTGRESQL:
            with connection.cursor() as cursor:
                cursor.execute("PRAGMA busy_timeout = 50")
        return work()

    [result] = together(hurry)
    return result


@pytest.mark.django_db(transaction=True)
def test_a_run_that_somebody_is_in_the_way_of_leaves_all_to_the_next(own_partitions: None, line: calls.Line) -> None:
    prepare(JANUARY)
    use(line, JANUARY)
    with transaction.atomic():
        if IS_POSTGRESQL:
            with connection.cursor() as cursor:
                cursor.execute(f'LOCK TABLE "{partitioning.name_of(JANUARY)}" IN ROW EXCLUSIVE MODE')  # as posters do
        assert impatiently(run) == 0
    assert ("busy" in RetentionRule.objects.get(log_class="access").last_left) is IS_POSTGRESQL
    assert UsageEvent.objects.count() == 3
    assert run() == 3


@pytest.mark.req("GW-15")
@pytest.mark.django_db(transaction=True)
def test_a_hold_is_never_overtaken_by_a_purge_under_way(
    acme: Organisation, root: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever imposes one waits for the purge to end, or is told that nothing was imposed."""
    monkeypatch.setattr(retention, "WAIT_S_MAX", 1)

    def impose() -> LegalHold:
        return retention.impose(organisation=acme, log_class="", actor=root, reason=REASON)

    with transaction.atomic():
        list(RetentionRule.objects.select_for_update())  # as a run has its rule
        refused = impatiently(impose)
    assert isinstance(refused, ValidationError)
    assert "under way" in str(refused)
    assert not LegalHold.objects.exists()
    assert impose().pk
