"""The standing page: what was decided, what is asked, until when one can appeal; never who reported or decided."""

from datetime import timedelta

import pytest
from django.conf import LazySettings
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from accounts.models import NoticeRead, Organisation, Role, User
from moderation.enforcement import Step
from moderation.models import Appeal, CaseNotice, Decision, Demand, NoticeHook
from moderation.services import appeals, delivery, demands, hooks, strikes
from newapi.kernel import clock
from tests import cast
from tests.moderation import desk
from tests.portal.conftest import LogIn

PAGE = "/o/acme/standing"


@pytest.fixture
def rex(db: None) -> User:
    """Reviews; decides L3 and L4."""
    return desk.worker("rex", "reviewer")


@pytest.fixture
def sue(db: None) -> User:
    """Senior: decides L2 as well."""
    return desk.worker("sue", "senior")


def told(acme: Organisation, actor: User, **options: object) -> Decision:
    """A decision whose notice was delivered."""
    decision = desk.decided(acme, actor, **options)
    delivery.deliver()
    return decision


def html(client: Client, path: str = PAGE, status: int = 200) -> str:
    answer = client.get(path)
    assert answer.status_code == status
    if status == 200:
        assert "no-store" in answer["Cache-Control"]
    return answer.content.decode()


@pytest.mark.req("DSH-02")
def test_with_nothing_against_it_an_organisation_is_in_good_standing(
    acme: Organisation, ada: User, ben: User, log_in: LogIn
) -> None:
    assert "Acme is in good standing" in html(log_in(ada))
    assert "You are in good standing" in html(log_in(ben))


@pytest.mark.req("DSH-02")
def test_it_shows_warnings_points_with_their_end_measures_demands_notices_and_the_way_to_appeal(
    acme: Organisation, ada: User, sue: User, log_in: LogIn
) -> None:
    asked = decided_with_demand(acme, sue)
    page = html(log_in(ada))
    strike = strikes.Strike.objects.get(decision=asked)
    demand = Demand.objects.get()
    for part in (
        "CY-MALWARE",
        asked.reference,
        "Organisation suspended",
        "in force",
        f"{strike.points} point",
        demand.reference,
        "Answer<",
        f"/o/acme/standing/decisions/{asked.reference}/appeal",
        CaseNotice.objects.get(once=f"decision:{asked.pk}").subject,
    ):
        assert part in page, part
    assert "good standing" not in page


def decided_with_demand(acme: Organisation, sue: User) -> Decision:
    asked = demands.Asked("correction", "Rotate the key and tell us how.", 7)
    steps = (Step("suspend_organisation", days=7),)
    return told(acme, sue, code="CY-MALWARE", steps=steps, demands=(asked,))


@pytest.mark.req("DSH-02")
def test_many_decisions_take_no_more_queries_than_few(acme: Organisation, ada: User, rex: User, log_in: LogIn) -> None:
    client = log_in(ada)

    def queries() -> int:
        with CaptureQueriesContext(connection) as seen:
            html(client)
        return len(seen)

    for _ in range(2):
        desk.decided(acme, rex, demands=(demands.Asked("correction", "Rotate the keys and tell us how.", 7),))
    delivery.deliver()
    queries()  # the first visit is remembered
    few = queries()
    for _ in range(6):
        desk.decided(acme, rex, demands=(demands.Asked("correction", "Rotate the keys and tell us how.", 7),))
    delivery.deliver()
    assert queries() == few


@pytest.mark.req("DSH-02", "MOD-09")
def test_no_page_names_who_decided_or_what_was_reasoned_for_colleagues(
    acme: Organisation, ada: User, sue: User, rex: User, log_in: LogIn
) -> None:
    decision = decided_with_demand(acme, sue)
    appeal = appeals.submit(decision=decision, grounds="No", via="portal", user=ada)
    rita = desk.allowed(desk.worker("rita", "auditor"), "review_appeal")
    appeals.assign(appeal=appeal, reviewer=rita, actor=rita, reason="My turn")
    client = log_in(ada)
    notice = CaseNotice.objects.get(once=f"decision:{decision.pk}")
    pages = [
        PAGE,
        f"{PAGE}/notices/{notice.pk}",
        f"{PAGE}/decisions/{decision.reference}/appeal",
        f"{PAGE}/demands/{Demand.objects.get().reference}",
        "/o/acme/notices",
        appeals.link(decision),
    ]
    for path in pages:
        page = html(client, path)
        for secret in ("sue@", "Sue", "rita@", "Rita", "private-canary", "Clear enough", decision.case.summary):
            assert secret not in page, (path, secret)


@pytest.mark.req("ACC-38", "DSH-02")
def test_members_see_what_is_about_them_only_and_strangers_nothing(
    acme: Organisation, ada: User, ben: User, vera: User, gus: User, globex: Organisation, rex: User, log_in: LogIn
) -> None:
    about_all, about_ben = told(acme, rex), told(acme, rex, code="PA-LOAD", user=ben)
    shown = {}
    for user in (ada, ben, vera):
        page = html(log_in(user))
        shown[user.name] = (about_all.reference in page, about_ben.reference in page)
    assert shown == {"Ada": (True, True), "Ben": (False, True), "Vera": (False, False)}
    notice = CaseNotice.objects.get(once=f"decision:{about_all.pk}")
    paths = [f"{PAGE}/notices/{notice.pk}", f"{PAGE}/decisions/{about_all.reference}/appeal"]
    for user in (ben, vera, gus):
        for path in paths:
            assert log_in(user).get(path).status_code == 404, (user, path)
            assert log_in(user).post(path, {"grounds": "No"}).status_code in (404, 405)
    for path in [path.replace("/acme/", "/globex/") for path in paths]:
        assert log_in(gus).get(path).status_code == 404
    assert not Appeal.objects.exists()


@pytest.mark.req("NOT-04")
def test_opening_a_notice_is_reading_it_and_the_moment_is_shown(
    acme: Organisation, ada: User, rex: User, log_in: LogIn
) -> None:
    decision = told(acme, rex)
    notice = CaseNotice.objects.get(once=f"decision:{decision.pk}")
    client, path = log_in(ada), f"{PAGE}/notices/{notice.pk}"
    assert "is-unread" in html(client)
    client.head(path)
    assert not NoticeRead.objects.exists()
    page = html(client, path)
    read = NoticeRead.objects.get(user=ada, notice=notice.message)
    assert "read by you on" in page
    assert desk.FACTS in page
    with clock.shifted(3600):
        html(client, path)
    assert NoticeRead.objects.get() == read
    assert "is-unread" not in html(client)


@pytest.mark.req("MOD-29", "MOD-27")
def test_an_owner_appeals_sees_how_it_stands_and_takes_it_back(
    acme: Organisation, ada: User, rex: User, log_in: LogIn
) -> None:
    decision = told(acme, rex)
    client, path = log_in(ada), f"{PAGE}/decisions/{decision.reference}/appeal"
    assert "Send the appeal" in html(client, path)
    empty = client.post(path, {"grounds": " "})
    assert (empty.status_code, b"required" in empty.content) == (400, True)
    assert client.post(path, {"grounds": "We did not do it."}).url == path
    appeal = Appeal.objects.get()
    assert (appeal.submitted_by, appeal.via, appeal.grounds) == (ada, "portal", "We did not do it.")
    page = html(client, path)
    assert f"We have your appeal. Its number is {appeal.reference}." in page
    assert "Submitted" in page
    assert "Send the appeal" not in page
    client.post(path, {"grounds": "And again"})
    assert Appeal.objects.get().grounds == "We did not do it."
    unsure = client.post(path, {"withdraw": "1", "reason": ""})
    assert (unsure.status_code, b"if you really want to take it back" in unsure.content) == (400, True)
    assert client.post(path, {"withdraw": "1", "reason": "", "is_sure": "on"}).url == path
    appeal.refresh_from_db()
    assert appeal.state == "withdrawn"
    assert "Withdrawn" in html(client)


def test_after_the_window_the_page_says_so_and_keeps_what_is_sent(
    acme: Organisation, ada: User, rex: User, log_in: LogIn
) -> None:
    decision = told(acme, rex)
    client, path = log_in(ada), f"{PAGE}/decisions/{decision.reference}/appeal"
    assert "before " in html(client)
    with clock.shifted(timedelta(days=16).total_seconds()):
        assert "the window ended " in html(client)
        assert "The window has ended." in html(client, path)
        client.post(path, {"grounds": "I was ill."})
        page = html(client, path)
    assert "Too late" in page
    assert "was not taken up" in page


@pytest.mark.req("MOD-22", "NOT-06")
def test_an_owner_answers_a_demand_and_others_do_not(
    acme: Organisation, ada: User, ben: User, gus: User, rex: User, log_in: LogIn
) -> None:
    case = desk.in_review(acme, rex)
    due = clock.now() + timedelta(days=7)
    demand = demands.ask(case=case, kind="information", text="Who wrote it?", due_at=due, actor=rex)
    path = f"{PAGE}/demands/{demand.reference}"
    for user in (ben, gus):
        assert log_in(user).get(path).status_code == 404
        assert log_in(user).post(path, {"text": "Me"}).status_code == 404
    carl, viewer = cast.person("carl"), cast.person("bill")
    cast.member(acme, carl, Role.ADMIN)
    cast.member(acme, viewer, Role.BILLING)
    assert log_in(viewer).post(path, {"text": "Me"}).status_code == 404
    client = log_in(carl)
    assert "Who wrote it?" in html(client, path)
    assert client.post(path, {"text": ""}).status_code == 400
    assert client.post(path, {"text": "Our intern."}).url == PAGE
    demand.refresh_from_db()
    assert (demand.state, demand.answer, demand.answered_by) == ("answered", "Our intern.", carl)
    page = html(client, path)
    assert "Our intern." in page
    assert "Send the answer" not in page
    assert client.post(path, {"text": "Changed my mind"}).status_code == 400
    demand.refresh_from_db()
    assert demand.answer == "Our intern."


def test_markup_in_facts_and_answers_stays_text(acme: Organisation, ada: User, rex: User, log_in: LogIn) -> None:
    decision = told(acme, rex, facts="<script>alert(1)</script> was in the mails.")
    notice = CaseNotice.objects.get(once=f"decision:{decision.pk}")
    assert "<script>alert(1)" not in html(log_in(ada), f"{PAGE}/notices/{notice.pk}")


@pytest.mark.req("MOD-09")
@pytest.mark.edge(34)
def test_edge_34_an_address_quoted_in_a_demand_or_in_reasons_stands_on_no_page(
    acme: Organisation, ada: User, rex: User, log_in: LogIn
) -> None:
    canary = "bob.reporter@victims.example"
    decision = told(acme, rex)
    case, due = desk.in_review(acme, rex, "PA-LOAD"), clock.now() + timedelta(days=7)
    demand = demands.ask(case=case, kind="information", text=f"{canary} wrote to us.", due_at=due, actor=rex)
    appeal = appeals.submit(decision=decision, grounds="No", via="portal", user=ada)
    rita = desk.allowed(desk.worker("rita", "auditor"), "review_appeal")
    appeals.assign(appeal=appeal, reviewer=rita, actor=rita, reason="My turn")
    appeals.start_review(appeal=appeal, actor=rita)
    appeals.decide(appeal=appeal, outcome="upheld", reasons=f"{canary} has proof.", actor=rita)
    client = log_in(ada)
    paths = [PAGE, f"{PAGE}/demands/{demand.reference}", f"{PAGE}/decisions/{decision.reference}/appeal"]
    paths += [f"{PAGE}/notices/{notice.pk}" for notice in CaseNotice.objects.all()]
    for path in [*paths, appeals.link(decision)]:
        assert canary not in html(client, path), path
    assert "[e-mail address withheld] has proof." in html(client, paths[2])


# ---- By link


@pytest.mark.req("MOD-29")
@pytest.mark.edge(23)
def test_edge_23_a_terminated_organisation_appeals_by_link_without_a_login_and_replaying_it_shows_the_state(
    acme: Organisation, ada: User, lea_and_boss: tuple[User, User]
) -> None:
    lea, boss = lea_and_boss
    decision = terminated(acme, lea, boss)
    User.objects.filter(pk=ada.pk).update(is_active=False)
    path = appeals.link(decision)
    client = Client(enforce_csrf_checks=True)
    page = html(client, path)
    token = page.split('name="csrfmiddlewaretoken" value="')[1].split('"')[0]
    answer = client.post(path, {"grounds": "It was not us.", "csrfmiddlewaretoken": token})
    assert (answer.status_code, answer.url) == (302, path)
    appeal = Appeal.objects.get()
    assert (appeal.via, appeal.submitted_by, appeal.state) == ("link", None, "submitted")
    again = html(Client(), path)
    assert appeal.reference in again
    assert "Submitted" in again
    assert "Send the appeal" not in again
    Client().post(path, {"grounds": "Replayed"})
    assert Appeal.objects.get().grounds == "It was not us."


@pytest.mark.req("MOD-29")
@pytest.mark.edge(23)
def test_edge_23_the_link_of_another_case_or_a_forged_one_is_not_found(
    acme: Organisation, globex: Organisation, rex: User
) -> None:
    ours, theirs = told(acme, rex), told(globex, rex)
    mine, other = appeals.link(ours), appeals.link(theirs)
    payload, signature = other.rpartition(":")[0], mine.rpartition(":")[2]
    page = html(Client(), mine)
    assert "Globex" not in page
    assert theirs.reference not in page
    for path in (f"{payload}:{signature}", mine[:-2], "/appeal/nonsense", f"/appeal/{ours.pk}"):
        assert Client().get(path).status_code == 404, path
        assert Client().post(path, {"grounds": "No"}).status_code == 404, path
    assert not Appeal.objects.exists()


@pytest.fixture
def lea_and_boss(db: None) -> tuple[User, User]:
    """A lead, and another who agrees."""
    return desk.worker("lea", "lead"), desk.worker("boss", "lead")


def terminated(acme: Organisation, lea: User, boss: User) -> Decision:
    from moderation.services import decisions

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
    decisions.approve(decision=made, actor=boss, reason="I agree")
    delivery.deliver()
    made.refresh_from_db()
    assert (made.state, made.actions.get().state) == ("issued", "in_force")
    return made


def test_the_page_behind_the_link_is_found_by_no_search_engine_and_tells_no_other_site_its_address(
    acme: Organisation, rex: User
) -> None:
    answer = Client().get(appeals.link(told(acme, rex)))
    assert answer["X-Robots-Tag"] == "noindex"
    assert answer["Referrer-Policy"] == "same-origin"
    assert "no-store" in answer["Cache-Control"]


def test_the_link_is_throttled_by_address(acme: Organisation, rex: User) -> None:
    path = appeals.link(told(acme, rex))
    answers = [Client(REMOTE_ADDR="203.0.113.9").post(path, {"grounds": " "}).status_code for _ in range(21)]
    assert answers == [400] * 20 + [429]
    assert Client(REMOTE_ADDR="203.0.113.10").post(path, {"grounds": " "}).status_code == 400


def test_of_a_sealed_case_the_link_shows_nothing_of_what_it_is_about(acme: Organisation, db: None) -> None:
    kim = desk.worker("kim", "child safety")
    case = desk.in_review(acme, kim, "CS-CSAM")
    decision = Decision.objects.create(
        reference="D-1", case=case, state="issued", finding="violation", category=case.category, level="L1",
        facts="facts-canary", proposed_by=kim, issued_at=clock.now(),
    )  # fmt: skip
    page = html(Client(), appeals.link(decision))
    for secret in ("CS-CSAM", "facts-canary", case.reference, case.category.name):
        assert secret not in page
    assert "Send the appeal" in page


# ---- How notices reach you


@pytest.mark.req("NOT-01", "ACC-38")
def test_owners_and_admins_set_language_time_zone_and_webhook_and_see_its_secret_once(
    acme: Organisation, ada: User, ben: User, gus: User, log_in: LogIn, settings: object
) -> None:
    settings.NOTICE_WEBHOOK_PRIVATE_ADDRESSES = True  # type: ignore[attr-defined]
    path = "/o/acme/notice-settings"
    sent = {"language": "de", "time_zone": "Europe/Berlin", "url": "https://localhost/hook"}
    assert log_in(ben).post(path, sent).status_code == 403
    assert log_in(gus).post(path, sent).status_code == 404
    client = log_in(ada)
    answer = client.post(path, sent)
    secret = answer.content.decode().split('value="whsec_')[1].split('"')[0]
    assert "no-store" in answer["Cache-Control"]
    acme.refresh_from_db()
    assert (acme.language, acme.time_zone) == ("de", "Europe/Berlin")
    page = html(client, path)
    assert secret not in page
    assert "https://localhost/hook" in page
    renewed = client.post(f"{path}/secret", {"is_sure": "1"}).content.decode()
    assert "whsec_" in renewed
    assert secret not in renewed
    assert client.get(f"{path}/secret").status_code == 405
    assert client.post(path, {**sent, "url": ""}).url == path
    assert "https://localhost/hook" not in html(client, path)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"time_zone": "Mars/Olympus"}, "There is no such time zone"),
        ({"language": "xx"}, "Select a valid choice"),
        ({"url": "http://example.com"}, "https://"),
        ({"url": "https://127.0.0.1/"}, "leads inside"),
    ],
)
def test_what_does_not_work_is_said_beside_its_field_and_nothing_changes(
    acme: Organisation, ada: User, log_in: LogIn, change: dict[str, str], complaint: str
) -> None:
    sent = {"language": "de", "time_zone": "Europe/Berlin", "url": "", **change}
    answer = log_in(ada).post("/o/acme/notice-settings", sent)
    assert answer.status_code == 400
    assert complaint in answer.content.decode()
    acme.refresh_from_db()
    assert (acme.language, acme.time_zone) == ("", "")


@pytest.mark.req("NOT-01")
def test_another_secret_of_a_webhook_is_made_only_by_who_says_that_the_old_one_is_to_end(
    acme: Organisation, ada: User, settings: LazySettings, log_in: LogIn
) -> None:
    settings.NOTICE_WEBHOOK_PRIVATE_ADDRESSES = True
    hook, _ = hooks.save(organisation=acme, url="https://localhost/inbox", actor=ada, reason="Ours")
    client, path = log_in(ada), "/o/acme/notice-settings/secret"
    assert b"Nothing was changed" in client.post(path, follow=True).content
    assert NoticeHook.objects.get().sealed_secret == hook.sealed_secret
    assert b"whsec_" in client.post(path, {"is_sure": "1"}).content
    assert NoticeHook.objects.get().sealed_secret != hook.sealed_secret
