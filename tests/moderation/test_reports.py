"""Reports: what they must say, which case they come to, and that a person closes each with a reason."""

import hashlib
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.db.models import ProtectedError

from accounts.models import APIKey, AuditEvent, Organisation, User
from billing.models import UsageEvent
from channels.models import Channel, Model
from moderation.errors import IllegalMove, NotPermitted
from moderation.models import Appeal, Case, CaseEvent, Decision, Report, Reporter, SlaClock
from moderation.services import cases, report_texts, reporters, reports
from newapi.kernel import clock, ids
from tests import cast
from tests.admin import house as houses
from tests.moderation import desk

pytestmark = pytest.mark.django_db
TEXT = "They sell answers of this model under another name, day and night."
Submit = Callable[..., Report]


def submit(**changed: Any) -> Report:
    """A report by the web form that says enough."""
    values: dict[str, Any] = {"channel": "web", "description": TEXT, "model_name": "mock-gpt"}
    report, token = reports.submit(**{**values, **changed})
    assert reports.by_token(token) == report
    return report


def decided(case: Case, actor: User) -> Decision:
    """A case with a decision that counts, put there as moderation.services.decisions leaves it."""
    Case.objects.filter(pk=case.pk).update(state=Case.State.DECIDED, version=case.version + 1)
    case.refresh_from_db()
    return Decision.objects.create(
        reference=f"D-{case.pk}",
        case=case,
        state=Decision.State.ISSUED,
        finding=Decision.Finding.VIOLATION,
        category=case.category,
        level=case.level,
        facts="Keys were sold.",
        proposed_by=actor,
        decided_by=actor,
        issued_at=clock.now(),
    )


def appealed(case: Case, actor: User) -> Decision:
    """A case against whose decision there is an appeal, and which a lead has opened anew."""
    decision = decided(case, actor)
    Appeal.objects.create(
        reference=f"A-{case.pk}", decision=decision, via="link", grounds="We did not.", deadline_at=clock.now()
    )
    Case.objects.filter(pk=case.pk).update(state=Case.State.IN_REVIEW)
    return decision


@pytest.fixture
def call(acme: Organisation, ben: User, chat_model: Model, mock_channel: Channel) -> UsageEvent:
    """A call that Ben's bot made."""
    key = cast.api_key(acme, ben, "Ben's bot").api_key
    return houses.usage(key, chat_model, mock_channel, chat_model.prices.get())


@pytest.mark.req("MOD-08")
@pytest.mark.parametrize("said", [{"task_id": "req-1"}, {"model_name": "mock-gpt"}, {"happened_at": "now"}])
def test_one_of_task_model_and_moment_is_enough_and_nobody_has_to_give_a_name(said: dict[str, Any]) -> None:
    if "happened_at" in said:
        said = {"happened_at": clock.now()}
    report = submit(**{"model_name": "", **said})
    assert (report.reporter, report.case.source, report.outcome) == (None, "report", "open")
    assert report.reference == f"R-{clock.now().year}-{report.pk:06d}"


@pytest.mark.req("MOD-08")
@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"model_name": ""}, "task_id"),
        ({"description": ""}, "description"),
        ({"description": " short "}, "description"),
        ({"description": "x" * 10_001}, "description"),
        ({"task_id": "ada@example.com"}, "task_id"),
        ({"task_id": "x" * 101}, "task_id"),
        ({"model_name": "x" * 151}, "model_name"),
        ({"url": "x" * 2001}, "url"),
        ({"accused": "x" * 201}, "accused"),
        ({"email": "canary-no-address"}, "email"),
        ({"email": f"{'x' * 250}@example.com"}, "email"),
        ({"language": "not a language"}, "language"),
        ({"channel": "pigeon"}, "channel"),
        ({"happened_at": "later"}, "happened_at"),
        ({"happened_at": datetime.min.replace(tzinfo=timezone(timedelta(hours=14)))}, "happened_at"),
    ],
)
def test_what_says_too_little_or_too_much_is_told_by_field_and_changes_nothing(
    changed: dict[str, Any], field: str
) -> None:
    if changed.get("happened_at") == "later":
        changed = {"happened_at": clock.now() + timedelta(hours=1)}
    with pytest.raises(ValidationError) as refused:
        submit(**changed)
    assert list(refused.value.message_dict) == [field]
    assert "canary" not in str(refused.value)
    assert not Report.objects.exists()
    assert not Case.objects.exists()
    assert not Reporter.objects.exists()


@pytest.mark.req("MOD-08")
def test_the_description_rests_sealed_with_its_hash_beside_it() -> None:
    report = submit(description=f"  {TEXT}\x00\r\nTwice. ")
    row = Report.objects.values().get(pk=report.pk)
    assert not any("day and night" in str(value) for value in row.values())
    assert report_texts.of(report) == f"{TEXT}\nTwice."
    assert bytes(row["description_digest"]) == hashlib.sha256(report_texts.of(report).encode()).digest()


def test_the_token_rests_nowhere_and_another_opens_nothing() -> None:
    report, token = reports.submit(channel="api", description=TEXT, task_id="req-1")
    assert not any(token in str(value) for value in Report.objects.values().get(pk=report.pk).values())
    assert [reports.by_token(other) for other in ("", token[:-1], report.reference)] == [None, None, None]


@pytest.mark.req("MOD-08")
def test_a_task_id_of_ours_tells_whom_it_is_about(call: UsageEvent, acme: Organisation, ben: User) -> None:
    report = submit(task_id=str(call.pk))
    case = report.case
    assert (report.organisation, case.organisation) == (acme, acme)
    assert (case.user, case.api_key, case.project) == (ben, call.api_key, call.project)
    assert case.acted_at == call.at


def test_an_unknown_task_id_opens_a_case_about_nobody() -> None:
    report = submit(task_id=str(ids.uuid7()))
    assert (report.organisation, report.case.organisation, report.case.user) == (None, None, None)


@pytest.mark.req("MOD-38")
def test_what_the_reporter_chose_stays_in_the_report() -> None:
    report = submit(category=desk.category("DC-PHISH"))
    assert (report.category.code, report.case.category.code, report.case.level) == ("DC-PHISH", "DC-PHISH", "L2")
    unsure = submit(model_name="another")
    assert (unsure.category, unsure.case.category.code) == (None, "PA-OTHER")


def test_a_retired_category_is_no_choice() -> None:
    category = desk.category("DC-SPAM")
    type(category).objects.filter(pk=category.pk).update(is_retired=True)
    category.refresh_from_db()
    with pytest.raises(ValidationError, match="in force"):
        submit(category=category)


def test_reports_of_one_organisation_and_category_share_a_case(acme: Organisation, globex: Organisation) -> None:
    spam, phish = desk.category("DC-SPAM"), desk.category("DC-PHISH")
    first = submit(organisation=acme, category=spam)
    assert submit(organisation=acme, category=spam).case == first.case
    assert submit(organisation=acme, category=phish).case != first.case
    assert submit(organisation=globex, category=spam).case != first.case
    told = [event.after for event in desk.told(first.case, CaseEvent.Kind.REPORT)]
    assert told == [report.reference for report in first.case.reports.order_by("pk")]


def test_reports_about_nobody_known_share_a_case_only_when_something_ties_them() -> None:
    one = submit(task_id="req-1")
    assert submit(task_id="req-1").case == one.case
    assert submit(task_id="req-2").case != one.case
    other = "They sell answers of that model as well, every night."
    assert submit().case != submit(description=other).case
    published = submit(url="https://example.com/post/1")
    assert submit(url="https://example.com/post/1").case == published.case


@pytest.mark.edge(35)
def test_the_same_words_from_many_addresses_are_one_case_and_about_somebody_else_another() -> None:
    for number in range(5):
        submit(email=f"bot-{number}@example.com", accused="Globex")
    assert Case.objects.count() == 1
    submit(accused="Acme")
    submit(accused="Globex", model_name="mock-other")
    assert Case.objects.count() == 3


@pytest.mark.edge(12)
def test_an_older_report_that_joins_lets_the_clocks_count_from_its_receipt(acme: Organisation, ira: User) -> None:
    spam = desk.category("DC-SPAM")
    case = submit(organisation=acme, category=spam).case
    due = desk.clock_of(case, SlaClock.Kind.RESOLUTION).due_at
    earlier = clock.now() - timedelta(days=3)
    entry = {"channel": "mail", "received_at": earlier, "actor": ira, "reason": "Came by mail"}
    older = submit(organisation=acme, category=spam, **entry)
    case.refresh_from_db()
    assert (older.case, case.received_at) == (case, earlier)
    counted = desk.clock_of(case, SlaClock.Kind.RESOLUTION)
    assert counted.started_at == earlier
    assert counted.due_at < due
    newer = submit(organisation=acme, category=spam)
    case.refresh_from_db()
    assert (newer.case, case.received_at) == (case, earlier)


def test_a_report_that_joins_lowers_no_level_and_throws_no_reviewer_out(acme: Organisation, rex: User) -> None:
    case = desk.in_review(acme, rex, "DC-SPAM", level="L1")
    version = case.version
    submit(organisation=acme, category=desk.category("DC-SPAM"))
    case.refresh_from_db()
    assert (case.level, case.version, case.reports.count()) == ("L1", version, 1)
    cases.set_level(case=case, level="L2", actor=desk.worker("lia", "lead"), reason="Seen again")


@pytest.mark.edge(13)
def test_a_report_that_arrives_during_an_appeal_opens_a_case_that_follows(acme: Organisation, rex: User) -> None:
    spam = desk.category("DC-SPAM")
    case = desk.in_review(acme, rex, "DC-SPAM")
    appealed(case, rex)
    later = submit(organisation=acme, category=spam).case
    assert later != case
    assert later.follows == case
    assert case.reports.count() == 0
    # And the next joins that one.
    assert submit(organisation=acme, category=spam).case == later


def test_a_report_never_joins_a_decided_case(acme: Organisation, rex: User) -> None:
    case = desk.in_review(acme, rex, "DC-SPAM")
    decided(case, rex)
    later = submit(organisation=acme, category=desk.category("DC-SPAM")).case
    assert (later != case, later.follows) == (True, case)


@pytest.mark.edge(35)
def test_mass_reports_by_one_account_are_one_case(ben: User, acme: Organisation) -> None:
    for number in range(5):
        submit(user=ben, model_name=f"model-{number}")
        submit(email="mallory@example.com", model_name=f"model-{number}", accused="Globex")
    by_case = {case.reports.count() for case in Case.objects.all()}
    assert (Case.objects.count(), by_case, Reporter.objects.count()) == (2, {5}, 2)


@pytest.mark.edge(35)
def test_a_measured_reporter_opens_one_mild_case_for_everything_and_raises_no_level(
    acme: Organisation, globex: Organisation, lea: User
) -> None:
    lea = desk.allowed(lea, "view_reporter")
    mass = {"email": "mallory@example.com"}
    first = submit(**mass, category=desk.category("DC-PHISH"), organisation=acme)
    until = clock.now() + timedelta(days=30)
    reporters.measure(reporter=first.reporter, until=until, reason="Floods us", actor=lea)
    joined = submit(**mass, category=desk.category("DC-PHISH"), organisation=acme)
    assert joined.case == first.case
    collected = [
        submit(**mass, category=desk.category(code), organisation=where)
        for code, where in (("DC-PHISH", globex), ("WP-WMD", acme), ("DC-SPAM", None))
    ]
    [case] = {report.case for report in collected}
    assert (case.level, case.category.code, case.organisation) == ("L4", "PA-OTHER", None)
    assert [report.category.code for report in collected] == ["DC-PHISH", "WP-WMD", "DC-SPAM"]
    with clock.at(until):
        assert submit(**mass, category=desk.category("WP-WMD"), organisation=globex).case.level == "L1"


def test_what_a_measured_reporter_says_of_children_still_goes_to_those_who_may_read_it(lea: User) -> None:
    first = submit(email="mallory@example.com")
    desk.allowed(lea, "view_reporter")
    words = {"reason": "Floods us", "actor": lea}
    reporters.measure(reporter=first.reporter, until=clock.now() + timedelta(days=1), **words)
    grave = [submit(email="mallory@example.com", category=desk.category("CS-CSAM")) for _ in range(3)]
    [case] = {report.case for report in grave}
    assert (case.category.code, case.level) == ("CS-CSAM", "L1")


@pytest.mark.parametrize(
    ("days", "role", "rights"),
    [(30, "reviewer", ()), (30, "auditor", ("view_reporter",)), (0, "lead", ("view_reporter",)),
     (367, "lead", ("view_reporter",)), (None, "lead", ("view_reporter",))],
)  # fmt: skip
def test_a_measure_needs_the_right_person_a_reason_and_an_end(
    days: int | None, role: str, rights: tuple[str, ...]
) -> None:
    reporter = submit(email="mallory@example.com").reporter
    actor = desk.allowed(desk.worker("wanda", role), *rights)
    until = None if days is None else clock.now() + timedelta(days=days)
    with pytest.raises(ValidationError):
        reporters.measure(reporter=reporter, until=until, reason="Floods us", actor=actor)
    with pytest.raises(ValidationError):
        reporters.measure(reporter=reporter, until=clock.now() + timedelta(days=1), reason=" ", actor=actor)
    with pytest.raises(NotPermitted):
        reporters.measure(reporter=reporter, until=clock.now() + timedelta(days=1), reason="Job", actor=None)
    reporter.refresh_from_db()
    assert reporter.measured_until is None


def test_nobody_ends_their_own_measure_under_another_login(ben: User, lea: User) -> None:
    reporter = submit(user=ben).reporter
    lea, roy = (desk.allowed(one, "view_reporter") for one in (lea, desk.worker("roz", "lead")))
    reporters.measure(reporter=reporter, until=clock.now() + timedelta(days=30), reason="Floods us", actor=roy)
    desk.same_person(lea, ben)
    with pytest.raises(NotPermitted):
        reporters.measure(reporter=reporter, until=None, reason="Enough", actor=lea)
    reporters.measure(reporter=reporter, until=None, reason="Enough", actor=roy)
    assert not reporters.is_measured(reporter)


def test_misuse_is_counted_within_its_time(rex: User) -> None:
    for number in range(4):
        report = submit(email="mallory@example.com", model_name=f"m-{number}")
        outcome = "unfounded" if number else "no_violation"
        reports.close(report=report, outcome=outcome, reason="Made up from nothing", actor=rex)
    record = reporters.record_of(report.reporter)
    assert (record.reports, record.closed, record.unfounded, record.no_violation) == (4, 4, 3, 1)
    assert record.is_suspicious
    with clock.shifted(reporters.MISUSE_WINDOW.total_seconds() + 60):
        assert reporters.record_of(report.reporter).reports == 0


@pytest.mark.req("MOD-10")
@pytest.mark.parametrize("outcome", ["action", "no_violation", "unfounded"])
def test_a_report_is_closed_by_a_person_with_a_reason(rex: User, outcome: str) -> None:
    report = submit()
    with pytest.raises(ValidationError, match="reason"):
        reports.close(report=report, outcome=outcome, reason="  ", actor=rex)
    reports.close(report=report, outcome=outcome, reason="Looked at the logs", actor=rex)
    report.refresh_from_db()
    assert (report.outcome, report.outcome_by, report.outcome_reason) == (outcome, rex, "Looked at the logs")
    assert desk.told(report.case, CaseEvent.Kind.REPORT)[-1].actor == rex
    [row] = AuditEvent.objects.filter(action="report.close")
    assert (row.actor, row.reason) == (rex, "Looked at the logs")
    with pytest.raises(IllegalMove):
        reports.close(report=report, outcome="action", reason="Once more", actor=rex)


@pytest.mark.req("MOD-11")
def test_no_job_closes_a_report(rex: User) -> None:
    report = submit()
    for closes in (
        lambda: reports.close(report=report, outcome="no_violation", reason="Too many", actor=None),
        lambda: reports.close_for(case=report.case, finding="no_violation", reason="Too many", actor=None),
    ):
        with pytest.raises(NotPermitted):
            closes()
    report.refresh_from_db()
    assert report.outcome == "open"


@pytest.mark.parametrize("outcome", ["open", "", "ACTION", "gone"])
def test_an_outcome_that_does_not_exist_is_none(rex: User, outcome: str) -> None:
    with pytest.raises(ValidationError):
        reports.close(report=submit(), outcome=outcome, reason="Looked at the logs", actor=rex)


def test_a_decision_closes_what_is_open_in_its_case_and_nothing_else(acme: Organisation, rex: User) -> None:
    spam = desk.category("DC-SPAM")
    done, first, second = (submit(organisation=acme, category=spam) for _ in range(3))
    elsewhere = submit()
    reports.close(report=done, outcome="unfounded", reason="Made up", actor=rex)
    count = reports.close_for(case=first.case, finding="violation", actor=rex, reason="Decided on the facts")
    outcomes = list(Report.objects.order_by("pk").values_list("outcome", flat=True))
    assert (count, outcomes) == (2, ["unfounded", "action", "action", "open"])
    assert elsewhere.outcome == "open"
    assert reports.close_for(case=first.case, finding="violation", actor=rex, reason="Again") == 0
    reports.close_for(case=elsewhere.case, finding="no_violation", actor=rex, reason="Nothing there")
    elsewhere.refresh_from_db()
    assert elsewhere.outcome == "no_violation"
    second.refresh_from_db()
    assert second.outcome_by == rex


@pytest.mark.edge(33)
def test_who_reported_works_on_nothing_of_it_under_no_login(acme: Organisation, rex: User, roy: User) -> None:
    report = submit(user=rex, organisation=acme)
    with pytest.raises(NotPermitted, match="You reported it"):
        reports.close(report=report, outcome="action", reason="My own case", actor=rex)
    reports.close(report=report, outcome="action", reason="Not mine", actor=roy)


@pytest.mark.edge(33)
def test_a_report_about_oneself_or_ones_organisation_is_taken_like_any_other(
    call: UsageEvent, acme: Organisation, ben: User, ada: User
) -> None:
    own = submit(task_id=str(call.pk), user=ben)
    assert (own.case.user, own.case.organisation, own.reporter.user) == (ben, acme, ben)
    colleague = submit(task_id=str(call.pk), user=ada)
    assert colleague.case == own.case
    for event in own.case.events.all():
        assert "ada" not in f"{event.before}{event.after}{event.reason}".lower()


@pytest.mark.edge(34)
def test_an_address_quoted_in_a_description_is_hidden_from_readers_and_refused_in_what_others_are_told(
    acme: Organisation, ben: User
) -> None:
    type(ben).objects.filter(pk=ben.pk).update(name="Ben Quinn")
    ben.refresh_from_db()
    quoted = "I am Ben Quinn. Write to ben@home.example, or Quinn at ANNA@office.example! Benches are fine."
    report = submit(user=ben, email="ben@home.example", description=quoted, organisation=acme)
    read = report_texts.masked(report)
    assert "@" not in read
    assert "Quinn" not in read
    assert "Benches are fine." in read
    assert report_texts.of(report) == quoted
    for text in ("As ben@home.example says", "ben@example.com told us", "one BEN QUINN wrote"):
        assert reports.names_a_reporter(case=report.case, text=text)
    assert not reports.names_a_reporter(case=report.case, text="A bench, told by somebody at home.example")
    assert not reports.names_a_reporter(case=submit().case, text="ben@home.example")


def test_mail_is_typed_in_by_those_who_may_open_cases_and_is_on_record(
    acme: Organisation, ira: User, rex: User, ben: User
) -> None:
    came = clock.now() - timedelta(hours=5)
    mail = {"channel": "mail", "received_at": came, "email": "mallory@example.com", "organisation": acme}
    for nobody in (rex, ben):
        with pytest.raises(NotPermitted):
            submit(**mail, actor=nobody, reason="Came by mail")
    with pytest.raises(ValidationError, match="reason"):
        submit(**mail, actor=ira)
    assert not Report.objects.exists()
    report = submit(**mail, actor=ira, reason="Came by mail")
    assert (report.received_at, report.case.received_at) == (came, came)
    [row] = AuditEvent.objects.filter(action="report.enter")
    assert (row.actor, row.reason, "mallory" in str(row.__dict__)) == (ira, "Came by mail", False)
    # Whoever types it in has not yet responded to it.
    assert desk.clock_of(report.case, SlaClock.Kind.RESPONSE).stopped_at is None


def test_an_address_that_is_typed_is_never_taken_for_the_login_that_has_it(ben: User) -> None:
    typed, logged_in = submit(email="BEN@example.com"), submit(user=ben)
    assert typed.reporter != logged_in.reporter
    assert (typed.reporter.user, reporters.address_of(typed.reporter)) == (None, "ben@example.com")
    assert reporters.address_of(logged_in.reporter) == "ben@example.com"
    assert submit(user=ben, email="ben@home.example").reporter == logged_in.reporter
    logged_in.reporter.refresh_from_db()
    assert reporters.address_of(logged_in.reporter) == "ben@home.example"


@pytest.mark.req("MOD-13")
def test_where_a_case_comes_from_is_told_apart(acme: Organisation, lea: User) -> None:
    desk.case_of(acme)
    desk.case_of(acme, actor=lea)
    submit()
    counted = {source: Case.objects.filter(source=source).count() for source in Case.Source.values}
    assert counted == {"automated": 1, "staff": 1, "report": 1}


@pytest.mark.edge(44)
def test_a_person_who_leaves_stays_named_in_what_is_open(call: UsageEvent, ben: User, acme: Organisation) -> None:

    report = submit(task_id=str(call.pk), user=ben)
    with pytest.raises(ProtectedError):
        ben.delete()
    ben.memberships.update(is_active=False)
    type(ben).objects.filter(pk=ben.pk).update(is_active=False)
    APIKey.objects.filter(user=ben).update(revoked_at=clock.now())
    case = Case.objects.get(pk=report.case_id)
    assert (case.user, case.organisation, case.is_open, case.api_key.user) == (ben, acme, True, ben)
    assert Report.objects.get(pk=report.pk).reporter.user == ben
