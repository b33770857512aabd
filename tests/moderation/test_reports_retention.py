"""The texts of reports: kept as long as evidence of their case, then erased but for the hash."""

from datetime import timedelta

import pytest

from accounts.models import AuditEvent, Organisation, RetentionRule, User
from accounts.models.retention import seed
from accounts.services import retention
from moderation import tasks
from moderation.errors import IllegalMove, NotPermitted
from moderation.models import Case, CaseEvent, Report
from moderation.services import chains, report_retention, report_texts, reporters, reports
from newapi.kernel import clock
from tests.moderation import desk
from tests.moderation.test_reports import submit

pytestmark = [pytest.mark.django_db, pytest.mark.req("MOD-40")]
WHY = "The writer asked for it"


def closed(organisation: Organisation, actor: User, code: str = "DC-SPAM", **said: object) -> Report:
    """A report that was closed, in a case that is."""
    words = {"email": "mallory@example.com", "url": "https://example.com/1", "accused": "Somebody", **said}
    report = submit(organisation=organisation, category=desk.category(code), **words)
    reports.close(report=report, outcome="no_violation", reason="Nothing there", actor=actor)
    Case.objects.filter(pk=report.case_id).update(state=Case.State.NO_VIOLATION, closed_at=clock.now())
    report.case.refresh_from_db()
    return report


@pytest.mark.parametrize(("code", "days"), [("DC-SPAM", 730), ("DC-PHISH", 1_825)])
def test_a_text_is_purged_when_its_time_is_up_and_not_before(
    acme: Organisation, rex: User, code: str, days: int
) -> None:
    report = closed(acme, rex, code)
    with clock.shifted(days * 86_400 - 3_600):
        assert tasks.purge_reports() == 0
    with clock.shifted(days * 86_400 + 3_600):
        assert [tasks.purge_reports(), tasks.purge_reports()] == [1, 0]
        digest = bytes(report.description_digest)
        report = Report.objects.get(pk=report.pk)
        assert (report.sealed_description, report.accused, report.url) == ("", "", "")
        assert (bytes(report.description_digest), report_texts.of(report)) == (digest, "")
        assert reporters.address_of(report.reporter) == ""
        assert desk.told(report.case, CaseEvent.Kind.REPORT)[-1].after.endswith(digest.hex())
        assert list(chains.verify()) == []


def test_an_address_stays_as_long_as_anything_from_it_does(acme: Organisation, rex: User) -> None:
    closed(acme, rex)
    with clock.shifted(730 * 86_400 + 3_600):
        later = submit(email="mallory@example.com")
        assert tasks.purge_reports() == 1
        assert reporters.address_of(later.reporter) == "mallory@example.com"


@pytest.mark.edge(38)
def test_nothing_of_a_report_is_purged_under_a_legal_hold(acme: Organisation, rex: User, lea: User) -> None:
    report = closed(acme, rex)
    lea = desk.allowed(lea, "delete_evidence")
    if not RetentionRule.objects.exists():
        seed(RetentionRule)
    retention.impose(organisation=acme, log_class="", actor=lea, reason="A dispute")
    with pytest.raises(IllegalMove, match="legal hold"):
        report_retention.purge(report=report, actor=lea, reason=WHY)
    with clock.shifted(3_000 * 86_400):
        assert tasks.purge_reports() == 0
    assert "day and night" in report_texts.of(Report.objects.get(pk=report.pk))


def test_a_person_purges_earlier_with_the_right_and_a_reason_but_nothing_that_is_open(
    acme: Organisation, rex: User, lea: User
) -> None:
    report = closed(acme, rex)
    with pytest.raises(NotPermitted):
        report_retention.purge(report=report, actor=rex, reason=WHY)
    with pytest.raises(IllegalMove, match="time is not up"):
        report_retention.purge(report=report, actor=None, reason=WHY)
    lea = desk.allowed(lea, "delete_evidence")
    waiting = submit(organisation=acme, category=desk.category("DC-PHISH"))
    with pytest.raises(IllegalMove, match="open"):
        report_retention.purge(report=waiting, actor=lea, reason=WHY)
    report_retention.purge(report=report, actor=lea, reason=WHY)
    with pytest.raises(IllegalMove, match="purged before"):
        report_retention.purge(report=report, actor=lea, reason=WHY)
    assert AuditEvent.objects.get(action="report.purge").reason == WHY


def test_many_that_are_held_keep_none_waiting(
    acme: Organisation, globex: Organisation, rex: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(report_retention, "LOOKED_AT_MAX", 1)
    closed(acme, rex)
    if not RetentionRule.objects.exists():
        seed(RetentionRule)
    retention.impose(organisation=acme, log_class="", actor=rex, reason="A dispute")
    with clock.shifted(60):
        free = closed(globex, rex)
    with clock.shifted(timedelta(days=731).total_seconds()):
        assert tasks.purge_reports() == 1
    assert Report.objects.get(pk=free.pk).purged_at is not None
