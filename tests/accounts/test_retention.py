"""How long records are kept, who may say so, what a legal hold keeps, and that every purge is on record."""

import re
from collections.abc import Callable
from datetime import timedelta

import pytest
from django.contrib.auth.models import Permission
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.test import Client
from django_celery_beat.models import PeriodicTask

from accounts.models import AuditEvent, LegalHold, LogClass, Notice, NoticeRead, Organisation, RetentionRule, User
from accounts.models.retention import seed
from accounts.services import notices, retention
from accounts.tasks import purge_expired
from newapi import schedule
from newapi.kernel import clock
from tests import cast
from tests.admin import pages
from tests.admin.pages import REASON

DAYS = 365


@pytest.fixture(autouse=True)
def rules(db: None) -> None:
    """As the migration made them, also after a transactional test has emptied the tables."""
    seed(RetentionRule)


@pytest.fixture
def boss(root: User) -> Client:
    """Root, logged in."""
    client = Client()
    client.force_login(root)
    return client


@pytest.fixture
def staff() -> Callable[..., Client]:
    """Logs in somebody of the staff who has exactly these rights in accounts."""

    def log_in(*codenames: str) -> Client:
        user = cast.person(f"staff{User.objects.count()}", is_staff=True)
        user.user_permissions.set(Permission.objects.filter(content_type__app_label="accounts", codename__in=codenames))
        client = Client()
        client.force_login(user)
        return client

    return log_in


def rule(log_class: str = "notices") -> RetentionRule:
    return RetentionRule.objects.get(log_class=log_class)


def tell(title: str, organisation: Organisation | None = None) -> None:
    """A notice for an organisation's members, or for the operators."""
    audience = Notice.Audience.MEMBERS if organisation else Notice.Audience.OPERATORS
    notices.post(once=title, kind="test", title=title, audience=audience, organisation=organisation)


def titles() -> set[str]:
    return set(Notice.objects.values_list("title", flat=True))


def run(after_days: float) -> int:
    """The job, so many days from now."""
    with clock.shifted(after_days * 86_400):
        return purge_expired()


def purges() -> list[AuditEvent]:
    return list(AuditEvent.objects.filter(action="retention.purge").order_by("pk"))


@pytest.mark.req("GW-15")
def test_each_class_is_kept_for_its_days_at_first_and_evidence_and_audit_for_ever() -> None:
    assert dict(RetentionRule.objects.values_list("log_class", "days")) == {
        "access": 760,
        "security": 365,
        "notices": 365,
        "evidence": None,
        "audit": None,
    }


@pytest.mark.req("GW-15")
def test_the_purge_is_a_job_of_every_hour() -> None:
    schedule.seed()
    job = PeriodicTask.objects.get(task="accounts.tasks.purge_expired")
    assert (job.interval.every, job.interval.period) == (3600, "seconds")


@pytest.mark.req("GW-15")
def test_notices_go_on_day_n_plus_1_and_the_run_is_on_record(acme: Organisation, ada: User) -> None:
    tell("old", acme)
    tell("old for operators")
    notices.mark_read(user=ada, notices=Notice.objects.all())
    with clock.shifted(3 * 86_400):
        tell("young", acme)
    assert run(DAYS - 0.01) == 0
    assert purges() == []
    assert run(DAYS + 0.01) == 2
    assert titles() == {"young"}
    assert not NoticeRead.objects.exists()
    [event] = purges()
    assert (event.actor, event.object_id, event.reason) == (None, str(rule().pk), "Older than 365 days")
    assert event.changes["rows"] == [2, 0]
    assert event.changes.keys() == {"rows", "before"}
    assert run(DAYS + 0.01) == 0
    assert len(purges()) == 1
    assert rule().last_purged_rows == 2
    assert rule().last_run_at > rule().last_purged_at


@pytest.mark.req("GW-15")
def test_held_rows_stay_and_go_with_the_run_after_the_hold_is_lifted(
    acme: Organisation, globex: Organisation, root: User
) -> None:
    for name, organisation in (("acme", acme), ("globex", globex), ("operators", None)):
        tell(name, organisation)
    hold = retention.impose(organisation=acme, log_class="", actor=root, reason=REASON)
    assert run(2 * DAYS) == 2
    assert titles() == {"acme"}
    assert run(2 * DAYS) == 0
    assert retention.lift(hold=hold, actor=root, reason=REASON)
    assert run(2 * DAYS) == 1
    assert titles() == set()
    assert [event.changes["rows"] for event in purges()] == [[2, 0], [1, 0]]


@pytest.mark.req("GW-15")
def test_of_two_holds_on_the_same_either_is_enough(acme: Organisation, root: User) -> None:
    tell("acme", acme)
    tell("operators")
    first = retention.impose(organisation=acme, log_class=LogClass.NOTICES, actor=root, reason=REASON)
    second = retention.impose(organisation=None, log_class=LogClass.NOTICES, actor=root, reason=REASON)
    assert run(2 * DAYS) == 0
    retention.lift(hold=second, actor=root, reason=REASON)
    assert run(2 * DAYS) == 1
    assert titles() == {"acme"}
    retention.lift(hold=first, actor=root, reason=REASON)
    assert run(2 * DAYS) == 1


def test_a_hold_is_lifted_once(acme: Organisation, root: User) -> None:
    hold = retention.impose(organisation=acme, log_class="", actor=root, reason=REASON)
    assert retention.lift(hold=hold, actor=root, reason=REASON)
    assert not retention.lift(hold=LegalHold.objects.get(), actor=root, reason=REASON)
    assert AuditEvent.objects.filter(action="legal_hold.lift").count() == 1


def test_a_run_takes_no_more_than_it_may_and_the_next_goes_on() -> None:
    for number in range(5):
        tell(f"n{number}")
    with clock.shifted(2 * DAYS * 86_400):
        assert [retention.purge_expired(limit=2) for _ in range(4)] == [2, 2, 1, 0]


def test_nothing_goes_of_a_class_that_is_kept_for_ever(acme: Organisation, root: User) -> None:
    tell("acme", acme)
    assert retention.set_days(rule=rule(), days=None, actor=root, reason=REASON)
    before = AuditEvent.objects.count()
    assert run(100 * DAYS) == 0
    assert AuditEvent.objects.count() == before


@pytest.mark.req("GW-15")
@pytest.mark.parametrize("log_class", ["audit", "evidence"])
def test_audit_and_evidence_are_kept_for_ever_whoever_asks(log_class: str, root: User) -> None:
    with pytest.raises(ValidationError, match="for ever"):
        retention.set_days(rule=rule(log_class), days=400, actor=root, reason=REASON)
    with pytest.raises(IntegrityError), transaction.atomic():
        RetentionRule.objects.filter(log_class=log_class).update(days=400)


@pytest.mark.parametrize("days", [0, 29, 36_501])
def test_days_have_bounds(days: int, root: User) -> None:
    with pytest.raises(ValidationError):
        retention.set_days(rule=rule(), days=days, actor=root, reason=REASON)
    with pytest.raises(IntegrityError), transaction.atomic():
        RetentionRule.objects.filter(log_class="notices").update(days=days)
    assert rule().days == DAYS


@pytest.mark.parametrize("act", ["set_days", "impose", "lift"])
def test_nothing_is_done_without_a_reason(act: str, acme: Organisation, root: User) -> None:
    hold = retention.impose(organisation=acme, log_class="", actor=root, reason=REASON)
    before = AuditEvent.objects.count()
    told = {
        "set_days": {"rule": rule(), "days": 90},
        "impose": {"organisation": None, "log_class": ""},
        "lift": {"hold": hold},
    }
    with pytest.raises(ValidationError, match="reason"):
        getattr(retention, act)(**told[act], actor=root, reason="  ")
    assert (rule().days, LegalHold.objects.get().ended_at, AuditEvent.objects.count()) == (DAYS, None, before)


@pytest.mark.req("GW-15", "CHN-08")
def test_an_admin_changes_the_days_with_a_reason_and_the_next_run_obeys(
    boss: Client, root: User, acme: Organisation
) -> None:
    tell("acme", acme)
    with clock.shifted(40 * 86_400):
        assert purge_expired() == 0
    response = pages.send(boss, pages.act(rule(), "change_days"), days="30")
    assert (response.status_code, response.url) == (302, pages.change(rule()))
    event = AuditEvent.objects.get(action="retention.change")
    assert (event.actor, event.reason, event.changes) == (root, REASON, {"days": [365, 30]})
    assert run(40) == 1
    listed = pages.text(boss.get(pages.list_of(RetentionRule)))
    assert "30 days" in listed
    assert "for ever" in listed
    assert re.search(r": 1 row\b", listed)


@pytest.mark.parametrize(("days", "said"), [("29", "30"), ("36501", "36500"), ("365", "so already"), ("x", "number")])
def test_the_form_of_days_says_what_is_wrong(boss: Client, days: str, said: str) -> None:
    response = pages.send(boss, pages.act(rule(), "change_days"), days=days)
    assert response.status_code == 200
    assert said in pages.text(response)
    assert rule().days == DAYS


@pytest.mark.req("GW-15")
def test_pages_of_what_is_kept_for_ever_say_why_and_offer_no_change(boss: Client) -> None:
    for log_class, said in (("audit", "append-only"), ("evidence", "evidence; the purge does not touch them")):
        page = pages.text(boss.get(pages.change(rule(log_class))))
        assert said in page
        assert pages.act(rule(log_class), "change_days") not in page
        refused = pages.send(boss, pages.act(rule(log_class), "change_days"), days="400")
        assert "kept for ever" in pages.text(refused)
        assert rule(log_class).days is None
    assert pages.act(rule(), "change_days") in pages.text(boss.get(pages.change(rule())))


@pytest.mark.req("GW-15")
def test_an_admin_imposes_and_lifts_a_hold_with_reasons(boss: Client, root: User, acme: Organisation) -> None:
    tell("acme", acme)
    sent = pages.send(boss, pages.add(LegalHold), organisation=acme.pk, log_class="notices")
    hold = LegalHold.objects.get()
    assert (sent.status_code, sent.url) == (302, pages.change(hold))
    assert (hold.organisation, hold.log_class, hold.started_by, hold.reason) == (acme, "notices", root, REASON)
    assert run(2 * DAYS) == 0
    assert "Hold on notices of Acme" in pages.text(boss.get(pages.change(rule())))
    assert "In force" in pages.text(boss.get(f"{pages.list_of(LegalHold)}?state=in_force"))
    assert pages.send(boss, pages.act(hold, "lift")).status_code == 302
    assert "lifted already" in pages.text(pages.send(boss, pages.act(hold, "lift")))
    assert "Lifted" in pages.text(boss.get(f"{pages.list_of(LegalHold)}?state=lifted"))
    hold.refresh_from_db()
    assert (hold.ended_by, hold.ended_at is None) == (root, False)
    for verb in ("impose", "lift"):
        event = AuditEvent.objects.get(action=f"legal_hold.{verb}")
        assert (event.actor, event.reason, event.organisation) == (root, REASON, acme)
    assert run(2 * DAYS) == 1


def test_a_hold_without_a_reason_or_on_something_unknown_is_refused(boss: Client, acme: Organisation) -> None:
    for wrong in ({"reason": ""}, {"log_class": "everything"}, {"organisation": 10**6}):
        assert pages.send(boss, pages.add(LegalHold), **{"organisation": acme.pk, **wrong}).status_code == 200
    assert not LegalHold.objects.exists()


@pytest.mark.req("GW-15", "ACC-38")
def test_whoever_may_only_look_changes_nothing(staff: Callable[..., Client], acme: Organisation, root: User) -> None:
    hold = retention.impose(organisation=acme, log_class="", actor=root, reason=REASON)
    viewer = staff("view_retentionrule", "view_legalhold")
    assert viewer.get(pages.change(hold)).status_code == viewer.get(pages.change(rule())).status_code == 200
    told = {"days": "30", "organisation": acme.pk, "log_class": "", "reason": REASON}
    for url in (pages.act(rule(), "change_days"), pages.add(LegalHold), pages.act(hold, "lift")):
        assert [viewer.get(url).status_code, viewer.post(url, told).status_code] == [403, 403], url
    for url in (pages.change(rule()), pages.change(hold), pages.delete(hold)):
        assert viewer.post(url, told).status_code == 403, url
    hold.refresh_from_db()
    assert (rule().days, hold.ended_at, LegalHold.objects.count()) == (DAYS, None, 1)


@pytest.mark.req("ACC-38")
def test_imposing_lifting_and_changing_days_are_three_rights(
    staff: Callable[..., Client], acme: Organisation, root: User
) -> None:
    hold = retention.impose(organisation=acme, log_class="", actor=root, reason=REASON)
    doors = {
        "change_retentionrule": pages.act(rule(), "change_days"),
        "add_legalhold": pages.add(LegalHold),
        "lift_legalhold": pages.act(hold, "lift"),
    }
    for right in doors:
        client = staff("view_retentionrule", "view_legalhold", "view_organisation", right)
        assert {name for name, url in doors.items() if client.get(url).status_code == 200} == {right}


def test_members_of_an_organisation_have_no_way_in(ada: User, acme: Organisation) -> None:
    client = Client()
    client.force_login(ada)
    for url in (pages.list_of(RetentionRule), pages.list_of(LegalHold), pages.add(LegalHold)):
        assert client.get(url).status_code == 302
        assert "login" in client.get(url).url


def test_a_hold_whose_beginning_lies_ahead_of_a_clock_that_was_set_back_can_be_lifted(
    acme: Organisation, root: User
) -> None:
    with clock.shifted(timedelta(days=1).total_seconds()):
        hold = retention.impose(organisation=acme, log_class="", actor=root, reason=REASON)
    assert retention.lift(hold=hold, actor=root, reason=REASON)
