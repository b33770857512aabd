"""Cases and restrictions in the admin: acts with reasons, clocks in words, sealed cases for the few."""

from collections.abc import Callable
from datetime import timedelta
from html import unescape

import pytest
from django.contrib.auth.models import Permission
from django.test import Client

from accounts.models import APIKey, AuditEvent, Organisation, User
from moderation.models import Case, CaseEvent, PolicyCategory, Restriction, Unsealing
from moderation.services import opening
from moderation.services import sealed as unsealing
from newapi.kernel import clock
from tests import cast
from tests.admin import pages


@pytest.fixture
def severe(db: None) -> PolicyCategory:
    """A category of level L2 that anyone on the team may see."""
    return PolicyCategory.objects.filter(level="L2", is_sealed=False, is_retired=False, pack="G").first()


@pytest.fixture
def case(acme: Organisation, severe: PolicyCategory, root: User) -> Case:
    """An open case about Acme."""
    return opening.open_case(
        organisation=acme, category=severe, summary="Odd traffic", source="staff", actor=root, reason=pages.REASON
    )


def test_a_case_is_opened_and_its_clocks_run(boss: Client, acme: Organisation, severe: PolicyCategory) -> None:
    response = pages.send(
        boss, pages.add(Case), organisation=acme.pk, category=severe.pk, source="report", summary="A report came in"
    )
    assert response.status_code == 302
    made = Case.objects.get()
    assert (made.level, made.state, made.source) == ("L2", "new", "report")
    page = unescape(pages.text(boss.get(response.url)))
    assert page.count("due in ") == 2
    assert "Opened" in page
    assert AuditEvent.objects.filter(action="case.open", reason=pages.REASON, organisation=acme).exists()


def test_a_case_is_moved_to_the_states_that_are_next(boss: Client, case: Case) -> None:
    url = pages.act(case, "move")
    assert pages.send(boss, url, to="closed").status_code == 200
    case.refresh_from_db()
    assert case.state == "new"
    for state in ("triaged", "in_review", "triaged"):
        assert pages.send(boss, url, to=state).status_code == 302
        case.refresh_from_db()
        assert case.state == state
    page = unescape(pages.text(boss.get(pages.change(case))))
    assert "done in time" in page
    assert "in_review → triaged" in page


def test_who_looked_at_an_old_version_is_told(boss: Client, case: Case) -> None:
    url = pages.act(case, "move")
    page = {**pages.fields(boss, url), "to": "triaged", "reason": pages.REASON}
    pages.send(boss, pages.act(case, "set_level"), level="L1")
    response = boss.post(url, page)
    assert "Someone has changed this case" in pages.text(response)
    case.refresh_from_db()
    assert (case.state, case.level) == ("new", "L1")


def test_a_case_is_assigned_and_noted(boss: Client, root: User, case: Case) -> None:
    assert pages.fields(boss, pages.act(case, "assign"))["assignee"] == str(root.pk)
    assert pages.send(boss, pages.act(case, "assign")).status_code == 302
    case.refresh_from_db()
    assert case.assignee == root
    pages.send(boss, pages.act(case, "add_note"), text="Looks like a script")
    assert CaseEvent.objects.get(kind="note").reason == "Looks like a script"
    assert "Looks like a script" in pages.text(boss.get(pages.change(case)))


def test_nothing_happens_without_a_reason(boss: Client, case: Case) -> None:
    for action, sent in (("move", {"to": "triaged"}), ("set_level", {"level": "L1"}), ("assign", {})):
        assert pages.send(boss, pages.act(case, action), **sent, reason="").status_code == 200
    case.refresh_from_db()
    assert (case.state, case.level, case.assignee) == ("new", "L2", None)


@pytest.mark.parametrize("action", ["move", "assign", "set_level", "add_note"])
def test_acts_on_cases_need_the_right(staff: Callable[..., Client], case: Case, action: str) -> None:
    viewer = staff("moderation.view_case")
    assert viewer.get(pages.change(case)).status_code == 200
    assert viewer.get(pages.act(case, action)).status_code == 403
    sent = {"to": "triaged", "level": "L1", "text": "x", "reason": pages.REASON, "expected_version": case.version}
    assert viewer.post(pages.act(case, action), sent).status_code == 403
    assert case.events.count() == 1


def test_an_overdue_clock_is_red_in_the_list_and_at_home(boss: Client, case: Case) -> None:
    with clock.shifted(40 * 86_400):
        listed = pages.text(boss.get(pages.list_of(Case)))
        home = pages.text(boss.get("/admin/"))
    assert "overdue by" in listed
    assert "overdue by" in home
    assert "1 late" in home


def test_a_state_cannot_be_posted_as_a_field(boss: Client, case: Case) -> None:
    assert boss.post(pages.change(case), {"state": "closed", "reason": pages.REASON}).status_code == 403
    case.refresh_from_db()
    assert case.state == "new"


@pytest.mark.req("GW-26")
def test_an_organisation_is_restricted_and_freed(boss: Client, root: User, acme: Organisation, case: Case) -> None:
    response = pages.send(boss, pages.add(Restriction), organisation=acme.pk, scope="organisation", case=case.pk)
    assert response.status_code == 302
    made = Restriction.objects.get()
    assert (made.target, made.created_by, made.category, made.reason) == ("", root, case.category, pages.REASON)
    assert "restricted" in pages.text(boss.get(pages.change(acme)))
    assert pages.send(boss, pages.act(made, "lift")).status_code == 302
    made.refresh_from_db()
    assert made.lifted_by == root
    assert "It was over already" in pages.text(pages.send(boss, pages.act(made, "lift")))


@pytest.mark.parametrize(
    ("scope", "field"),
    [("project", "project"), ("member", "member"), ("api_key", "api_key"), ("model", "model"), ("feature", "feature")],
)
@pytest.mark.req("GW-26")
def test_parts_of_an_organisation_are_restricted(
    boss: Client, acme: Organisation, ben: User, raw_key: str, chat_model: object, scope: str, field: str
) -> None:
    api_key = APIKey.objects.get()
    told = {"project": api_key.project_id, "member": ben.pk, "api_key": api_key.hint, "model": chat_model.pk}
    told["feature"] = "embeddings"
    written = {**told, "api_key": api_key.pk, "model": "mock-gpt"}
    url = pages.add(Restriction)
    assert "Say which one" in pages.text(pages.send(boss, url, organisation=acme.pk, scope=scope))
    response = pages.send(boss, url, organisation=acme.pk, scope=scope, **{field: told[field]})
    assert response.status_code == 302, pages.text(response)
    assert Restriction.objects.get().target == str(written[field])


def test_a_key_of_another_organisation_is_not_found(boss: Client, globex: Organisation, raw_key: str) -> None:
    told = {"organisation": globex.pk, "scope": "api_key", "api_key": APIKey.objects.get().hint}
    assert "Globex has no key of that name" in pages.text(pages.send(boss, pages.add(Restriction), **told))


@pytest.mark.req("GW-27")
def test_a_restriction_that_ends_is_shown_as_ended(boss: Client, acme: Organisation) -> None:
    end = clock.now() + timedelta(hours=1)
    told = {"organisation": acme.pk, "scope": "organisation"}
    pages.send(boss, pages.add(Restriction), **told, ends_at_0=f"{end:%Y-%m-%d}", ends_at_1=f"{end:%H:%M:%S}")
    assert "In force" in pages.text(boss.get(f"{pages.list_of(Restriction)}?state=in_force"))
    with clock.shifted(7200):
        assert "Ended" in pages.text(boss.get(f"{pages.list_of(Restriction)}?state=over"))


def test_restricting_needs_the_right(staff: Callable[..., Client], acme: Organisation) -> None:
    viewer = staff("moderation.view_restriction", "accounts.view_organisation")
    sent = {"organisation": acme.pk, "scope": "organisation", "reason": pages.REASON}
    assert viewer.get(pages.add(Restriction)).status_code == 403
    assert viewer.post(pages.add(Restriction), sent).status_code == 403
    assert not Restriction.objects.exists()
    assert "Impose a restriction" not in pages.text(viewer.get(pages.change(acme)))


def test_lifting_needs_the_right(boss: Client, staff: Callable[..., Client], acme: Organisation) -> None:
    pages.send(boss, pages.add(Restriction), organisation=acme.pk, scope="organisation")
    made = Restriction.objects.get()
    viewer = staff("moderation.view_restriction")
    assert viewer.post(pages.act(made, "lift"), {"reason": pages.REASON}).status_code == 403
    made.refresh_from_db()
    assert made.lifted_at is None


def test_a_sealed_case_is_for_those_who_were_granted_it(boss: Client, root: User, acme: Organisation) -> None:
    sealed = PolicyCategory.objects.filter(is_sealed=True, is_retired=False, pack="G").first()
    told = {"organisation": acme.pk, "category": sealed.pk, "source": "staff", "summary": "sealed-canary"}
    response = pages.send(boss, pages.add(Case), **told)
    assert (response.status_code, response.url) == (302, pages.list_of(Case))
    made = Case.objects.get()
    boss.get(response.url)  # shows the message that names it, once
    for url in (pages.list_of(Case), f"{pages.list_of(Case)}?q=canary", "/admin/", pages.list_of(CaseEvent)):
        page = pages.text(boss.get(url))
        assert "sealed-canary" not in page
        assert made.reference not in page
    assert boss.get(pages.change(made)).status_code == 403
    assert boss.get(pages.act(made, "move")).status_code == 403
    child_safety = Permission.objects.get(codename="view_sealed_case")
    root.user_permissions.add(child_safety)
    assert boss.get(pages.change(made)).url.startswith(pages.add(Unsealing))
    other = cast.person("kim", is_staff=True)
    other.user_permissions.add(child_safety)
    asked = unsealing.ask(case=made, actor=root, reason=pages.REASON)
    unsealing.grant(unsealing=asked, actor=other, reason=pages.REASON)
    assert "sealed-canary" in pages.text(boss.get(pages.change(made)))


def test_the_choice_of_categories_offers_what_is_in_force(boss: Client, severe: PolicyCategory) -> None:
    PolicyCategory.objects.filter(pk=severe.pk).update(is_retired=True)
    told = {"app_label": "moderation", "model_name": "case", "field_name": "category", "term": severe.code}
    assert severe.code not in pages.text(boss.get("/admin/autocomplete/", told))
