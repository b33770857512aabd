"""Delivery: one channel after the other, every try written down, and the window counts from the one that took it."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from django.conf import LazySettings
from django.core import mail
from django.core.exceptions import ValidationError

from accounts import tasks as account_tasks
from accounts.models import AuditEvent, Notice, NoticeRead, Organisation, User
from accounts.services import notices as messages
from moderation import tasks
from moderation.enforcement import Step
from moderation.errors import IllegalMove, NotPermitted
from moderation.models import CaseNotice, Decision, Delivery
from moderation.services import appeals, decisions, delivery, delivery_rows, redelivery
from newapi.celery import app
from newapi.kernel import clock
from newapi.schedule import JOBS
from tests import cast
from tests.accounts import mail_server
from tests.accounts.mail_server import MailServer
from tests.moderation import desk
from tests.processes import free_port

pytestmark = pytest.mark.django_db

NOON = datetime(2026, 6, 15, 12, tzinfo=UTC)
DAY = timedelta(days=1)
MINUTE = timedelta(minutes=1)


@pytest.fixture
def server(settings: LazySettings) -> Iterator[MailServer]:
    """A mail server that the product sends to."""
    with mail_server.running() as started:
        settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
        settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", started.port
        yield started


def told(decision: Decision) -> CaseNotice:
    return CaseNotice.objects.get(once=f"decision:{decision.pk}")


def states(decision: Decision) -> dict[str, str]:
    return {row.channel: row.state for row in told(decision).deliveries.all()}


def run(at: datetime) -> int:
    with clock.at(at):
        return tasks.deliver_notices()


@pytest.mark.req("NOT-01")
def test_a_notice_goes_by_mail_to_owners_admins_and_whom_it_is_about_and_into_the_portal_unread(
    acme: Organisation, ada: User, ben: User, vera: User, rex: User, server: MailServer
) -> None:
    decision = desk.decided(acme, rex, user=ben)
    assert tasks.deliver_notices() == 1
    assert sorted(server.recipients()) == ["ada@example.com", "ben@example.com"]
    _, content = server.received[0]
    notice = told(decision)
    assert content["Subject"].endswith(notice.subject)
    assert (notice.state, states(decision)) == ("sent", {"email": "sent", "message": "queued"})
    message = notice.message
    assert message is not None
    assert (message.audience, message.user, message.link) == (
        "managers",
        ben,
        f"/o/acme/standing/notices/{notice.pk}",
    )
    assert account_tasks.mail_notices() == 0  # it is not mailed a second time as news
    assert notice.attention_at is None


def test_it_is_sent_once_however_often_the_job_runs_and_however_many_run(
    acme: Organisation, rex: User, server: MailServer
) -> None:
    decision = desk.decided(acme, rex)
    stale = list(delivery._read(CaseNotice.objects.all()))
    assert [tasks.deliver_notices() for _ in range(3)] == [1, 0, 0]
    assert [delivery._work(one) for one in stale] == [False]
    assert len(server.received) == 1
    assert told(decision).deliveries.get(channel="email").tries == 1


@pytest.mark.req("NOT-01")
def test_while_the_mail_server_is_away_it_is_tried_with_growing_pauses_and_then_told_in_the_portal(
    acme: Organisation, rex: User, settings: LazySettings, server: MailServer
) -> None:
    settings.EMAIL_PORT = free_port()
    decision = desk.decided_at(NOON, acme, rex)
    moment, tried = NOON, []
    while told(decision).state == "queued" and moment < NOON + DAY:
        if run(moment):
            tried.append(moment)
        moment += MINUTE / 2
    waits = [(after - before) // MINUTE for before, after in pairwise(tried)]
    assert waits == [1, 2, 4, 8, 16, 32, 60, 0]  # the portal follows at the next turn
    assert states(decision) == {"email": "failed", "message": "sent"}
    row = told(decision).deliveries.get(channel="email")
    assert (row.tries, row.error) == (delivery_rows.DELIVERY_TRIES_MAX, "ConnectionRefusedError")
    notice = told(decision)
    assert notice.sent_at is not None
    assert notice.sent_at >= tried[-1]
    assert abs(notice.attempted_at - NOON) < 2 * MINUTE
    assert Notice.objects.filter(once=f"case_notice:{notice.pk}:again").exists()


def test_when_the_server_is_back_in_time_the_mail_goes(
    acme: Organisation, rex: User, settings: LazySettings, server: MailServer
) -> None:
    settings.EMAIL_PORT = free_port()
    decision = desk.decided_at(NOON, acme, rex)
    run(NOON + MINUTE)
    settings.EMAIL_PORT = server.port
    assert run(NOON + 3 * MINUTE) == 1
    assert states(decision) == {"email": "sent", "message": "queued"}


@pytest.mark.req("NOT-02")
def test_the_measure_begins_after_the_first_attempt_though_no_mail_server_is_there(
    acme: Organisation, sue: User, settings: LazySettings, server: MailServer
) -> None:
    settings.EMAIL_PORT = free_port()
    with clock.at(NOON):
        decision = desk.decided(acme, sue, code="CY-MALWARE", steps=(Step("suspend_organisation", days=7),))
    assert decision.actions.get().state == "planned"
    run(NOON + 2 * MINUTE)
    action, notice = decision.actions.get(), told(decision)
    assert action.state == "in_force"
    assert notice.attempted_at is not None
    assert action.starts_at is not None
    assert action.starts_at >= notice.attempted_at
    assert notice.sent_at is None


def test_an_address_that_is_refused_for_good_goes_over_the_next_channel_at_once(
    acme: Organisation, ada: User, rex: User, server: MailServer
) -> None:
    server.refused = {"ada@example.com"}
    decision = desk.decided_at(NOON, acme, rex)
    run(NOON + MINUTE)
    assert states(decision)["email"] == "failed"
    run(NOON + 2 * MINUTE)
    assert states(decision) == {"email": "failed", "message": "sent"}
    assert "ada" not in told(decision).deliveries.get(channel="email").error


def test_one_refused_address_costs_the_others_nothing(
    acme: Organisation, ada: User, ben: User, rex: User, server: MailServer
) -> None:
    server.refused = {"ada@example.com"}
    decision = desk.decided(acme, rex, user=ben)
    tasks.deliver_notices()
    assert (states(decision)["email"], server.recipients()) == ("sent", ["ben@example.com"])


def test_when_nobody_is_left_to_tell_the_operators_are_asked_to_reach_them(
    acme: Organisation, rex: User, server: MailServer
) -> None:
    acme.memberships.update(is_active=False)
    decision = desk.decided_at(NOON, acme, rex)
    for minutes in range(3):
        run(NOON + timedelta(minutes=minutes))
    assert states(decision) == {"email": "failed", "message": "failed"}
    assert told(decision).state == "failed"
    asked = Notice.objects.get(kind="case_notice.failed")
    assert (asked.audience, decision.case.reference in asked.title) == ("operators", True)


@pytest.mark.req("MOD-27")
@pytest.mark.edge(20)
def test_edge_20_a_mail_that_bounced_lets_the_window_begin_with_the_fallback(
    acme: Organisation, rex: User, server: MailServer
) -> None:
    decision = desk.decided_at(NOON, acme, rex)
    run(NOON + MINUTE)
    assert appeals.deadline(decision) == datetime(2026, 6, 30, tzinfo=UTC)
    with clock.at(NOON + 5 * DAY):
        redelivery.bounced(delivery=told(decision).deliveries.get(channel="email"), actor=rex, reason="No such mailbox")
    assert (told(decision).state, told(decision).sent_at) == ("queued", None)
    run(NOON + 5 * DAY + timedelta(minutes=1))
    notice = told(decision)
    assert states(decision) == {"email": "bounced", "message": "sent"}
    assert abs(notice.sent_at - (NOON + 5 * DAY)) < timedelta(minutes=5)
    assert appeals.deadline(decision) == datetime(2026, 7, 5, tzinfo=UTC)
    assert "the end of 4 July 2026 (UTC)" in notice.body
    assert "29 June" not in notice.body
    with clock.at(datetime(2026, 7, 4, 23, 59, 59, tzinfo=UTC)):
        assert appeals.submit(decision=decision, grounds="We did not", via="link").state == "submitted"


def test_a_bounce_beside_a_channel_that_took_it_changes_no_window(
    acme: Organisation, rex: User, server: MailServer
) -> None:
    decision = desk.decided_at(NOON, acme, rex)
    run(NOON + MINUTE)
    notice = told(decision)
    Delivery.objects.create(notice=notice, channel="webhook", state="sent", sent_at=NOON, tries=1)
    with clock.at(NOON + 5 * DAY):
        redelivery.bounced(delivery=notice.deliveries.get(channel="email"), actor=rex)
    assert (told(decision).state, told(decision).sent_at) == ("sent", NOON)
    assert appeals.deadline(decision) == datetime(2026, 6, 30, tzinfo=UTC)


@pytest.mark.req("MOD-27", "NOT-05")
def test_a_notice_that_goes_out_on_a_later_day_names_the_window_that_counts(
    acme: Organisation, rex: User, settings: LazySettings, server: MailServer
) -> None:
    decision = desk.decided_at(datetime(2026, 6, 15, 23, 59, tzinfo=UTC), acme, rex)
    assert "the end of 29 June 2026 (UTC)" in told(decision).body
    run(datetime(2026, 6, 16, 0, 1, tzinfo=UTC))
    notice = told(decision)
    assert "the end of 30 June 2026 (UTC)" in notice.body
    assert "30 June" in server.received[0][1].get_payload(decode=True).decode()
    assert appeals.deadline(decision) == datetime(2026, 7, 1, tzinfo=UTC)


def test_only_who_works_on_cases_says_that_a_mail_came_back_and_only_of_what_was_sent(
    acme: Organisation, ada: User, rex: User, kim: User, server: MailServer
) -> None:
    decision = desk.decided(acme, rex)
    row = told(decision).deliveries.get(channel="email")
    with pytest.raises(IllegalMove):
        redelivery.bounced(delivery=row, actor=rex)
    tasks.deliver_notices()
    for person in (ada, kim, desk.worker("aud", "auditor")):
        with pytest.raises(NotPermitted):
            redelivery.bounced(delivery=row, actor=person)
        with pytest.raises(NotPermitted):
            redelivery.resend(notice=told(decision), actor=person, reason="Again")
    with pytest.raises(ValidationError):
        redelivery.bounced(delivery=row, actor=rex, reason=" ")
    redelivery.bounced(delivery=row, actor=rex)
    with pytest.raises(IllegalMove):
        redelivery.bounced(delivery=row, actor=rex)
    assert AuditEvent.objects.filter(action="case_notice.bounce", actor=rex).count() == 1
    assert desk.told(decision.case, "notice")[-1].actor == rex


def test_what_has_failed_can_be_sent_again(acme: Organisation, rex: User, server: MailServer) -> None:
    server.refused = {"ada@example.com"}
    decision = desk.decided(acme, rex)
    with pytest.raises(IllegalMove):
        redelivery.resend(notice=told(decision), actor=rex, reason="Again")
    tasks.deliver_notices()
    server.refused = set()
    assert redelivery.resend(notice=told(decision), actor=rex, reason="The address was mended") == 1
    tasks.deliver_notices()
    assert states(decision)["email"] == "sent"
    assert server.recipients() == ["ada@example.com"]


def test_one_notice_that_cannot_be_worked_on_costs_the_others_nothing(
    acme: Organisation, globex: Organisation, rex: User, server: MailServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = desk.decided(acme, rex), desk.decided(globex, rex)
    begin = delivery.measures.begin_announced

    def broken(*, decision: Decision) -> int:
        if decision == first:
            raise RuntimeError("the database went away")
        return begin(decision=decision)

    with monkeypatch.context() as patched:
        patched.setattr(delivery.measures, "begin_announced", broken)
        tasks.deliver_notices()
    assert (told(first).attempted_at, told(second).state) == (None, "sent")
    # The measure that waited is begun by the next turn, and nobody is mailed twice.
    with clock.shifted(delivery.LEASE.total_seconds() + 1):
        tasks.deliver_notices()
    assert told(first).attempted_at is not None
    assert sorted(server.recipients()) == ["ada@example.com", "gus@example.com"]


def test_a_notice_whose_measures_never_begin_is_left_to_a_person_who_sends_it_again_when_that_is_mended(
    acme: Organisation, rex: User, server: MailServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    decision = desk.decided_at(NOON, acme, rex)
    turns, moment = 0, NOON
    with monkeypatch.context() as patched:
        patched.setattr(delivery.measures, "begin_announced", lambda *, decision: 1 // 0)
        while told(decision).attention_at is not None and moment < NOON + DAY:
            turns += bool(CaseNotice.objects.filter(attention_at__lte=moment))
            run(moment)
            moment += MINUTE
    assert 10 <= turns <= 13
    assert (told(decision).state, told(decision).attempted_at) == ("sent", None)
    left = Notice.objects.get(kind="case_notice.left")
    assert (left.audience, left.level, "ZeroDivisionError" in left.title) == ("operators", "danger", True)
    assert desk.told(decision.case, "notice")[-1].reason == "ZeroDivisionError"
    with clock.at(moment):
        redelivery.resend(notice=told(decision), actor=rex, reason="Mended")
    run(moment + MINUTE)
    assert told(decision).attempted_at is not None
    assert server.recipients() == ["ada@example.com"]
    with pytest.raises(IllegalMove):
        redelivery.resend(notice=told(decision), actor=rex, reason="Again")


def test_a_channel_that_fails_as_nobody_foresaw_is_given_up_in_the_end_and_the_next_one_takes_the_notice(
    acme: Organisation, rex: User, settings: LazySettings, server: MailServer
) -> None:
    decision = desk.decided_at(NOON, acme, rex)
    settings.SITE_NAME = "Two\nlines"  # which no subject of a mail may have
    for minutes in range(0, 240, 2):
        run(NOON + minutes * MINUTE)
    assert states(decision) == {"email": "failed", "message": "sent"}
    row = told(decision).deliveries.get(channel="email")
    assert (row.tries, row.error) == (delivery_rows.DELIVERY_TRIES_MAX, "BadHeaderError")
    assert told(decision).attempted_at is not None


def test_a_channel_in_whose_last_try_the_job_died_is_given_up_too(
    acme: Organisation, rex: User, server: MailServer
) -> None:
    decision = desk.decided_at(NOON, acme, rex)
    told(decision).deliveries.filter(channel="email").update(tries=delivery_rows.DELIVERY_TRIES_MAX, last_tried_at=NOON)
    run(NOON + DAY)
    assert states(decision)["message"] == "sent"
    assert server.received == []
    assert redelivery.resend(notice=told(decision), actor=rex, reason="The worker has more memory now") == 1
    tasks.deliver_notices()
    assert states(decision)["email"] == "sent"


def test_a_run_ends_in_good_time_and_the_next_one_goes_on(
    acme: Organisation, globex: Organisation, rex: User, server: MailServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.decided(acme, rex)
    desk.decided(globex, rex)
    monkeypatch.setattr(delivery, "RUN_S_MAX", 0.0)
    assert tasks.deliver_notices() == 0
    monkeypatch.undo()
    assert tasks.deliver_notices() == 2


@pytest.mark.req("NOT-04")
def test_reading_is_noted_for_each_person_and_not_reading_stops_no_clock(
    acme: Organisation, ada: User, rex: User, server: MailServer
) -> None:
    decision = desk.decided_at(NOON, acme, rex)
    run(NOON + MINUTE)
    before = appeals.deadline(decision)
    assert not NoticeRead.objects.exists()
    with clock.at(NOON + 3 * DAY):
        messages.mark_read(user=ada, notices=[told(decision).message])
    assert abs(NoticeRead.objects.get(user=ada).at - (NOON + 3 * DAY)) < timedelta(minutes=1)
    assert appeals.deadline(decision) == before == datetime(2026, 6, 30, tzinfo=UTC)


@pytest.mark.edge(18)
def test_edge_18_a_held_decision_that_is_cancelled_tells_nobody(acme: Organisation, lea: User) -> None:
    case = desk.in_review(acme, lea, "CY-MALWARE")
    proposal = decisions.Proposal(
        finding="violation",
        category=case.category,
        facts=desk.FACTS,
        steps=(Step("termination"),),
        deviation_reason="As bad as it gets",
    )
    made = decisions.propose(case=case, proposal=proposal, expected_version=case.version, actor=lea)
    decisions.issue(decision=made, actor=lea, reason="Clear")
    assert made.state == "held"
    decisions.cancel(decision=made, actor=desk.allowed(lea, "approve_decision"), reason="Not yet")
    tasks.deliver_notices()
    assert not CaseNotice.objects.filter(decision=made).exists()
    assert mail.outbox == []


def test_the_job_is_known_to_worker_and_beat_and_wakes_after_commit(
    acme: Organisation, rex: User, django_capture_on_commit_callbacks: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    app.loader.import_default_modules()
    job = next(job for job in JOBS if job.task == "moderation.tasks.deliver_notices")
    assert job.every == timedelta(minutes=1)
    assert job.task in app.tasks
    sent: list[str] = []
    monkeypatch.setattr("newapi.kernel.nudges.current_app.send_task", lambda name, **options: sent.append(name))
    with django_capture_on_commit_callbacks(execute=True):  # type: ignore[operator]
        desk.decided(acme, rex)
        assert sent == []
    assert "moderation.tasks.deliver_notices" in sent
    assert cast.PASSWORD not in sent
