"""Reading sealed cases: by two persons, for hours, each look on record; nothing of them is found or leaves."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.apps import apps
from django.contrib import admin
from django.core import mail
from django.core.exceptions import ValidationError
from django.test import Client

from accounts.models import AuditEvent, Notice, Organisation, User
from accounts.services import notice_mail
from moderation import selectors
from moderation.errors import IllegalMove, NotPermitted
from moderation.models import (
    AuthorityReport,
    Case,
    CaseEvent,
    Evidence,
    Report,
    Restriction,
    SealedLook,
    SlaClock,
    Unsealing,
)
from moderation.services import (
    authority,
    cases,
    chains,
    conflicts,
    evidence,
    evidence_reading,
    restrictions,
    sealed,
    sla_sweep,
)
from newapi.kernel import clock
from tests.admin import pages
from tests.moderation import desk

pytestmark = pytest.mark.django_db

CANARY = "the-canary-of-a-sealed-case"


@pytest.fixture
def sealed_case(acme: Organisation) -> Case:
    """A sealed case, opened by a job."""
    return desk.case_of(acme, "CS-CSAM")


@pytest.fixture
def kay(categories: None) -> User:
    """Another of the child-safety team."""
    return desk.worker("kay", "child safety")


REASON = "The report names this case"


def let_in(case: Case, user: User, by: User, hours: int = 2) -> Unsealing:
    """Unseal a case for somebody."""
    asked = sealed.ask(case=case, actor=user, reason=REASON)
    return sealed.grant(unsealing=asked, actor=by, reason=REASON, hours=hours)


@pytest.mark.req("MOD-40")
def test_the_grant_alone_does_not_let_anybody_read_it(sealed_case: Case, kim: User, kay: User, root: User) -> None:
    assert not any(sealed.may_read(user=user, case=sealed_case) for user in (kim, kay, root))
    let_in(sealed_case, kim, kay)
    assert [sealed.may_read(user=user, case=sealed_case) for user in (kim, kay, root)] == [True, False, False]


@pytest.mark.req("MOD-40")
def test_it_ends_after_its_hours_or_when_somebody_ends_it(sealed_case: Case, kim: User, kay: User) -> None:
    unsealing = let_in(sealed_case, kim, kay, hours=2)
    with clock.shifted(2 * 3600 - 60):
        assert sealed.may_read(user=kim, case=sealed_case)
    with clock.shifted(2 * 3600 + 1):
        assert not sealed.may_read(user=kim, case=sealed_case)
        assert not sealed.end(unsealing=unsealing, actor=kay, reason=REASON)
    with clock.shifted(60):
        assert sealed.end(unsealing=unsealing, actor=kay, reason=REASON)
        assert not sealed.may_read(user=kim, case=sealed_case)


@pytest.mark.req("MOD-40")
def test_nobody_grants_their_own_ask_under_any_login(sealed_case: Case, kim: User, kay: User) -> None:
    asked = sealed.ask(case=sealed_case, actor=kim, reason=REASON)
    with pytest.raises(NotPermitted, match="Another person"):
        sealed.grant(unsealing=asked, actor=kim, reason=REASON)
    twin = desk.worker("kim2", "child safety")
    conflicts.declare(user=twin, same_person=kim, actor=twin, reason="My other login")
    with pytest.raises(NotPermitted, match="Another person"):
        sealed.grant(unsealing=asked, actor=twin, reason=REASON)
    assert not sealed.may_read(user=kim, case=sealed_case)
    sealed.grant(unsealing=asked, actor=kay, reason=REASON)
    assert sealed.may_read(user=kim, case=sealed_case)


@pytest.mark.req("MOD-40")
@pytest.mark.parametrize("who", ["root", "lea"])
def test_without_the_grant_by_name_nobody_asks_grants_or_ends(
    sealed_case: Case, kim: User, kay: User, who: str, request: pytest.FixtureRequest
) -> None:
    actor = request.getfixturevalue(who)
    with pytest.raises(NotPermitted):
        sealed.ask(case=sealed_case, actor=actor, reason=REASON)
    asked = sealed.ask(case=sealed_case, actor=kim, reason=REASON)
    for act in (sealed.grant, sealed.refuse):
        with pytest.raises(NotPermitted):
            act(unsealing=asked, actor=actor, reason=REASON)
    granted = sealed.grant(unsealing=asked, actor=kay, reason=REASON)
    with pytest.raises(NotPermitted):
        sealed.end(unsealing=granted, actor=actor, reason=REASON)


def test_an_ask_is_answered_once_and_lapses(sealed_case: Case, kim: User, kay: User, acme: Organisation) -> None:
    asked = sealed.ask(case=sealed_case, actor=kim, reason=REASON)
    with pytest.raises(IllegalMove, match="already"):
        sealed.ask(case=sealed_case, actor=kim, reason=REASON)
    for hours in (0, -1, 25):
        with pytest.raises(ValidationError, match="hours"):
            sealed.grant(unsealing=asked, actor=kay, reason=REASON, hours=hours)
    with clock.shifted(73 * 3600), pytest.raises(IllegalMove, match="lapsed"):
        sealed.grant(unsealing=asked, actor=kay, reason=REASON)
    sealed.refuse(unsealing=asked, actor=kay, reason=REASON)
    with pytest.raises(IllegalMove):
        sealed.grant(unsealing=asked, actor=kay, reason=REASON)
    with pytest.raises(IllegalMove, match="not sealed"):
        sealed.ask(case=desk.case_of(acme), actor=kim, reason=REASON)
    with pytest.raises(ValidationError, match="reason"):
        sealed.ask(case=sealed_case, actor=kim, reason=" ")
    kim.groups.clear()
    asked = sealed.ask(case=sealed_case, actor=kay, reason=REASON)
    kay.groups.clear()
    other = desk.worker("koa", "child safety")
    with pytest.raises(IllegalMove, match="any more"):
        sealed.grant(unsealing=asked, actor=other, reason=REASON)


@pytest.mark.req("MOD-40")
def test_the_team_is_told_of_an_ask_and_the_story_and_the_record_tell_of_all(
    sealed_case: Case, kim: User, kay: User, root: User
) -> None:
    let_in(sealed_case, kim, kay)
    notice = Notice.objects.get(kind="unsealing.asked")
    assert (notice.audience, notice.user) == ("person", kay)
    assert REASON not in notice.title + notice.body
    assert [event.after for event in desk.told(sealed_case, "access")] == [
        f"unsealing for {kim} asked",
        f"unsealing for {kim} granted for 2 h",
    ]
    rows = AuditEvent.objects.filter(action__startswith="unsealing.")
    assert [row.action for row in rows.order_by("pk")] == ["unsealing.asked", "unsealing.granted"]
    assert all(REASON not in row.reason for row in rows)
    assert chains.verify() == []


@pytest.mark.req("MOD-40")
def test_evidence_of_it_is_read_only_while_unsealed_and_every_look_is_kept(
    sealed_case: Case, kim: User, kay: User
) -> None:
    piece = evidence.store_ids(case=sealed_case, name="x", facts={"request_ids": ["r-1"]}, source="staff", actor=kim)
    with pytest.raises(NotPermitted, match="sealed"):
        evidence_reading.read(evidence=piece, actor=kim, reason=REASON)
    assert not sealed.look(user=kim, case=sealed_case, what="page", address="203.0.113.9")
    let_in(sealed_case, kim, kay)
    assert evidence_reading.read(evidence=piece, actor=kim, reason=CANARY) == b'{"request_ids":["r-1"]}'
    assert CANARY not in piece.custody.get(act="taken").reason
    assert sealed.look(user=kim, case=sealed_case, what="page", address=None)
    looks = SealedLook.objects.order_by("id").values_list("user", "what", "was_allowed", "address")
    assert list(looks) == [(kim.pk, "page", False, "203.0.113.9"), (kim.pk, "page", True, None)]


# --- Through the admin


@pytest.fixture
def log_in() -> Callable[[User], Client]:
    """A client of somebody."""

    def made(user: User) -> Client:
        client = Client()
        client.force_login(user)
        return client

    return made


def marked(case: Case) -> Case:
    """A sealed case with a canary in its summary and its story."""
    Case.objects.filter(pk=case.pk).update(summary=f"{CANARY} in the summary")
    return Case.objects.get(pk=case.pk)


@pytest.mark.edge(37)
@pytest.mark.req("MOD-40")
@pytest.mark.parametrize("act", ["change", "move", "assign", "set_level", "add_note"])
def test_edge_37_a_superuser_who_opens_it_in_the_admin_gets_403_and_is_on_record(
    sealed_case: Case, root: User, log_in: Callable[[User], Client], act: str
) -> None:
    case = marked(sealed_case)
    client = log_in(root)
    url = pages.change(case) if act == "change" else pages.act(case, act)
    response = client.get(url)
    assert response.status_code == 403
    assert CANARY not in pages.text(response)
    look = SealedLook.objects.get()
    assert (look.user, look.case, look.was_allowed, look.address) == (root, case, False, "127.0.0.1")
    assert look.what == f"GET {url}"
    assert client.post(url, {"reason": REASON}).status_code == 403
    assert SealedLook.objects.filter(was_allowed=False).count() == 2


@pytest.mark.edge(37)
@pytest.mark.req("MOD-40")
def test_edge_37_neither_do_its_parts_open_for_a_superuser(
    sealed_case: Case, kim: User, root: User, log_in: Callable[[User], Client]
) -> None:
    piece = evidence.store_ids(case=sealed_case, name="x", facts={"request_ids": ["r-1"]}, source="staff", actor=kim)
    report = authority.make_due(case=sealed_case, actor=None, reason=REASON)
    client = log_in(root)
    for url in (
        pages.change(piece),
        pages.act(piece, "download"),
        pages.act(piece, "purge"),
        pages.change(report),
        pages.act(report, "prepare"),
        pages.change(piece.custody.get()),
    ):
        before = SealedLook.objects.count()
        assert client.get(url).status_code == 403, url
        assert SealedLook.objects.count() == before + 1, url


@pytest.mark.req("MOD-40")
def test_whoever_has_the_grant_is_led_to_ask_and_reads_it_when_a_colleague_agrees(
    sealed_case: Case, kim: User, kay: User, log_in: Callable[[User], Client]
) -> None:
    case = marked(sealed_case)
    mine, other = log_in(kim), log_in(kay)
    page = pages.text(mine.get(pages.list_of(Case)))
    assert case.reference in page
    assert CANARY not in page
    response = mine.get(pages.change(case))
    assert response.status_code == 302
    ask = response["Location"]
    assert ask == f"{pages.add(Unsealing)}?case={case.pk}"
    assert CANARY not in pages.text(mine.get(ask))
    assert pages.send(mine, ask).status_code == 302
    asked = Unsealing.objects.get()
    assert "grant" not in [found.path for found in admin.site._registry[Unsealing].get_actions_detail(
        mine.get(pages.change(asked)).wsgi_request, str(asked.pk)
    )]  # fmt: skip
    assert "Another person" in pages.text(pages.send(mine, pages.act(asked, "grant")))
    assert pages.REASON in pages.text(other.get(pages.change(asked)))
    assert pages.send(other, pages.act(asked, "grant"), hours="2").status_code == 302
    page = pages.text(mine.get(pages.change(case)))
    assert f"{CANARY} in the summary" in page
    assert "Open to you until" in page
    assert other.get(pages.change(case)).status_code == 302
    with clock.shifted(2 * 3600 + 1):
        client = log_in(kim)
        assert client.get(pages.change(case)).status_code == 302
    assert SealedLook.objects.filter(user=kim, was_allowed=True).exists()
    assert SealedLook.objects.filter(user=kay, was_allowed=False).exists()


@pytest.mark.req("MOD-40")
def test_why_somebody_asked_is_for_the_team_only(
    sealed_case: Case, kim: User, root: User, log_in: Callable[[User], Client]
) -> None:
    asked = sealed.ask(case=sealed_case, actor=kim, reason=CANARY)
    client = log_in(root)
    for url in (pages.list_of(Unsealing), pages.change(asked), pages.list_of(SealedLook)):
        response = client.get(url)
        assert response.status_code == 200
        assert CANARY not in pages.text(response)
    for act in ("grant", "refuse", "end"):
        assert client.get(pages.act(asked, act)).status_code == 403
    assert client.get(f"{pages.add(Unsealing)}?case={sealed_case.pk}").status_code == 403


MODELS = sorted(
    (
        model
        for model in apps.get_app_config("moderation").get_models()
        if selectors.path_to_case(model) is not None and model in admin.site._registry
    ),
    key=lambda model: model._meta.label,
)
# Records about looks and grants, which say nothing of what is in a case.
OPEN_RECORDS = {SealedLook, Unsealing}


@pytest.fixture
def filled(sealed_case: Case, kim: User, kay: User, root: User) -> Case:
    """A sealed case with something in every part that services make of it."""
    cases.add_note(case=sealed_case, text=CANARY, actor=kim)
    evidence.store_ids(case=sealed_case, name=CANARY, facts={"ids": ["r-1"]}, source="staff", actor=kim)
    authority.make_due(case=sealed_case, actor=None, reason=CANARY)
    restrictions.impose(
        organisation=sealed_case.organisation, scope="organisation", case=sealed_case, reason=CANARY, actor=kim
    )
    let_in(sealed_case, kim, kay)
    sealed.look(user=root, case=sealed_case, what="page", address=None)
    chains.make_root()
    return marked(sealed_case)


@pytest.mark.req("MOD-40")
@pytest.mark.parametrize("model", MODELS, ids=lambda model: model._meta.model_name)
def test_no_list_search_or_download_of_a_superuser_holds_anything_of_it(
    filled: Case, root: User, log_in: Callable[[User], Client], model: type
) -> None:
    client = log_in(root)
    url = pages.list_of(model)
    for address in (url, f"{url}?q=canary", f"{url}?q={filled.reference}"):
        page = pages.text(client.get(address))
        assert "the-canary" not in page, address
        assert "CS-CSAM" not in page or model._meta.model_name == "case", address
        if model not in OPEN_RECORDS:
            assert f">{filled.reference}" not in page, address
    rows = [str(pk) for pk in model._default_manager.values_list("pk", flat=True)]
    if rows:
        sent = {"action": "export_csv", "_selected_action": rows, "index": "0", "select_across": "0"}
        response = client.post(url, sent)
        assert "the-canary" not in pages.text(response)
        assert filled.reference not in pages.text(response)


@pytest.mark.req("MOD-40")
@pytest.mark.parametrize("model", MODELS, ids=lambda model: model._meta.model_name)
def test_the_grant_alone_opens_no_page_of_any_part_of_it(
    filled: Case, log_in: Callable[[User], Client], model: type
) -> None:
    koa = desk.grant(desk.worker("koa", "child safety"), f"moderation.view_{model._meta.model_name}")
    client = log_in(koa)
    row = model._default_manager.first()
    page = pages.text(client.get(pages.list_of(model)))
    assert "the-canary" not in page
    if row is not None and model not in OPEN_RECORDS:
        response = client.get(pages.change(row))
        assert "the-canary" not in pages.text(response)
        # The page of a report opens, without what was reported.
        if model is Report:
            return
        assert response.status_code == 302
        assert response["Location"] == f"{pages.add(Unsealing)}?case={filled.pk}"


@pytest.mark.req("MOD-40")
@pytest.mark.parametrize("model", [Case, Evidence, AuthorityReport, CaseEvent, SlaClock, Restriction])
def test_not_even_the_team_searches_for_it_or_downloads_it(
    filled: Case, kim: User, log_in: Callable[[User], Client], model: type
) -> None:
    desk.grant(kim, f"moderation.view_{model._meta.model_name}")
    client = log_in(kim)
    url = pages.list_of(model)
    for term in ("canary", filled.reference):
        page = pages.text(client.get(f"{url}?q={term}"))
        assert f">{filled.reference}" not in page
        assert "the-canary" not in page
    rows = [str(pk) for pk in model._default_manager.values_list("pk", flat=True)]
    response = client.post(url, {"action": "export_csv", "_selected_action": rows, "index": "0"})
    lines = pages.text(response).strip().splitlines()
    assert response["Content-Type"].startswith("text/csv")
    assert len(lines) == 1
    if model is Case:
        found = pages.text(client.get(f"/admin/search/?s={filled.reference}&extended=1"))
        assert "sealed" not in found


@pytest.mark.req("MOD-40")
def test_no_notice_and_no_mail_holds_anything_of_it(filled: Case, kim: User) -> None:
    with clock.shifted(80 * 3600):
        sla_sweep.advance()
        notice_mail.mail_waiting(limit=500)
    notices = list(Notice.objects.all())
    assert any(filled.reference in notice.title for notice in notices)
    said = " ".join(f"{notice.title} {notice.body} {notice.link}" for notice in notices)
    said += " ".join(f"{sent.subject} {sent.body}" for sent in mail.outbox)
    assert "the-canary" not in said
    assert "CS-CSAM" not in said
    assert "child" not in said.lower()


def test_the_fixture_reaches_every_part_that_it_should(filled: Case) -> None:
    assert {Case, CaseEvent, Evidence, AuthorityReport, Restriction, SealedLook, Unsealing} <= set(MODELS)
    assert filled.summary.startswith(CANARY)
    assert Restriction.objects.get().starts_at < clock.now() + timedelta(seconds=1)
