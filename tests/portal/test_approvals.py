"""Approvals in the portal: owners and admins apply, everyone of the organisation sees what holds and why."""

from datetime import timedelta
from html import unescape

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from accounts.models import APIKey, AuditEvent, Organisation, User
from channels.models import Model
from moderation import policy
from moderation.models import Approval, PolicyCategory
from moderation.services import approvals
from newapi.kernel import clock
from newapi.portal.approval_forms import EXPLANATIONS
from tests import cast
from tests.portal.conftest import LogIn

PATHS = ("/o/acme/approvals", "/o/acme/approvals/use-case", "/o/acme/approvals/label")
LIST, USE_CASE, LABEL = PATHS


@pytest.fixture(autouse=True)
def categories(db: None) -> None:
    """The categories of the migration, also after a transactional test has emptied the tables."""
    if not PolicyCategory.objects.exists():
        policy.seed(PolicyCategory)


def form(**changed: object) -> dict[str, object]:
    """An application for a use case as the page sends it."""
    return {"category": "SX-ADULT", "api_key": "", "purpose": "A novel, behind an age check", **changed}


def label_form(**changed: object) -> dict[str, object]:
    """An application to leave out the label as the page sends it."""
    return {"promises": list(Approval.LABEL_PROMISES), "api_key": "", "purpose": "Subtitles", **changed}


def decide(approval: Approval, actor: User, *, days: int | None = 30) -> None:
    """The platform says yes."""
    ends_at = None if days is None else clock.now() + timedelta(days=days)
    approvals.approve(approval=approval, ends_at=ends_at, actor=actor, reason="decision-canary")


def read(client: Client, path: str = LIST) -> str:
    """A page as a person reads it."""
    return unescape(client.get(path).content.decode())


@pytest.mark.req("ACC-17", "ACC-38", "DSH-06")
def test_each_role_is_answered_as_it_should_be(people: dict[str, User], log_in: LogIn) -> None:
    everyone = {"owner": 200, "admin": 200, "billing": 200, "member": 200, "viewer": 200, "stranger": 404}
    appliers = {**everyone, "billing": 403, "member": 403, "viewer": 403}
    for path, expected in ((LIST, everyone), (USE_CASE, appliers), (LABEL, appliers)):
        assert {role: log_in(user).get(path).status_code for role, user in people.items()} == expected, path
    for path, sent in ((USE_CASE, form()), (LABEL, label_form())):
        for role in ("billing", "member", "viewer", "stranger"):
            assert log_in(people[role]).post(path, sent).status_code == appliers[role]
        assert Client().post(path, sent).status_code == 302
    assert not Approval.objects.exists()


@pytest.mark.req("GW-20")
def test_an_owner_applies_and_sees_what_was_decided(
    acme: Organisation, ada: User, root: User, adas_key: APIKey, chat_model: Model, log_in: LogIn
) -> None:
    client = log_in(ada)
    assert "Nothing was applied for" in read(client)
    page = read(client, USE_CASE)
    for code, words in EXPLANATIONS.items():
        assert code in page
        assert words in page
    assert "TE-TERROR" not in page
    answer = client.post(USE_CASE, form(api_key=adas_key.pk, models_allowed=[chat_model.name]), follow=True)
    said = unescape(answer.content.decode())
    assert "Nothing changes until it is approved" in said
    assert "Requested" in said
    made = Approval.objects.get()
    assert (made.organisation, made.requested_by, made.api_key, made.state) == (acme, ada, adas_key, "requested")
    assert made.models_allowed == [chat_model.name]
    event = AuditEvent.objects.get(action="approval.request")
    assert (event.actor, event.organisation, event.address) == (ada, acme, "127.0.0.1")
    decide(made, root)
    page = read(client)
    assert "In force" in page
    assert "decision-canary" in page
    assert "Ada's bot" in page
    # Who decided is nobody's business here.
    assert "root" not in page.lower()
    with clock.shifted(31 * 86_400):
        assert "Ended" in read(log_in(ada))


@pytest.mark.req("DSH-06", "GW-24")
def test_the_label_is_on_until_all_four_promises_are_made_and_approved(
    acme: Organisation, ada: User, root: User, vera: User, log_in: LogIn
) -> None:
    client, watcher = log_in(ada), log_in(vera)
    assert "On: every answer says" in read(watcher)
    for promises in ([], list(Approval.LABEL_PROMISES[:3])):
        answer = client.post(LABEL, label_form(promises=promises))
        assert answer.status_code == 400
        assert "Every promise is needed" in answer.content.decode()
    assert client.post(LABEL, label_form(promises=["another"])).status_code == 400
    assert not Approval.objects.exists()
    assert client.post(LABEL, label_form()).status_code == 302
    assert "On: every answer says" in read(watcher)
    made = Approval.objects.get()
    decide(made, root, days=None)
    page = read(watcher)
    assert "leave out the explicit label" in page
    assert "until revoked" in page
    approvals.revoke(approval=made, actor=root, reason="Labels were missing")
    page = read(watcher)
    assert "On: every answer says" in page
    assert "Labels were missing" in page


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"category": ""}, "This field is required"),
        ({"category": "TE-TERROR"}, "Select a valid choice"),
        ({"category": "HD-MED"}, "qualified person"),
        ({"purpose": " "}, "This field is required"),
        ({"purpose": "x" * 4001}, "at most 4000 characters"),
        ({"models_allowed": ["no-such-model"]}, "Select a valid choice"),
        ({"api_key": "999999"}, "Select a valid choice"),
        ({"api_key": "x"}, "Select a valid choice"),
    ],
)
def test_wrong_input_is_explained_and_applies_for_nothing(
    acme: Organisation, ada: User, chat_model: Model, log_in: LogIn, changed: dict[str, object], said: str
) -> None:
    answer = log_in(ada).post(USE_CASE, form(**changed))
    assert answer.status_code == 400
    assert said in answer.content.decode()
    assert not Approval.objects.exists()


@pytest.mark.req("GW-21")
def test_a_restricted_domain_is_applied_for_with_human_review(acme: Organisation, ada: User, log_in: LogIn) -> None:
    assert log_in(ada).post(USE_CASE, form(category="HD-MED", has_human_review="on")).status_code == 302
    assert Approval.objects.get().has_human_review


@pytest.mark.req("ACC-38")
def test_keys_and_approvals_of_others_stay_unseen(
    acme: Organisation, ada: User, ben: User, adas_key: APIKey, gus_key: APIKey, globex: Organisation, gus: User,
    log_in: LogIn,
) -> None:  # fmt: skip
    client = log_in(ada)
    assert client.post(USE_CASE, form(api_key=gus_key.pk)).status_code == 400
    assert "Gus" not in read(client, USE_CASE)
    assert log_in(gus).post("/o/globex/approvals/use-case", form(purpose="globex-canary")).status_code == 302
    assert client.post(USE_CASE, form(api_key=adas_key.pk)).status_code == 302
    page = read(log_in(ben))
    assert "A key of another member" in page
    assert "Ada's bot" not in page
    assert "globex-canary" not in page
    assert "globex-canary" not in read(client)


def test_sending_the_form_twice_applies_once(acme: Organisation, ada: User, log_in: LogIn) -> None:
    client = log_in(ada)
    assert client.post(USE_CASE, form()).status_code == 302
    again = client.post(USE_CASE, form())
    assert again.status_code == 400
    assert "waits for a decision already" in again.content.decode()
    assert Approval.objects.count() == 1


def test_nothing_is_applied_for_without_the_csrf_token_or_too_often(
    acme: Organisation, ada: User, log_in: LogIn
) -> None:
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(ada, backend="django.contrib.auth.backends.ModelBackend")
    assert strict.post(USE_CASE, form()).status_code == 403
    client = log_in(ada)
    assert {client.post(LABEL, {}).status_code for _ in range(20)} == {400}
    assert client.post(LABEL, label_form()).status_code == 429
    assert not Approval.objects.exists()


def test_html_in_a_purpose_stays_text(acme: Organisation, ada: User, log_in: LogIn) -> None:
    client = log_in(ada)
    client.post(USE_CASE, form(purpose="<script>alert(1)</script>"))
    html = client.get(LIST).content.decode()
    assert "<script>alert(1)" not in html
    assert "&lt;script&gt;alert(1)" in html


def test_the_list_asks_the_database_as_often_for_many_as_for_few(
    acme: Organisation, ada: User, adas_key: APIKey, log_in: LogIn
) -> None:
    client = log_in(ada)
    client.post(USE_CASE, form(api_key=adas_key.pk))
    client.get(LIST)  # takes the message
    few = _queries(client)
    for number in range(12):
        key = cast.api_key(acme, ada, f"Key {number}").api_key
        client.post(USE_CASE, form(api_key=key.pk))
    assert Approval.objects.count() == 13
    client.get(LIST)
    assert _queries(client) <= few


def _queries(client: Client) -> int:
    with CaptureQueriesContext(connection) as queries:
        assert client.get(LIST).status_code == 200
    return len(queries)
