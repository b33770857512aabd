"""Transparency: what a period's report counts, that it is reproduced, hides what is small, and stays as it was."""

import csv
import io
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from html import unescape

import pytest
from django.contrib.auth.models import Permission
from django.core.exceptions import ValidationError
from django.test import Client

import newapi.urls  # noqa: F401 - puts the admin site together
from accounts.models import AuditEvent, Organisation, User
from moderation.errors import NotPermitted
from moderation.models import (
    Appeal,
    AuthorityReport,
    Case,
    Decision,
    EnforcementAction,
    Report,
    Reporter,
    TransparencyReport,
)
from moderation.services import reporters, sla, sla_sweep, transparency
from newapi.kernel import clock
from tests.admin import pages
from tests.admin.conftest import boss, staff  # noqa: F401
from tests.moderation import desk

pytestmark = pytest.mark.django_db

START, END = datetime(2026, 4, 1, tzinfo=UTC), datetime(2026, 7, 1, tzinfo=UTC)
AFTER = END + timedelta(days=3)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
WHY = "The second quarter is over"


def reported(case: Case, number: int, at: datetime, *, code: str = "PA-RATE", channel: str = "web") -> Report:
    """A report as it lies in the table."""
    return Report.objects.create(
        reference=f"R-{number}",
        token_digest=bytes([number // 256, number % 256]) * 16,
        channel=channel,
        received_at=at,
        category=desk.category(code) if code else None,
        task_id="x",
        sealed_description="…",
        description_digest=b"d" * 32,
        case=case,
    )


def decided(case: Case, number: int, at: datetime, by: User, **fields: object) -> Decision:
    """A decision that was issued at a moment."""
    values: dict[str, object] = {
        "reference": f"D-{number}",
        "case": case,
        "state": Decision.State.ISSUED,
        "finding": Decision.Finding.VIOLATION,
        "category": case.category,
        "level": case.level,
        "facts": "Seen in the calls",
        "decided_by": by,
        "issued_at": at,
    }
    return Decision.objects.create(**{**values, **fields})


@pytest.fixture
def quarter(acme: Organisation, rex: User, lea: User, root: User) -> list[Case]:
    """A second quarter with everything in it that is counted, and a neighbour of each on either side."""
    codes = ["PA-RATE"] * 12 + ["DC-FRAUD"] * 7 + ["PA-LOAD"] * 3 + ["CS-CSAM"] * 2
    made = [a_case(number, code, acme, rex, lea) for number, code in enumerate(codes)]
    for number, moment in ((900, START - HOUR), (901, END)):
        with clock.at(moment):
            reported(desk.case_of(acme), number, clock.now())
    tell_authorities(made[0], lea, root)
    measure_reporters(lea)
    with clock.at(AFTER):
        while sla_sweep.advance():
            pass
    return made


def a_case(number: int, code: str, acme: Organisation, rex: User, lea: User) -> Case:
    """The numberth of the quarter: reported, answered in some hours, decided, and for the first ones appealed."""
    received_at = START + (number + 1) * DAY
    with clock.at(received_at):
        case = desk.case_of(acme, code, actor=None if number % 2 else lea)
        reported(case, number, clock.now(), code=code, channel=("web", "api")[number % 2])
    with clock.at(received_at + (2 + number % 3) * HOUR):
        sla.stop(case=case, kind="response")
        if number % 4:
            sla.stop(case=case, kind="resolution")
        decision = decided(case, number, clock.now(), rex, is_automated=number % 3 == 0)
        EnforcementAction.objects.create(
            decision=decision,
            case=case,
            kind=("warning", "rate")[number % 2],
            state=EnforcementAction.State.IN_FORCE,
            starts_at=clock.now(),
        )
        if number < 14:
            Appeal.objects.create(
                reference=f"A-{number}",
                decision=decision,
                via=Appeal.Via.LINK,
                grounds="No",
                submitted_at=clock.now() + DAY,
                deadline_at=clock.now() + 14 * DAY,
                decided_at=clock.now() + 5 * DAY,
                state=("upheld", "overturned")[number < 5],
                outcome_reason="Looked at it again",
            )
    return case


def tell_authorities(case: Case, lea: User, root: User) -> None:
    """Reports to the authorities of three countries, and an exercise, which is none."""
    told = {"case": case, "state": AuthorityReport.State.SUBMITTED, "due_at": END}
    for number, country in enumerate(["DE"] * 6 + ["FR"] * 5 + ["US"]):
        AuthorityReport.objects.create(
            **told,
            authority="Police",
            country=country,
            legal_basis="Law",
            prepared_by=lea,
            approved_by=root,
            submitted_at=START + (number + 1) * DAY,
        )
    AuthorityReport.objects.create(
        **told, authority="Drill", legal_basis="Drill", country="DE", is_test=True, submitted_at=START + DAY
    )


def measure_reporters(lea: User) -> None:
    """Measures against six who reported again and again, one of them taken back."""
    lea.user_permissions.add(Permission.objects.get(codename="view_reporter"))
    keeper = User.objects.get(pk=lea.pk)
    for number in range(6):
        with clock.at(START + (number + 1) * DAY):
            reporter = Reporter.objects.create(digest=bytes([number]) * 32)
            reporters.measure(reporter=reporter, until=clock.now() + 30 * DAY, reason="Mass reports", actor=keeper)
            if number == 0:
                reporters.measure(reporter=reporter, until=None, reason="An error", actor=keeper)


def made(actor: User, *, starts_at: datetime = START, ends_at: datetime = END) -> TransparencyReport:
    with clock.at(AFTER):
        return transparency.make(starts_at=starts_at, ends_at=ends_at, actor=actor, reason=WHY)


def published(actor: User, **span: datetime) -> TransparencyReport:
    with clock.at(AFTER):
        return transparency.publish(report=made(actor, **span), actor=actor, reason=WHY)


def full(report: TransparencyReport, name: str) -> dict[str, int]:
    """A table as the house sees it."""
    [table] = [one for one in report.full["tables"] if one["id"] == name]
    return dict(table["rows"])


def shown(report: TransparencyReport, name: str) -> dict[str, int | None]:
    """A table as everybody sees it."""
    [table] = [one for one in report.figures["tables"] if one["id"] == name]
    return dict(table["rows"])


def test_a_report_counts_what_happened_in_its_period(quarter: list[Case], root: User) -> None:
    report = made(root)
    assert full(report, "reports_by_category") == {"PA-RATE": 12, "DC-FRAUD": 7, "PA-LOAD": 3, "Child safety": 2}
    assert full(report, "reports_by_channel") == {"Web form": 12, "API": 12, "Mail, typed in by staff": 0}
    assert full(report, "reports_by_outcome")["Being looked at"] == 24
    assert full(report, "cases_by_source") == {"Automated signal": 12, "Staff": 12, "User report": 0}
    assert full(report, "decisions_by_finding") == {"Violation": 24, "No violation": 0}
    assert full(report, "violations_by_category") == {
        "PA-RATE": 12, "DC-FRAUD": 7, "PA-LOAD": 3, "Child safety": 2,
    }  # fmt: skip
    assert full(report, "violations_by_ground") == {"Against the law": 9, "Against our terms": 15}
    assert full(report, "decisions_by_means") == {"Found with automated means": 8, "Found by people alone": 16}
    assert full(report, "actions_by_kind")["Written warning"] == 12
    assert full(report, "appeals_by_outcome") == {
        "Decision upheld": 9, "Decision overturned": 5, "Decision modified": 0, "Withdrawn": 0,
    }  # fmt: skip
    assert full(report, "authority_reports_by_country") == {"DE": 6, "FR": 5, "US": 1}
    assert full(report, "reporter_measures") == {"Measures": 6}
    promises = full(report, "promises")
    assert promises["L3, response: kept"] == 12
    assert promises["L3, resolution: kept"] == 9
    # Three of the period, and that of 31 March, which was broken in it.
    assert promises["L3, resolution: missed"] == 4
    shares = {share["id"]: share["percent"] for share in report.figures["shares"]}
    assert shares == {"own_initiative": 100.0, "automated_decisions": 33.3, "reversals": 35.7}
    [median] = [one for one in report.full["durations"] if one["id"] == "response_all"]
    assert (median["count"], median["median_hours"], median["p90_hours"]) == (24, 3.0, 4.0)


@pytest.mark.edge(42)
def test_edge_42_what_is_small_is_hidden_and_does_not_follow_from_the_total(quarter: list[Case], root: User) -> None:
    report = made(root)
    assert shown(report, "reports_by_category") == {
        "PA-RATE": 12, "DC-FRAUD": None, "PA-LOAD": None, "Child safety": None,
    }  # fmt: skip
    assert shown(report, "authority_reports_by_country") == {"DE": 6, "FR": None, "US": None}
    # One duration of each level that rests on fewer than five is left out.
    assert {one["id"] for one in report.figures["durations"]}.isdisjoint({"response_l1", "response_l4"})
    text = json.dumps(report.figures)
    assert "CS-CSAM" not in text
    assert '"count"' not in text


@pytest.mark.edge(42)
def test_edge_42_no_share_is_told_of_a_table_that_hides_something(acme: Organisation, rex: User, root: User) -> None:
    for number in range(9):
        with clock.at(START + number * DAY):
            case = desk.case_of(acme)
            decided(case, number, clock.now(), rex, is_automated=number == 0)
    report = made(root)
    assert shown(report, "decisions_by_means") == {}
    assert "automated_decisions" not in {share["id"] for share in report.figures["shares"]}


@pytest.mark.edge(42)
def test_edge_42_the_grounds_do_not_give_away_a_category_that_is_hidden(
    acme: Organisation, rex: User, root: User
) -> None:
    # Hidden are 3 and 7; the sums by ground would say which is which.
    codes = ["PA-RATE"] * 3 + ["DC-FRAUD"] * 7 + ["CY-MALWARE"] * 20 + ["PA-LOAD"] * 30
    with clock.at(START):
        for number, code in enumerate(codes):
            decided(desk.case_of(acme, code), number, clock.now(), rex)
    report = made(root)
    hidden = {code for code, count in shown(report, "violations_by_category").items() if count is None}
    assert hidden == {"PA-RATE", "DC-FRAUD"}
    assert shown(report, "violations_by_ground") == {}
    assert "law" not in {share["id"] for share in report.figures["shares"]}


@pytest.mark.edge(42)
def test_edge_42_the_total_of_decisions_does_not_give_away_how_few_found_nothing(
    acme: Organisation, rex: User, root: User
) -> None:
    with clock.at(START):
        for number in range(15):
            finding = "no_violation" if number < 3 else "violation"
            decided(desk.case_of(acme), number, clock.now(), rex, finding=finding, is_automated=number % 2 == 0)
    report = made(root)
    assert shown(report, "violations_by_category") == {"PA-RATE": 12}
    totals = {table["id"]: table["total"] for table in report.figures["tables"]}
    assert (totals["decisions_by_finding"], totals["decisions_by_means"]) == (None, None)
    with clock.at(AFTER):
        transparency.publish(report=report, actor=root, reason=WHY)
        page = unescape(Client().get("/transparency").content.decode())
    assert "Withheld: there is too little in it" in page
    assert "fewer than 5" not in page
    assert "15" not in json.dumps([table for table in report.figures["tables"] if "decisions" in table["id"]])


def test_computed_again_later_the_same_period_comes_to_the_same(
    quarter: list[Case], root: User, rex: User, acme: Organisation
) -> None:
    report = made(root)
    with clock.at(AFTER + 40 * DAY):
        # What happens afterwards belongs to later periods.
        Report.objects.filter(reference="R-1").update(
            outcome="action", outcome_reason="Done", outcome_by=rex, outcome_at=clock.now()
        )
        Case.objects.filter(pk=quarter[0].pk).update(received_at=START - 10 * DAY)
        for case in quarter[::4]:
            sla.stop(case=case, kind="resolution")
        desk.case_of(acme)
        assert transparency.is_reproduced(report)
        again = transparency.make(starts_at=START, ends_at=END, actor=root, reason=WHY)
    assert bytes(again.digest) == bytes(report.digest)
    assert again.figures == report.figures
    reported(quarter[0], 950, START + DAY)
    assert not transparency.is_reproduced(report)


@pytest.mark.parametrize(
    ("starts_at", "ends_at"),
    [
        (END, START),
        (START, START),
        (START, AFTER + DAY),
        (START - 400 * DAY, END),
        (datetime(2026, 4, 1), END),
    ],
)
def test_a_period_that_is_none_or_not_over_is_refused(root: User, starts_at: datetime, ends_at: datetime) -> None:
    with pytest.raises(ValidationError) as error:
        made(root, starts_at=starts_at, ends_at=ends_at)
    assert "ends_at" in error.value.error_dict
    assert not TransparencyReport.objects.exists()


def test_it_takes_the_right_to_make_and_the_right_to_publish(root: User, lea: User) -> None:
    with pytest.raises(NotPermitted):
        made(lea)
    lea.user_permissions.add(Permission.objects.get(codename="add_transparencyreport"))
    report = made(User.objects.get(pk=lea.pk))
    with pytest.raises(NotPermitted):
        transparency.publish(report=report, actor=User.objects.get(pk=lea.pk), reason=WHY)
    transparency.publish(report=report, actor=root, reason=WHY)
    assert list(AuditEvent.objects.order_by("pk").values_list("action", flat=True)) == [
        "transparency.make",
        "transparency.publish",
    ]


@pytest.mark.edge(42)
def test_edge_42_no_overlapping_period_is_published_and_none_twice(quarter: list[Case], root: User) -> None:
    report = published(root)
    with pytest.raises(ValidationError, match="already"):
        transparency.publish(report=report, actor=root, reason=WHY)
    for span in ((START, END), (START + 30 * DAY, END - 30 * DAY), (START - DAY, START + DAY)):
        with pytest.raises(ValidationError, match="overlaps"):
            published(root, starts_at=span[0], ends_at=span[1])
    assert published(root, starts_at=START - 90 * DAY, ends_at=START).published_at


def test_what_was_changed_behind_its_back_is_neither_published_nor_shown(quarter: list[Case], root: User) -> None:
    report, other = published(root), made(root, starts_at=START - 30 * DAY, ends_at=START)
    for one in (report, other):
        one.figures["tables"][0]["total"] = 3
        TransparencyReport.objects.filter(pk=one.pk).update(figures=one.figures)
    with pytest.raises(ValidationError, match="do not match their digest"):
        transparency.publish(report=other, actor=root, reason=WHY)
    for path in ("/transparency", f"/transparency/{report.pk}.csv", f"/transparency/{report.pk}.json"):
        answer = Client().get(path)
        assert answer.status_code == 503, path
        assert b"being looked at" in answer.content


def test_everybody_reads_what_is_published_as_a_page_csv_and_json(quarter: list[Case], root: User) -> None:
    empty = Client().get("/transparency")
    assert "No report has been published yet" in empty.content.decode()
    waiting = made(root, starts_at=START - 30 * DAY, ends_at=START)
    report = published(root)
    page = unescape(Client().get("/transparency").content.decode())
    assert "1 April 2026 until before 1 July 2026" in page
    assert "Appeals that changed the decision" in page
    assert "35.7 %" in page
    assert "hidden" in page
    assert bytes(report.digest).hex() in page
    assert "CS-CSAM" not in page
    answer = Client().get(f"/transparency/{report.pk}.json")
    told = json.loads(answer.content)
    assert told.pop("digest_sha256") == bytes(report.digest).hex()
    assert told == report.figures
    assert transparency.digest(told) == bytes(report.digest)
    lines = list(csv.DictReader(io.StringIO(Client().get(f"/transparency/{report.pk}.csv").content.decode())))
    values = {(line["table"], line["row"]): line["value"] for line in lines}
    assert values["reports_by_category", "PA-RATE"] == "12"
    assert values["reports_by_category", "DC-FRAUD"].startswith("fewer than 5")
    assert values["reports_by_category", "total"] == "24"
    for path in (f"/transparency?report={waiting.pk}", f"/transparency/{waiting.pk}.json", "/transparency?report=x"):
        assert Client().get(path).status_code == 404, path
    assert Client().get(f"/transparency?report={'9' * 30}").status_code == 404
    assert 'href="/transparency"' in Client().get("/").content.decode()


class TestInTheAdmin:
    """Made after a preview, checked, published; by acts with reasons."""

    def test_preview_make_check_and_publish(self, quarter: list[Case], boss: Client) -> None:  # noqa: F811
        add = pages.add(TransparencyReport)
        span = {"first": "2026-04-01", "after": "2026-07-01"}
        with clock.at(AFTER):
            preview = unescape(pages.text(boss.post(add, {**span, "_preview": "1"})))
            assert "What everybody would read" in preview
            assert "DC-FRAUD hidden" in preview
            assert not TransparencyReport.objects.exists()
            assert pages.send(boss, add, **span).status_code == 302
            report = TransparencyReport.objects.get()
            page = unescape(pages.text(boss.get(pages.change(report))))
            assert "DC-FRAUD 7*" in page
            assert "matches the figures" in page
            same = boss.get(pages.act(report, "check_again"), follow=True)
            assert "It comes to the same figures." in unescape(pages.text(same))
            assert pages.send(boss, pages.act(report, "publish")).status_code == 302
            again = pages.send(boss, pages.act(report, "publish"))
        assert "It is public already" in unescape(pages.text(again))
        report.refresh_from_db()
        assert report.published_by is not None
        assert "1 April 2026" in Client().get("/transparency").content.decode()

    def test_a_period_that_is_not_over_is_said_beside_the_field(self, boss: Client) -> None:  # noqa: F811
        with clock.at(AFTER):
            page = pages.send(boss, pages.add(TransparencyReport), first="2026-04-01", after="2026-12-01")
        assert "The period is not over yet" in unescape(pages.text(page))

    def test_whoever_may_only_look_makes_and_publishes_nothing(
        self,
        staff: Callable[..., Client],  # noqa: F811
        root: User,
    ) -> None:
        report = made(root)
        viewer = staff("moderation.view_transparencyreport")
        for url in (pages.add(TransparencyReport), pages.act(report, "publish")):
            assert viewer.get(url).status_code == 403
            assert viewer.post(url, {"reason": pages.REASON}).status_code == 403
        assert viewer.get(pages.change(report)).status_code == 200
