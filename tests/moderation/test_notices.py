"""Notices: whole or not at all, in the reader's words, and never a word about who reported or decided."""

from datetime import UTC, datetime, timedelta

import pytest
from django.core import mail
from django.core.exceptions import ValidationError

from accounts.models import Notice, Organisation, User
from moderation import notice_kinds, notice_seeds
from moderation.enforcement import Step
from moderation.errors import NotPermitted, VersionConflict
from moderation.models import AuthorityReport, CaseNotice, Decision, NoticeTemplate, PolicyText, Report
from moderation.services import (
    appeals,
    decisions,
    delivery,
    demands,
    interim,
    notice_values,
    notices,
    reports,
    templates,
)
from moderation.services.proposals import Proposal
from newapi.kernel import clock
from tests import cast
from tests.moderation import desk

pytestmark = pytest.mark.django_db

NOON = datetime(2026, 6, 15, 12, tzinfo=UTC)
SUSPENSION = Step("suspend_organisation", days=7)


def notice_of(decision: Decision) -> CaseNotice:
    return CaseNotice.objects.get(once=f"decision:{decision.pk}")


def suspended(acme: Organisation, actor: User, **options: object) -> Decision:
    """An L2 decided by a senior."""
    return desk.decided(acme, actor, code="CY-MALWARE", steps=(SUSPENSION,), **options)


# ---- What stands in it


@pytest.mark.req("NOT-05")
def test_a_decision_notice_names_facts_code_text_version_action_scope_duration_automation_and_appeal(
    acme: Organisation, sue: User
) -> None:
    slowed = Step("rate", rate_per_minute=10, days=3)
    with clock.at(NOON):
        decision = desk.decided(acme, sue, code="CY-MALWARE", steps=(slowed,), is_automated=True)
    body = notice_of(decision).body
    text = PolicyText.objects.filter(category__code="CY-MALWARE", language="en").latest("version")
    for part in (
        desk.FACTS,
        f"CY-MALWARE {decision.category.name}, version {text.version} of",
        "Rate limited\n  Concerns: the whole organisation Acme",
        "At most 10 calls a minute pass",
        "in force since 15 June 2026, 12:00 (UTC), until 18 June 2026, 12:00 (UTC)",
        "Automated means took part in finding this.",
        "You may appeal until the end of 29 June 2026 (UTC)",
        appeals.link(decision),
        decision.reference,
        decision.case.reference,
    ):
        assert part in body, part


@pytest.mark.req("NOT-05", "MOD-09", "DSH-02")
def test_nobody_of_the_desk_and_nothing_reasoned_for_colleagues_stands_in_it(acme: Organisation, rex: User) -> None:
    decision = desk.decided(acme, rex)
    told = notice_of(decision)
    for secret in (rex.email, rex.name, "private-canary", "Clear enough", decision.case.summary):
        assert secret not in told.subject + told.body


@pytest.mark.req("NOT-05")
@pytest.mark.edge(36)
def test_edge_36_a_notice_with_an_unresolved_placeholder_is_blocked_and_nothing_is_decided(
    acme: Organisation, rex: User
) -> None:
    NoticeTemplate.objects.create(
        kind="decision", language="en", version=2, subject="Decision {decision}", body="Dear {customer_name}", note="x"
    )
    with pytest.raises(ValidationError, match="customer_name"):
        desk.decided(acme, rex)
    assert not CaseNotice.objects.exists()
    assert not Decision.objects.filter(state=Decision.State.ISSUED).exists()
    assert delivery.deliver() == 0
    assert mail.outbox == []


@pytest.mark.req("NOT-05")
@pytest.mark.edge(36)
def test_edge_36_a_brace_that_belongs_to_no_placeholder_is_blocked(acme: Organisation, rex: User) -> None:
    good = NoticeTemplate.objects.get(kind="decision", language="en")
    NoticeTemplate.objects.create(
        kind="decision", language="en", version=2, subject="x", body=good.body + "{Decision}", note="x"
    )
    with pytest.raises(ValidationError, match="brace"):
        desk.decided(acme, rex)
    assert not CaseNotice.objects.exists()


@pytest.mark.req("NOT-05")
@pytest.mark.parametrize("name", sorted(notice_kinds.KINDS["decision"].required))
def test_any_field_that_is_missing_blocks_the_notice(acme: Organisation, name: str) -> None:
    template = NoticeTemplate.objects.get(kind="decision", language="en")
    values = dict.fromkeys(notice_kinds.KINDS["decision"].known, "something")
    notices.rendered(template, values)
    for lacking in ({**values, name: "  "}, {key: value for key, value in values.items() if key != name}):
        with pytest.raises(ValidationError, match=name):
            notices.rendered(template, lacking)


def test_a_value_that_looks_like_a_placeholder_stays_text(acme: Organisation, rex: User) -> None:
    decision = desk.decided(acme, rex, facts="They sent {appeal_link} and {nonsense}.")
    assert "They sent {appeal_link} and {nonsense}." in notice_of(decision).body


@pytest.mark.req("MOD-09")
@pytest.mark.edge(34)
@pytest.mark.parametrize("canary", ["bob.reporter@victims.example", "o'brien@victims.example"])
def test_edge_34_the_reporters_address_quoted_in_a_description_is_absent_from_everything_the_accused_reads(
    acme: Organisation, rex: User, canary: str
) -> None:
    report, _ = reports.submit(
        description=f"Write to me at {canary}. They spam me.",
        email=canary,
        category=desk.category("PA-RATE"),
        model_name="mock-gpt",
        channel=Report.Channel.WEB,
    )
    case = report.case
    other = desk.in_review(acme, rex)
    decision = decisions_of(other, rex, facts=f"Somebody wrote from {canary} that you sent bulk mail.")
    text = notice_of(decision)
    assert canary not in text.body
    assert "wrote from [e-mail address withheld] that" in text.body
    assert case.pk != other.pk
    delivery.deliver()
    to_accused = [one for one in mail.outbox if one.to == ["ada@example.com"]]
    assert to_accused
    assert all(canary not in one.body + one.subject for one in to_accused)
    assert not Notice.objects.filter(title__contains=canary).exists()


@pytest.mark.req("MOD-09")
def test_addresses_of_any_script_are_withheld_and_the_organisations_own_are_not(acme: Organisation, ada: User) -> None:
    text = "To 'ada@example.com', Ada@example.com. Not jürgen@bücher.example, tom@пример.рф or x+y@a.b-c.example!"
    assert notice_values.as_read(text, acme) == (
        "To 'ada@example.com', Ada@example.com. Not [e-mail address withheld], [e-mail address withheld] or "
        "[e-mail address withheld]!"
    )


def decisions_of(case: object, actor: User, *, facts: str) -> Decision:
    proposal = Proposal(
        finding="violation",
        category=case.category,  # type: ignore[attr-defined]
        facts=facts,
        steps=(Step("warning"),),
        deviation_reason="As the desk agreed",
    )
    made = decisions.propose(case=case, proposal=proposal, expected_version=case.version, actor=actor)  # type: ignore
    return decisions.issue(decision=made, actor=actor, reason="Clear")


def test_addresses_of_the_organisation_itself_and_ours_stay(acme: Organisation, rex: User) -> None:
    decision = desk.decided(acme, rex, facts="Ask ada@example.com, or write to abuse@localhost, not eve@evil.example.")
    assert (
        "Ask ada@example.com, or write to abuse@localhost, not [e-mail address withheld]." in notice_of(decision).body
    )


# ---- Words


@pytest.mark.req("NOT-01")
def test_an_organisation_is_written_to_in_its_language_and_its_time_zone(acme: Organisation, rex: User) -> None:
    Organisation.objects.filter(pk=acme.pk).update(language="de-AT", time_zone="Europe/Vienna")
    acme.refresh_from_db()
    with clock.at(NOON):
        decision = desk.decided(acme, rex)
    told = notice_of(decision)
    assert told.template.language == "de"
    assert told.subject == f"Entscheidung {decision.reference}"
    assert "Ablauf des 29. Juni 2026 (Europe/Vienna)" in told.body
    assert "Schriftliche Verwarnung" in told.body
    assert decision.policy_text is not None
    assert (decision.policy_text.language, decision.policy_text.text in told.body) == ("de", True)


def test_a_language_without_texts_is_answered_in_english(acme: Organisation, rex: User) -> None:
    Organisation.objects.filter(pk=acme.pk).update(language="fr")
    acme.refresh_from_db()
    assert notice_of(desk.decided(acme, rex)).template.language == "en"


@pytest.mark.req("NOT-05")
def test_every_kind_has_a_whole_text_in_english_and_german() -> None:
    seeded = {(kind, language) for kind, language, _, _ in notice_seeds.texts()}
    assert seeded == {(kind, language) for kind in NoticeTemplate.Kind.values for language in ("en", "de")}
    assert set(NoticeTemplate.objects.values_list("kind", "language")) == seeded
    assert set(notice_kinds.KINDS) == set(NoticeTemplate.Kind.values)


# ---- Prior notice


@pytest.mark.req("NOT-02", "MOD-21", "MOD-37")
def test_a_suspension_is_announced_first_and_begins_after_the_first_attempt_whether_or_not_it_arrived(
    acme: Organisation, sue: User
) -> None:
    acme.memberships.update(is_active=False)  # nobody can be mailed
    decision = suspended(acme, sue)
    action = decision.actions.get()
    told = notice_of(decision)
    assert (told.template.kind, action.state, told.attempted_at) == ("prior", "planned", None)
    assert "They take effect:" in told.body
    assert "not yet in force, for 7 days from its beginning" in told.body
    delivery.deliver()
    action.refresh_from_db()
    told.refresh_from_db()
    assert action.state == "in_force"
    assert told.attempted_at <= action.starts_at
    assert told.deliveries.get(channel="email").state == "failed"


@pytest.mark.req("NOT-02", "MOD-21")
def test_with_a_coded_exception_it_holds_at_once_and_the_notice_says_so(acme: Organisation, sue: User) -> None:
    decision = suspended(acme, sue, no_notice="security", no_notice_reason="The attack goes on")
    told = notice_of(decision)
    assert (told.template.kind, decision.actions.get().state) == ("decision", "in_force")
    assert "in force since" in told.body
    assert "The attack goes on" not in told.body


@pytest.mark.req("MOD-21")
@pytest.mark.parametrize(("code", "why"), [("", "x"), ("security", " "), ("mood", "Because")])
def test_an_exception_without_code_or_reason_is_none(acme: Organisation, sue: User, code: str, why: str) -> None:
    if not code:
        decision = suspended(acme, sue, no_notice=code, no_notice_reason=why)
        assert decision.actions.get().state == "planned"
        return
    with pytest.raises(ValidationError):
        suspended(acme, sue, no_notice=code, no_notice_reason=why)
    assert not CaseNotice.objects.exists()


# ---- The other kinds


@pytest.mark.req("NOT-06", "MOD-22")
def test_the_deadline_in_the_text_of_a_demand_is_the_one_that_is_stored(acme: Organisation, rex: User) -> None:
    Organisation.objects.filter(pk=acme.pk).update(time_zone="America/New_York")
    with clock.at(NOON):
        case = desk.in_review(Organisation.objects.get(), rex)
        due = NOON + timedelta(days=7)
        demand = demands.ask(case=case, kind="information", text="Who wrote it?", due_at=due, actor=rex)
    told = CaseNotice.objects.get(demand=demand)
    demand.refresh_from_db()
    assert demand.due_at == due
    assert told.body.count("22 June 2026, 08:00 (America/New_York)") == 1
    assert "22 June 2026, 08:00 (America/New_York)" in told.subject
    assert "Who wrote it?" in told.body


@pytest.mark.req("MOD-15", "NOT-05")
def test_an_interim_measure_is_told_without_what_the_suspicion_rests_on(acme: Organisation, sue: User) -> None:
    with clock.at(NOON):
        case = desk.in_review(acme, sue, "CY-MALWARE")
        action = interim.impose(case=case, step=Step("suspend_organisation"), actor=sue, reason="Secret source")
    told = CaseNotice.objects.get(once=f"interim:{action.pk}")
    assert "18 June 2026, 12:00 (UTC)" in told.body
    assert "CY-MALWARE" in told.body
    assert "Secret source" not in told.body
    assert case.summary not in told.body
    interim.release(action=action, actor=sue, reason="Nothing behind it.")
    lifted = CaseNotice.objects.get(once=f"lifted:{action.pk}")
    assert "It was ended before its time." in lifted.body
    assert "Nothing behind it." not in lifted.body


@pytest.mark.req("MOD-10", "MOD-09")
def test_a_reporter_is_told_that_it_came_in_and_the_class_of_what_came_of_it(acme: Organisation, rex: User) -> None:
    report, _ = reports.submit(
        description="They send me bulk mail.",
        email="bob@victims.example",
        category=desk.category("PA-RATE"),
        model_name="mock-gpt",
        channel=Report.Channel.WEB,
    )
    notices.of_report_received(report)
    received = CaseNotice.objects.get(once=f"report:{report.pk}:received")
    assert (received.audience, received.organisation, report.reference in received.body) == ("reporter", None, True)
    Report.objects.filter(pk=report.pk).update(
        outcome="action", outcome_reason="Reason for us", outcome_by=rex, outcome_at=clock.now()
    )
    report.refresh_from_db()
    told = notices.of_report_outcome(report)
    assert "We found a violation and acted on it." in told.body
    assert "Reason for us" not in told.body
    delivery.deliver()
    assert {tuple(one.to) for one in mail.outbox} == {("bob@victims.example",)}


def test_the_outcome_of_a_report_that_is_open_is_no_notice(acme: Organisation) -> None:
    report, _ = reports.submit(
        description="They send me bulk mail.",
        model_name="mock-gpt",
        email="",
        category=None,
        channel=Report.Channel.WEB,
    )
    with pytest.raises(ValidationError, match="outcome"):
        notices.of_report_outcome(report)


def test_the_same_is_never_told_twice(acme: Organisation, rex: User) -> None:
    decision = desk.decided(acme, rex)
    first = notice_of(decision)
    assert notices.of_decision(decision) == first
    assert CaseNotice.objects.count() == 1
    assert first.deliveries.count() == 2


# ---- Texts


@pytest.fixture
def tess(categories: None) -> User:
    """Writes the texts."""
    return desk.allowed(cast.person("tess", is_staff=True), "add_noticetemplate", "view_noticetemplate")


def text_of(kind: str = "lifted") -> dict[str, str]:
    found = NoticeTemplate.objects.filter(kind=kind, language="en").latest("version")
    return {"kind": kind, "language": "en", "subject": found.subject, "body": found.body}


def test_a_published_text_is_the_next_version_and_the_next_notice_uses_it(
    acme: Organisation, globex: Organisation, rex: User, tess: User
) -> None:
    words = text_of("decision")
    first = notice_of(desk.decided(acme, rex))
    made = templates.publish(**{**words, "body": words["body"] + "\n\nKind regards"}, note="Politer", actor=tess)
    assert (made.version, made.author) == (2, tess)
    second = notice_of(desk.decided(globex, rex))
    assert (first.template.version, second.template.version) == (1, 2)
    assert second.body.endswith("Kind regards")
    first.refresh_from_db()
    assert not first.body.endswith("Kind regards")


@pytest.mark.edge(36)
@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"body": "Dear {customer}"}, "customer"),
        ({"body": "It ended on {lifted_at}: {reason}"}, "measures"),
        ({"subject": "About {facts}"}, "facts"),
        ({"body": "{measures} {lifted_at} {reason} {oops"}, "brace"),
        ({"body": "{measures} {lifted_at} {reason} {Case}"}, "brace"),
        ({"body": "  "}, "measures"),
        ({"subject": " "}, "need a text"),
        ({"language": "English"}, "de or zh-Hans"),
        ({"kind": "greeting"}, "greeting"),
        ({"note": " "}, "reason"),
        ({"subject": "x" * 201}, "200"),
    ],
)
def test_a_text_with_an_unknown_or_a_missing_placeholder_is_not_published(
    tess: User, change: dict[str, str], complaint: str
) -> None:
    before = NoticeTemplate.objects.count()
    with pytest.raises(ValidationError, match=complaint):
        templates.publish(**{**text_of(), "note": "Politer", **change}, actor=tess)
    assert NoticeTemplate.objects.count() == before


def test_only_whoever_may_publishes_texts_and_of_two_who_saw_the_same_one_does(lea: User, tess: User) -> None:
    with pytest.raises(NotPermitted, match="add_noticetemplate"):
        templates.publish(**text_of(), note="Politer", actor=lea)
    templates.publish(**text_of(), note="Politer", expected_version=1, actor=tess)
    with pytest.raises(VersionConflict):
        templates.publish(**text_of(), note="Politer", expected_version=1, actor=tess)


@pytest.mark.parametrize("kind", NoticeTemplate.Kind.values)
def test_every_text_can_be_looked_at_with_examples(kind: str) -> None:
    subject, body = templates.preview(**text_of(kind))
    assert "{" not in subject + body


# ---- Sealed


@pytest.mark.req("NOT-05")
def test_of_a_sealed_case_the_mail_says_only_that_there_is_a_notice_in_the_portal(
    acme: Organisation, kim: User
) -> None:
    case = desk.in_review(acme, kim, "CS-CSAM")
    action = interim.impose(case=case, step=Step("suspend_organisation"), actor=kim, reason="Cannot wait")
    told = CaseNotice.objects.get(once=f"interim:{action.pk}")
    assert "CS-CSAM" in told.body
    delivery.deliver()
    [sent] = mail.outbox
    for substance in ("CS-CSAM", case.reference, "suspend", "Suspend", told.subject):
        assert substance not in sent.subject + sent.body
    assert f"/o/acme/standing/notices/{told.pk}" in sent.body
    message = Notice.objects.get(once=f"case_notice:{told.pk}")
    assert (message.body, "CS-CSAM" in message.title, case.reference in message.title) == ("", False, False)
    assert not AuthorityReport.objects.filter(state="submitted").exists()


def test_a_case_that_is_closed_without_a_violation_tells_the_organisation_nothing(
    acme: Organisation, rex: User
) -> None:
    case = desk.in_review(acme, rex)
    proposal = Proposal(finding="no_violation", category=case.category, facts="Nothing in it.")
    made = decisions.propose(case=case, proposal=proposal, expected_version=case.version, actor=rex)
    decisions.issue(decision=made, actor=rex, reason="Clear")
    assert not CaseNotice.objects.exists()
