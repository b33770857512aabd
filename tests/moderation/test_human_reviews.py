"""Human reviews: on record for good, one for each person and trace, and counted exactly."""

import uuid
from datetime import UTC, datetime, timedelta

import pytest
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction

from accounts.models import APIKey, AuditEvent, Membership, Organisation, Project, Role, User
from accounts.services import api_keys
from billing.models import UsageEvent
from channels.models import Model
from moderation.errors import NotPermitted
from moderation.models import HumanReview
from newapi import human_review_coverage as coverage
from newapi.human_review_coverage import Coverage, Month
from newapi.kernel import clock, ids
from tests import cast
from tests.moderation import answers
from tests.moderation.test_at_once import at_once

pytestmark = [pytest.mark.django_db, pytest.mark.req("GW-22")]

Outcome = UsageEvent.Outcome
NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
NOVEMBER = Month(2026, 11)


@pytest.fixture
def key(acme: Organisation, ben: User) -> APIKey:
    """A key of a clinic's project."""
    made = cast.api_key(acme, ben, "Clinic bot").api_key
    answers.restrict(made.project)
    return made


@pytest.fixture
def second(acme: Organisation, ben: User) -> APIKey:
    """A key of another project of Acme's, of lawyers."""
    project = answers.restrict(Project.objects.create(organisation=acme, name="Contracts"), "HD-LEGAL")
    return api_keys.create(project=project, user=ben, name="Lawyer bot", actor=ben, reason="Set-up").api_key


def test_a_review_says_who_looked_at_which_answer_being_what_and_what_was_found(
    key: APIKey, acme: Organisation, ada: User, ben: User
) -> None:
    trace = ids.uuid7()
    looked = clock.now() - timedelta(hours=1)
    answers.review(key, trace, ben, actor=ada, result="corrected", reviewed_at=looked, address="203.0.113.9")
    saved = HumanReview.objects.get()
    assert (saved.organisation, saved.project, saved.trace_id, saved.domain) == (acme, key.project, trace, "HD-MED")
    assert (saved.reviewer, saved.qualification, saved.result) == (ben, answers.PHYSICIAN, "corrected")
    assert saved.reviewed_at == looked < saved.created_at
    event = AuditEvent.objects.get(action="human_review.record")
    assert (event.actor, event.organisation, event.object_id, event.address) == (
        ada,
        acme,
        str(saved.pk),
        "203.0.113.9",
    )
    assert event.changes == {"result": [None, "corrected"], "reviewer": [None, "ben@example.com"]}


def test_nothing_of_a_call_but_its_ids_is_in_a_review() -> None:
    columns = {field.attname for field in HumanReview._meta.concrete_fields}
    about_the_review = {"id", "reviewer_id", "qualification", "result", "reviewed_at", "created_at"}
    assert columns - about_the_review == {"organisation_id", "project_id", "trace_id", "domain"}


def test_the_database_refuses_to_change_or_delete_a_review(key: APIKey, ben: User) -> None:
    answers.review(key, ids.uuid7(), ben)
    before = HumanReview.objects.values().get()
    for statement in (
        lambda: HumanReview.objects.update(result="rejected"),
        lambda: HumanReview.objects.all()._raw_delete("default"),
    ):
        with pytest.raises(IntegrityError, match="never changed or deleted"), transaction.atomic():
            statement()
    assert HumanReview.objects.values().get() == before


def test_a_person_reviews_a_trace_once_and_another_may_correct_it(key: APIKey, ada: User, ben: User) -> None:
    trace = ids.uuid7()
    answers.review(key, trace, ben)
    with pytest.raises(ValidationError, match="another person"):
        answers.review(key, trace, ben, result="rejected")
    assert AuditEvent.objects.filter(action="human_review.record").count() == 1
    answers.review(key, trace, ada, result="rejected")
    assert list(HumanReview.objects.order_by("pk").values_list("reviewer", "result")) == [
        (ben.pk, "accepted"),
        (ada.pk, "rejected"),
    ]
    with pytest.raises(IntegrityError), transaction.atomic():
        HumanReview.objects.create(
            organisation=key.organisation, project=key.project, trace_id=trace, reviewer=ada, reviewed_at=clock.now()
        )


@pytest.mark.django_db(transaction=True)
def test_a_review_sent_twice_at_the_same_moment_is_recorded_once(key: APIKey, ben: User) -> None:
    for _ in range(5):
        trace = ids.uuid7()
        outcomes = at_once(*[lambda trace=trace: answers.review(key, trace, ben)] * 4)
        assert sorted(type(outcome).__name__ for outcome in outcomes) == ["HumanReview", *["ValidationError"] * 3]
        assert HumanReview.objects.filter(trace_id=trace).count() == 1
    assert AuditEvent.objects.filter(action="human_review.record").count() == 5


def test_nobody_reviews_without_the_right_to_it(
    key: APIKey, acme: Organisation, ben: User, vera: User, gus: User, globex: Organisation, root: User
) -> None:
    bill, gone = cast.person("bill"), cast.person("gone")
    cast.member(acme, bill, Role.BILLING)
    Membership.objects.filter(pk=cast.member(acme, gone).pk).update(is_active=False)
    for wrong in (vera, bill, gone, gus, root):
        with pytest.raises(NotPermitted):
            answers.review(key, ids.uuid7(), wrong, actor=ben)
    assert not HumanReview.objects.exists()
    assert not AuditEvent.objects.filter(action="human_review.record").exists()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("qualification", "  "),
        ("qualification", "x" * 201),
        ("result", "fine"),
        ("domain", ""),
        ("domain", "SX-ADULT"),
        ("reviewed_at", NOON.replace(year=2999)),
    ],
)
def test_bad_input_is_named_and_changes_nothing(key: APIKey, ben: User, field: str, value: object) -> None:
    with pytest.raises(ValidationError) as refused:
        answers.review(key, ids.uuid7(), ben, **{field: value})
    assert list(refused.value.message_dict) == [field]
    assert not HumanReview.objects.exists()


def test_a_project_of_another_organisation_is_refused(key: APIKey, ben: User, globex: Organisation) -> None:
    with pytest.raises(ValidationError) as refused:
        answers.review(key, ids.uuid7(), ben, project_id=globex.projects.get().pk)
    assert "project" in refused.value.message_dict


def test_coverage_counts_what_was_answered_in_restricted_domains_by_project(
    key: APIKey, second: APIKey, chat_model: Model, ada: User, ben: User
) -> None:
    with clock.at(NOON):
        traces = [answers.given(key, chat_model, ago=timedelta(minutes=one)) for one in range(3)]
        contract = answers.given(second, chat_model, domain="HD-LEGAL")
        answers.given(key, chat_model, domain="")
        for outcome in (Outcome.UPSTREAM_ERROR, Outcome.CLIENT_LEFT, Outcome.LOST):
            answers.given(key, chat_model, outcome=outcome)
        answers.review(key, traces[0], ben)
        # Two reviews of one trace are one reviewed trace.
        answers.review(key, traces[0], ada)
        answers.review(second, contract, ben, domain="HD-LEGAL")
        rows = coverage.by_project(NOVEMBER.span, organisations=[key.organisation_id])
    assert {row.project.name: row.coverage for row in rows} == {"Main": Coverage(3, 1), "Contracts": Coverage(1, 1)}
    assert (coverage.total(rows), coverage.total(rows).waiting, coverage.total(rows).share) == (Coverage(4, 2), 2, 0.5)
    assert coverage.total([]).share is None


def test_a_call_counts_for_its_month_whenever_it_was_reviewed(key: APIKey, chat_model: Model, ben: User) -> None:
    start = datetime(2026, 11, 1, tzinfo=UTC)
    # The clock ticks on in the block, so the end of a month is met a minute early.
    for moment in (start - timedelta(minutes=1), start):
        with clock.at(moment):
            trace = answers.given(key, chat_model)
        with clock.at(NOON):
            answers.review(key, trace, ben)
    months = [NOVEMBER.before, NOVEMBER, NOVEMBER.after]
    found = [coverage.total(coverage.by_project(month.span, organisations=[key.organisation_id])) for month in months]
    assert found == [Coverage(1, 1), Coverage(1, 1), Coverage(0, 0)]
    assert [month.span.start_ms for month in months[1:]] == [month.span.end_ms for month in months[:2]]
    assert (Month(2026, 12).after, Month(2026, 1).before, str(Month(2026, 1))) == (
        Month(2027, 1),
        Month(2025, 12),
        "2026-01",
    )


def test_a_review_by_another_organisation_counts_for_nothing(
    key: APIKey, chat_model: Model, globex: Organisation, gus: User
) -> None:
    foreign = cast.api_key(globex, gus).api_key
    trace = answers.given(key, chat_model)
    answers.review(foreign, trace, gus)
    span = coverage.last_days(1)
    assert coverage.total(coverage.by_project(span, organisations=[key.organisation_id])) == Coverage(1, 0)
    assert coverage.by_project(span, organisations=[globex.pk]) == []


def test_the_sample_lists_unreviewed_traces_and_is_the_same_each_time(
    key: APIKey, chat_model: Model, ben: User, globex: Organisation, gus: User
) -> None:
    with clock.at(NOON):
        traces = [answers.given(key, chat_model, ago=timedelta(minutes=one)) for one in range(12)]
        answers.given(cast.api_key(globex, gus).api_key, chat_model)

        def drawn(size: int) -> list[uuid.UUID]:
            return [call.pk for call in coverage.sample(organisation=key.organisation, month=NOVEMBER, size=size)]

        # By chance: in twelve draws neither from the oldest on nor from the newest on.
        order = [trace for size in range(1, 13) for trace in set(drawn(size)) - set(drawn(size - 1))]
        assert sorted(order) == sorted(traces)
        assert order not in (sorted(traces), sorted(traces, reverse=True))
        for trace in traces[:4]:
            answers.review(key, trace, ben)
        assert drawn(100) == sorted(traces[4:])
        first = drawn(5)
        assert len(first) == 5
        assert drawn(5) == first
        answers.review(key, first[0], ben)
        assert set(first[1:]) < set(drawn(5))
        assert first[0] not in drawn(100)
        assert coverage.sample(organisation=key.organisation, month=NOVEMBER.before, size=5) == []
