"""Deciding on the page of a case: what it offers, to whom, and what it does."""

from html import unescape

import pytest
from django.test import Client

from accounts.models import Organisation, User
from moderation.models import Case, Decision, Demand, EnforcementAction, Restriction
from newapi.kernel import clock
from tests.admin import pages
from tests.moderation import desk

pytestmark = pytest.mark.django_db

ACTS = ("suspend", "propose", "decide", "approve", "move", "assign", "set_level", "ask", "send_back", "add_note")
FACTS = desk.FACTS


def browser_of(user: User) -> Client:
    """Somebody, logged in."""
    client = Client()
    client.force_login(user)
    return client


@pytest.fixture
def rex(db: None) -> User:
    """Reviews."""
    return desk.worker("rex", "reviewer")


@pytest.fixture
def lea(db: None) -> User:
    """Leads."""
    return desk.worker("lea", "lead")


def offered(client: Client, case: Case) -> set[str]:
    """The acts for which the page has a button."""
    page = pages.text(client.get(pages.change(case)))
    return {act for act in ACTS if f'href="{pages.act(case, act)}"' in page}


def test_a_reviewer_proposes_what_is_recommended_and_decides_it(acme: Organisation, rex: User) -> None:
    case, client = desk.in_review(acme, rex), browser_of(rex)
    page = unescape(pages.text(client.get(pages.act(case, "propose"))))
    assert "Written warning" in page
    assert "0 points so far, a first act" in page
    assert pages.send(client, pages.act(case, "propose"), facts=FACTS).status_code == 302
    decision = Decision.objects.get(case=case)
    assert ([action.kind for action in decision.actions.all()], decision.facts) == (["warning"], FACTS)
    assert FACTS in unescape(pages.text(client.get(pages.act(case, "decide"))))
    assert pages.send(client, pages.act(case, "decide")).status_code == 302
    case.refresh_from_db()
    assert case.state == "decided"
    page = unescape(pages.text(client.get(pages.change(case))))
    assert "2 points" in page
    assert decision.reference in page


def test_the_page_offers_what_can_be_done_now_by_that_person(acme: Organisation, rex: User, lea: User) -> None:
    case = desk.case_of(acme, "TE-TERROR")
    mine, hers = browser_of(rex), browser_of(lea)
    assert offered(mine, case) == {"suspend", "move", "assign", "set_level", "add_note"}
    desk.move(case, lea, "triaged", "in_review")
    assert offered(mine, case) == {"suspend", "propose", "move", "assign", "set_level", "ask", "add_note"}
    decision = desk.propose(case, lea)
    # The level stands while a decision by it is pending.
    assert offered(mine, case) == {"suspend", "send_back", "assign", "add_note"}
    assert "decide" in offered(hers, case)
    pages.send(hers, pages.act(case, "decide"))
    decision.refresh_from_db()
    assert decision.state == "held"
    # Whoever decided it is offered no approval; another lead is.
    assert "approve" not in offered(hers, case)
    assert "approve" in offered(browser_of(desk.worker("lou", "lead")), case)


@pytest.mark.edge(17)
def test_edge_17_no_address_lets_somebody_approve_what_they_decided(acme: Organisation, root: User) -> None:
    case = desk.in_review(acme, root, "TE-TERROR")
    desk.decide(case, root)
    client = browser_of(root)
    response = pages.send(client, pages.act(case, "approve"))
    assert "Ask a colleague" in pages.text(response)
    assert Decision.objects.get(case=case).state == "held"
    assert not EnforcementAction.objects.filter(kind="termination", state="in_force").exists()


def test_an_l1_is_suspended_before_a_decision_by_a_form_with_a_reason(acme: Organisation, rex: User) -> None:
    case, client = desk.case_of(acme, "TE-TERROR"), browser_of(rex)
    response = client.post(pages.act(case, "suspend"), {"measure": "suspend_organisation:", "reason": ""})
    assert "This field is required" in pages.text(response)
    assert not Restriction.objects.exists()
    assert pages.send(client, pages.act(case, "suspend")).status_code == 302
    assert Restriction.objects.get(organisation=acme).lifted_at is None


def test_what_is_left_out_of_a_proposal_is_said_beside_its_field(acme: Organisation, lea: User) -> None:
    case, client = desk.in_review(acme, lea), browser_of(lea)
    url = pages.act(case, "propose")
    page = pages.text(pages.send(client, url, facts=FACTS, measure_0="rate:", rate_0=""))
    assert "Say how many calls a minute still pass" in page
    page = pages.text(pages.send(client, url, facts=FACTS, measure_0="education:"))
    assert "This is not what is recommended" in page
    page = pages.text(pages.send(client, url, facts=FACTS, remedy="correction"))
    assert "Say what is asked" in page
    assert not Decision.objects.exists()


def test_a_proposal_made_from_an_old_page_is_refused(acme: Organisation, lea: User) -> None:
    case, client = desk.in_review(acme, lea), browser_of(lea)
    page = {**pages.fields(client, pages.act(case, "propose")), "facts": FACTS}
    pages.send(client, pages.act(case, "set_level"), level="L4")
    assert "Someone has changed this case" in pages.text(client.post(pages.act(case, "propose"), page))
    assert not Decision.objects.exists()


@pytest.mark.parametrize("act", ["decide", "send_back"])
def test_a_page_that_showed_another_proposal_decides_nothing(act: str, acme: Organisation, lea: User) -> None:
    case, client = desk.in_review(acme, lea), browser_of(lea)
    desk.propose(case, lea)
    old = {**pages.fields(client, pages.act(case, act)), "reason": pages.REASON}
    pages.send(client, pages.act(case, "send_back"))
    case.refresh_from_db()
    desk.propose(case, lea)
    assert "It is not what this page showed" in pages.text(client.post(pages.act(case, act), old))
    case.refresh_from_db()
    assert (case.state, Decision.objects.filter(state="proposed").count()) == ("proposed", 1)


def test_sending_a_decision_twice_says_so_and_decides_once(acme: Organisation, lea: User) -> None:
    case, client = desk.in_review(acme, lea), browser_of(lea)
    desk.propose(case, lea)
    page = {**pages.fields(client, pages.act(case, "decide")), "reason": pages.REASON}
    assert client.post(pages.act(case, "decide"), page).status_code == 302
    again = client.post(pages.act(case, "decide"), page)
    assert again.status_code == 403 or "Nothing is proposed any more" in pages.text(again)
    assert Decision.objects.get().state == "issued"


def test_nothing_found_needs_neither_measure_nor_demand(acme: Organisation, rex: User) -> None:
    case, client = desk.in_review(acme, rex), browser_of(rex)
    told = {"facts": "A load test that was announced.", "finding": "no_violation"}
    assert pages.send(client, pages.act(case, "propose"), **told).status_code == 302
    assert not Decision.objects.get().actions.exists()
    pages.send(client, pages.act(case, "decide"))
    case.refresh_from_db()
    assert case.state == "no_violation"


def test_the_organisation_is_asked_and_its_answer_judged(acme: Organisation, ada: User, rex: User) -> None:
    case, client = desk.in_review(acme, rex), browser_of(rex)
    told = {"text": "Who ran these jobs?", "due_at_0": f"{clock.now().year + 1}-01-01", "due_at_1": "12:00"}
    response = pages.send(client, pages.act(case, "ask"), **told)
    demand = Demand.objects.get() if response.status_code == 302 else None
    if demand is None:
        assert "within 90 days" in pages.text(response)
        day = clock.now().date().toordinal() + 5
        told["due_at_0"] = clock.now().date().fromordinal(day).isoformat()
        assert pages.send(client, pages.act(case, "ask"), **told).status_code == 302
        demand = Demand.objects.get()
    Demand.objects.filter(pk=demand.pk).update(state="answered", answer="Our batch.")
    assert "Our batch." in pages.text(client.get(pages.change(demand)))
    assert pages.send(client, pages.act(demand, "accept")).status_code == 302
    demand.refresh_from_db()
    assert (demand.state, demand.judged_by) == ("accepted", rex)


@pytest.mark.parametrize("act", ACTS)
@pytest.mark.parametrize("role", ["auditor", "intake"])
def test_who_may_only_look_reaches_no_act_of_deciding(acme: Organisation, lea: User, role: str, act: str) -> None:
    case = desk.in_review(acme, lea, "TE-TERROR")
    allowed = {"intake": {"move", "add_note"}}.get(role, set())
    response = browser_of(desk.worker("pat", role)).get(pages.act(case, act))
    assert response.status_code == (200 if act in allowed - {"move"} else 403)


@pytest.mark.edge(37)
def test_edge_37_the_pages_of_deciding_show_nothing_of_a_sealed_case_without_an_unsealing(
    acme: Organisation, root: User
) -> None:
    kim = desk.worker("kim", "child safety")
    case = desk.in_review(acme, kim, "CS-GROOM")
    decision = desk.propose(case, kim)
    client = browser_of(kim)
    page = unescape(pages.text(client.get(pages.act(case, "decide"))))
    assert "Ask to read it before you decide" in page
    assert decision.facts not in page
    for act in ("decide", "propose", "approve"):
        assert browser_of(root).get(pages.act(case, act)).status_code == 403
