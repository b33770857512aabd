"""Cases put in order on their page: each act as a person does it, and as the wrong person tries."""

from collections.abc import Callable
from html import unescape

import pytest
from django.test import Client

from accounts.models import Organisation, User
from moderation.models import Case, Report
from tests import cast
from tests.admin import pages
from tests.moderation import desk
from tests.moderation.test_reports import appealed, submit

pytestmark = pytest.mark.django_db
Browse = Callable[[User], Client]
ACTS = ("merge", "split", "set_subject", "set_category")


@pytest.fixture
def browse(db: None) -> Browse:
    """Logs a person in."""

    def log_in(user: User) -> Client:
        client = Client()
        client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
        return client

    return log_in


def said(client: Client, case: Case, act: str, **changed: object) -> str:
    """What the page answers to an act that it refuses."""
    answer = pages.send(client, pages.act(case, act), **changed)
    assert answer.status_code == 200
    return unescape(pages.text(answer))


def test_a_case_is_merged_by_the_reference_of_the_other(acme: Organisation, ira: User, browse: Browse) -> None:
    goes, stays = desk.case_of(acme), desk.case_of(acme, "DC-PHISH")
    client = browse(ira)
    assert stays.reference in unescape(pages.text(client.get(pages.act(goes, "merge"))))
    assert "no such case" in said(client, goes, "merge", into="C-2000-000001")
    assert "into itself" in said(client, goes, "merge", into=goes.reference)
    answer = pages.send(client, pages.act(goes, "merge"), into=f" {stays.reference.lower()} ")
    assert answer.url == pages.change(stays)
    goes.refresh_from_db()
    assert goes.merged_into == stays


def test_a_sealed_case_is_no_target_for_who_may_not_see_it(acme: Organisation, ira: User, browse: Browse) -> None:
    plain, sealed = desk.case_of(acme), desk.case_of(acme, "CS-CSAM")
    client = browse(ira)
    assert sealed.reference not in pages.text(client.get(pages.act(plain, "merge")))
    assert "no such case" in said(client, plain, "merge", into=sealed.reference)


def test_reports_are_ticked_and_split_off(acme: Organisation, ira: User, browse: Browse) -> None:
    first, second = submit(organisation=acme), submit(organisation=acme)
    client = browse(ira)
    assert "This field is required" in said(client, first.case, "split")
    assert "Nothing would remain" in said(client, first.case, "split", reports=[first.pk, second.pk])
    assert pages.send(client, pages.act(first.case, "split"), reports=[second.pk]).status_code == 302
    assert Report.objects.get(pk=second.pk).case != first.case


def test_a_case_is_said_to_be_about_a_key_and_so_about_its_person(
    acme: Organisation, ben: User, ira: User, browse: Browse
) -> None:
    key = cast.api_key(acme, ben, "Ben's bot").api_key
    case = submit().case
    client = browse(ira)
    assert "no key of that name" in said(client, case, "set_subject", organisation=acme.pk, api_key="nothing")
    sent = pages.send(client, pages.act(case, "set_subject"), organisation=acme.pk, api_key="Ben's bot")
    assert sent.status_code == 302
    case.refresh_from_db()
    assert (case.organisation, case.api_key, case.user) == (acme, key, ben)


def test_a_category_is_set_and_a_sealed_one_takes_the_case_away(acme: Organisation, rex: User, browse: Browse) -> None:
    case, client = desk.case_of(acme), browse(rex)
    assert pages.send(client, pages.act(case, "set_category"), category=desk.category("DC-PHISH").pk).status_code == 302
    case.refresh_from_db()
    assert (case.category.code, case.level) == ("DC-PHISH", "L2")
    answer = pages.send(client, pages.act(case, "set_category"), category=desk.category("CS-CSAM").pk)
    assert answer.url == pages.list_of(Case)
    assert client.get(pages.change(case)).status_code in (302, 403, 404)


@pytest.mark.parametrize("act", ACTS)
def test_acts_need_their_right_and_are_offered_only_while_they_can_be_done(
    acme: Organisation, rex: User, browse: Browse, act: str
) -> None:
    case = submit(organisation=acme).case
    auditor = browse(desk.worker("otto", "auditor"))
    url = pages.act(case, act)
    assert auditor.get(url).status_code == 403
    assert auditor.post(url, {"reason": pages.REASON}).status_code == 403
    assert url in pages.text(browse(rex).get(pages.change(case)))
    assert url not in pages.text(auditor.get(pages.change(case)))
    Case.objects.filter(pk=case.pk).update(state="closed")
    assert url not in pages.text(browse(rex).get(pages.change(case)))


@pytest.mark.edge(13)
def test_the_page_refuses_to_merge_into_a_case_under_appeal(acme: Organisation, rex: User, browse: Browse) -> None:
    under = desk.in_review(acme, rex)
    appealed(under, rex)
    other = desk.case_of(acme)
    client = browse(rex)
    assert under.reference not in pages.text(client.get(pages.act(other, "merge")))
    assert "There is an appeal" in said(client, other, "merge", into=under.reference)


def test_of_two_who_put_a_case_in_order_at_once_one_looks_again(acme: Organisation, ira: User, browse: Browse) -> None:
    case, client = desk.case_of(acme), browse(ira)
    form = pages.fields(client, pages.act(case, "set_category"))
    Case.objects.filter(pk=case.pk).update(version=case.version + 1)
    form |= {"category": desk.category("DC-PHISH").pk, "reason": pages.REASON}
    answer = client.post(pages.act(case, "set_category"), form)
    assert "Someone has changed this case" in unescape(pages.text(answer))
