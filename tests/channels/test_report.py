"""The compliance report: a row for each channel, nothing secret in it, and on record that it went out."""

import csv
import io
from collections.abc import Callable
from datetime import timedelta
from io import StringIO

import pytest
from django.contrib.auth.models import Permission
from django.core.exceptions import ValidationError
from django.core.management import call_command
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from accounts.models import AuditEvent, User
from channels import reports
from channels.models import AuthorisationEvidence, Channel, UpstreamAccount
from channels.services import evidence, upstream_keys
from newapi.kernel import clock
from tests import cast
from tests.admin import pages

PAGE = "admin:channels_authorisationevidence_report"


@pytest.fixture
def clerk(db: None) -> Callable[..., Client]:
    """Logs in a person of the staff with these rights in the channels app."""

    def log_in(*rights: str) -> Client:
        user = cast.person("clara", is_staff=True)
        user.user_permissions.set(Permission.objects.filter(content_type__app_label="channels", codename__in=rights))
        client = Client()
        client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
        return client

    return log_in


def rows_of(text: str) -> dict[str, dict[str, str]]:
    """The rows of a report by channel."""
    return {row["channel"]: row for row in csv.DictReader(io.StringIO(text))}


@pytest.mark.req("CHN-12")
def test_every_channel_has_a_row_that_says_by_what_right_it_is_used(mock_channel: Channel, ada: User) -> None:
    today = clock.today()
    Channel.objects.update(
        pool_purpose="enterprise_multi_account",
        pool_justification="Two subsidiaries",
        export_classification="4E091",
        countries_allowed=["DE", "FR"],
        is_third_party=False,
        safety_filtering="yes",
    )
    UpstreamAccount.objects.update(legal_owner="Platform GmbH")
    upstream_keys.add(channel=mock_channel, secret="sk-second-canary-1", actor=None, reason="Second")
    cast.model(on=mock_channel, retires_at=clock.now() + timedelta(days=3))
    cast.terms(mock_channel, reviewed_at=today - timedelta(days=181), no_minors=True)
    cast.evidence(channel=mock_channel, valid_until=today + timedelta(days=2000), actor=ada)
    bare = cast.channel("Bare", evidence=False, status=Channel.Status.DISABLED, is_test=True)
    bare.account.provider = type(bare.account.provider).objects.create(name="Other")
    bare.account.save()
    waiting = cast.channel("Waiting", evidence=False)
    cast.evidence(channel=waiting, actor=ada, valid_until=today + timedelta(days=9))

    rows = rows_of(reports.to_csv(reports.compliance_rows()))

    assert set(rows) == {"Mock", "Bare", "Waiting"}
    assert rows["Mock"] == {
        "channel": "Mock",
        "status": "Enabled",
        "provider": "Mock provider",
        "account": "Mock account",
        "legal owner of the account": "Platform GmbH",
        "third party": "no",
        "test channel": "no",
        "evidence": "In force, without an end",
        "evidence: kind": "Own account",
        "evidence: legal owner": "Platform Inc.",
        "evidence: document": "contract.pdf",
        "evidence: SHA-256": "a1" * 32,
        "evidence: valid from": "2020-01-01",
        "evidence: valid until": "no end",
        "evidence: submitted by": "the platform",
        "evidence: approved by": "olga@example.com",
        "terms": "2026-01",
        "terms: reviewed on": (today - timedelta(days=181)).isoformat(),
        "terms: review overdue": "yes",
        "terms: say": "not for minors",
        "pool purpose": "Several accounts of one enterprise",
        "pool justification": "Two subsidiaries",
        "active keys": "2",
        "export classification": "4E091",
        "allowed destinations": "DE FR",
        "upstream safety filtering": "Yes",
        "models retiring": f"mock-gpt on {(clock.now() + timedelta(days=3)):%Y-%m-%d}",
    }
    bare_row = rows["Bare"]
    assert (bare_row["status"], bare_row["test channel"], bare_row["evidence"]) == ("Disabled", "yes", "None")
    assert (bare_row["terms: review overdue"], bare_row["allowed destinations"]) == ("never reviewed", "everywhere")
    assert (rows["Waiting"]["evidence"], rows["Waiting"]["evidence: submitted by"]) == (
        "Waiting for approval",
        "ada@example.com",
    )
    assert rows["Waiting"]["evidence: approved by"] == ""


def test_of_several_pieces_the_one_that_decides_is_shown(mock_channel: Channel, root: User) -> None:
    today = clock.today()
    AuthorisationEvidence.objects.update(valid_until=today + timedelta(days=5))
    cast.evidence(channel=mock_channel, document_name="waiting.pdf")
    cast.approved_evidence(channel=mock_channel, document_name="next.pdf", valid_from=today + timedelta(days=6))

    def shown() -> tuple[str, str]:
        (row,) = reports.compliance_rows()
        return row["evidence"], row["evidence: document"]

    assert shown() == ("In force, ends in 6 days", "contract.pdf")
    evidence.withdraw(evidence=AuthorisationEvidence.objects.get(document_name="contract.pdf"), actor=root, reason="x")
    assert shown()[1] == "next.pdf"
    evidence.withdraw(evidence=AuthorisationEvidence.objects.get(document_name="next.pdf"), actor=root, reason="x")
    assert shown() == ("Waiting for approval", "waiting.pdf")


@pytest.mark.req("CHN-08")
@pytest.mark.req("CHN-12")
def test_the_report_is_downloaded_and_that_is_on_record(mock_channel: Channel, clerk: Callable[..., Client]) -> None:
    client = clerk("view_authorisationevidence", "view_channel", "view_upstreamterms")
    assert reverse(PAGE) in pages.text(client.get(pages.list_of(AuthorisationEvidence)))
    assert "One row for each channel" in pages.text(client.get(reverse(PAGE)))
    assert not AuditEvent.objects.filter(action="compliance_report.export").exists()
    answer = client.post(reverse(PAGE))
    assert answer["Content-Type"] == "text/csv; charset=utf-8"
    assert f"compliance-{clock.today():%Y-%m-%d}.csv" in answer["Content-Disposition"]
    assert list(rows_of(pages.text(answer))) == ["Mock"]
    assert cast.UPSTREAM_SECRET not in pages.text(answer)
    event = AuditEvent.objects.get(action="compliance_report.export")
    assert (event.actor.email, event.reason) == (
        "clara@example.com",
        "Downloaded the compliance report of 1 channels as CSV",
    )


@pytest.mark.req("CHN-12")
@pytest.mark.parametrize("missing", ["view_channel", "view_upstreamterms", "view_authorisationevidence"])
def test_whoever_may_not_see_all_of_it_gets_none_of_it(
    mock_channel: Channel, clerk: Callable[..., Client], missing: str
) -> None:
    client = clerk(*({"view_channel", "view_upstreamterms", "view_authorisationevidence"} - {missing}))
    assert client.post(reverse(PAGE)).status_code == 403
    assert client.get(reverse(PAGE)).status_code == 403


def test_nothing_in_it_is_a_formula_to_a_spreadsheet(mock_channel: Channel) -> None:
    Channel.objects.update(name='=HYPERLINK("http://evil")', pool_justification="@SUM(A1)")
    (row,) = rows_of(reports.to_csv(reports.compliance_rows())).values()
    assert (row["channel"], row["pool justification"]) == ('\'=HYPERLINK("http://evil")', "'@SUM(A1)")


@pytest.mark.req("CHN-12")
def test_the_command_prints_the_same(mock_channel: Channel) -> None:
    cast.channel("Second")
    out = StringIO()
    call_command("compliance_report", stdout=out)
    assert out.getvalue() == reports.to_csv(reports.compliance_rows())
    assert list(rows_of(out.getvalue())) == ["Mock", "Second"]


def test_many_channels_are_asked_for_as_often_as_few(mock_channel: Channel) -> None:
    def queries() -> int:
        with CaptureQueriesContext(connection) as asked:
            list(reports.compliance_rows())
        return len(asked)

    few = queries()
    for number in range(5):
        made = cast.channel(f"Channel {number}")
        cast.model(f"model-{number}", on=made, retires_at=clock.now())
    assert queries() == few <= 5


def test_too_many_channels_are_refused_and_not_cut_off(
    mock_channel: Channel, clerk: Callable[..., Client], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reports, "ROWS_MAX", 0)
    client = clerk("view_authorisationevidence", "view_channel", "view_upstreamterms")
    with pytest.raises(ValidationError):
        list(reports.compliance_rows())
    assert "There are more than 0 channels" in pages.text(client.post(reverse(PAGE)))
    assert not AuditEvent.objects.filter(action="compliance_report.export").exists()
