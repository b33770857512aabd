"""The checklist of a public deployment, and the evidence of a period as an archive."""

import csv
import io
import json
import zipfile
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from html import unescape

import pytest
from django.db import connection
from django.test import Client, override_settings
from django.urls import path

import newapi.urls  # noqa: F401 - puts the admin site together
from accounts.models import AuditEvent, Organisation, User
from channels.models import Channel
from moderation.services import chain_runs, duty, sla, sla_sweep
from newapi import compliance, compliance_pack
from newapi.kernel import append_only, clock
from tests import cast
from tests.admin import pages
from tests.moderation import desk

pytestmark = pytest.mark.django_db

URL = "/admin/compliance/"
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
Staff = Callable[..., Client]
TAKE = (
    "accounts.view_auditevent",
    "moderation.view_slaclock",
    "moderation.view_case",
    "channels.view_authorisationevidence",
    "channels.view_channel",
    "channels.view_upstreamterms",
)
urlpatterns = [path("nothing", lambda request: None)]


@pytest.fixture
def rex(db: None) -> User:
    """A reviewer."""
    return desk.worker("rex", "reviewer")


def on_duty(user: User, root: User) -> object:
    now = clock.now()
    return duty.put_on(user=user, duty="reviewer", starts_at=now, ends_at=now + DAY, actor=root, reason="Roster")


def standing(name: str) -> tuple[bool, str]:
    [item] = [one for one in compliance.items() if one.id == name]
    return item.is_met, item.words


@pytest.mark.req("MOD-33")
def test_handling_is_live_only_with_a_form_that_is_reachable_and_a_reviewer_on_duty(rex: User, root: User) -> None:
    is_met, words = standing("handling")
    assert not is_met
    assert "no reviewer is on the duty roster" in words
    # A lead alone reviews nothing.
    lead = desk.worker("lea", "lead")
    duty.put_on(user=lead, duty="lead", starts_at=clock.now(), ends_at=clock.now() + DAY, actor=root, reason="Roster")
    assert not standing("handling")[0]
    on_duty(rex, root)
    assert standing("handling")[0]
    assert str(rex) in standing("handling")[1]
    with override_settings(ROOT_URLCONF="tests.admin.test_compliance"):
        is_met, words = standing("handling")
        assert not is_met
        assert "no address" in words
    with clock.shifted(2 * 86_400):
        assert not standing("handling")[0]


@pytest.mark.req("MOD-33", "MOD-12")
def test_each_item_says_what_is_missing(acme: Organisation) -> None:
    assert not standing("contact")[0]
    with override_settings(ABUSE_CONTACT="abuse@example.com"):
        assert standing("contact") == (True, "abuse@example.com.")
    assert standing("sweep")[0]
    with clock.shifted(-40 * 86_400):
        desk.case_of(acme)
    assert not standing("sweep")[0]
    sla_sweep.advance()
    assert standing("sweep")[0]
    assert not standing("chains")[0]
    assert chain_runs.run() == 0
    assert standing("chains")[0]
    with clock.shifted(3 * 86_400):
        assert not standing("chains")[0]


@pytest.mark.req("MOD-34")
def test_a_record_that_could_be_changed_is_noticed() -> None:
    assert standing("log")[0]
    with connection.cursor() as cursor:
        for statement in append_only._ALLOW[connection.vendor]("accounts_auditevent"):
            cursor.execute(statement)
    is_met, words = standing("log")
    assert not is_met
    assert "accounts_auditevent" in words


@pytest.mark.req("MOD-33")
def test_the_page_shows_the_list_and_the_home_page_leads_there(boss: Client, rex: User, root: User) -> None:
    home = unescape(pages.text(boss.get("/admin/")))
    assert "nobody is on duty" in home
    assert f'href="{URL}"' in home
    on_duty(rex, root)
    assert "nobody is on duty" not in unescape(pages.text(boss.get("/admin/")))
    page = unescape(pages.text(boss.get(URL)))
    assert "are missing" in page
    assert "The database refuses to change or delete its rows." in page


@pytest.mark.req("DSH-08")
def test_the_archive_of_a_period_holds_checklist_channels_audit_and_promises(
    staff: Staff, acme: Organisation, mock_channel: Channel, root: User
) -> None:
    day = datetime(2026, 6, 15, 9, tzinfo=UTC)
    for at in (day - 60 * DAY, day):
        with clock.at(at):
            case = desk.case_of(acme)
            for kind in ("response", "resolution"):
                sla.stop(case=case, kind=kind)
    with clock.at(day):
        sealed = desk.case_of(acme, "CS-CSAM")
    keeper = staff(*TAKE)
    sent = {"first": "2026-06-01", "after": "2026-07-01", "reason": "Asked for by the auditor"}
    answer = keeper.post(URL, sent)
    assert answer["Content-Type"] == "application/zip"
    assert "compliance-2026-06-01-2026-07-01.zip" in answer["Content-Disposition"]
    archive = zipfile.ZipFile(io.BytesIO(b"".join(answer.streaming_content)))
    assert sorted(archive.namelist()) == ["audit.csv", "channels.csv", "checklist.json", "sla.csv"]
    texts = {name: archive.read(name).decode() for name in archive.namelist()}
    assert {item["id"] for item in json.loads(texts["checklist.json"])["items"]} == {
        item.id for item in compliance.items()
    }
    assert "Mock" in texts["channels.csv"]
    assert not any(cast.UPSTREAM_SECRET in text for text in texts.values())
    audited = list(csv.DictReader(io.StringIO(texts["audit.csv"])))
    assert [row["action"] for row in audited] == ["case.open", "case.open"]
    promised = list(csv.DictReader(io.StringIO(texts["sla.csv"])))
    assert {row["case_reference"] for row in promised} == {case.reference}
    assert len(promised) == 2
    assert sealed.reference not in texts["sla.csv"]
    told = AuditEvent.objects.get(action="compliance_pack.export")
    assert told.reason == "Asked for by the auditor"
    assert told.changes["sla.csv"] == [None, 2]


@pytest.mark.req("DSH-08")
def test_a_period_that_makes_no_sense_or_is_too_large_is_said(
    boss: Client, acme: Organisation, monkeypatch: pytest.MonkeyPatch
) -> None:
    for span, words in (
        ({"first": "2026-07-01", "after": "2026-06-01"}, "It ends before it starts"),
        ({"first": "2024-01-01", "after": "2026-06-01"}, "At most 366 days"),
        ({"first": "x", "after": "2026-06-01"}, "Enter a valid date"),
    ):
        assert words in unescape(pages.text(boss.post(URL, {**span, "reason": pages.REASON})))
    monkeypatch.setattr(compliance_pack, "ROWS_MAX", 0)
    desk.case_of(acme)
    first, after = clock.today() - DAY, clock.today() + DAY
    page = boss.post(URL, {"first": str(first), "after": str(after), "reason": pages.REASON})
    assert "Choose a shorter one" in unescape(pages.text(page))
    assert not AuditEvent.objects.filter(action="compliance_pack.export").exists()


@pytest.mark.parametrize(
    ("bound", "most", "words"),
    [("CHARACTERS_MAX", 100, "more than 100 characters"), ("SECONDS_MAX", 0.0, "longer than 0 seconds")],
)
def test_an_archive_that_grows_too_large_or_takes_too_long_ends_with_a_clear_word(
    bound: str, most: float, words: str, boss: Client, acme: Organisation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compliance_pack, bound, most)
    desk.case_of(acme)
    first, after = clock.today() - DAY, clock.today() + DAY
    page = unescape(pages.text(boss.post(URL, {"first": str(first), "after": str(after), "reason": pages.REASON})))
    assert words in page
    assert "Choose a shorter one" in page
    assert not AuditEvent.objects.filter(action="compliance_pack.export").exists()
    assert open_cursors() == 0


def open_cursors() -> int:
    """Those that the server still keeps for this connection; SQLite has no such thing."""
    if connection.vendor != "postgresql":
        return 0
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_cursors")
        return int(cursor.fetchone()[0])


@pytest.mark.req("DSH-08")
def test_whoever_may_not_see_all_parts_takes_no_archive(staff: Staff) -> None:
    assert staff("moderation.view_case").get(URL).status_code == 403
    auditor = staff("accounts.view_auditevent")
    page = auditor.get(URL)
    assert page.status_code == 200
    assert "Evidence of a period" not in pages.text(page)
    assert auditor.post(URL, {"first": "2026-06-01", "after": "2026-07-01", "reason": "Mine"}).status_code == 403
