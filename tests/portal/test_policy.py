"""The page that says what is not allowed here."""

from datetime import timedelta

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from accounts.models import User
from moderation.models import PolicyCategory, PolicyDocument
from moderation.policy import seed
from moderation.services import policy
from newapi.gateway import dialects
from newapi.kernel import clock, errors

DAY = timedelta(days=1)


@pytest.fixture(autouse=True)
def categories(db: None) -> None:
    """The taxonomy as it is shipped."""
    seed(PolicyCategory)


@pytest.mark.req("GW-38")
def test_every_code_in_force_stands_on_the_public_page_with_level_and_text() -> None:
    html = Client().get("/policy").content.decode()
    for category in PolicyCategory.objects.in_force():
        assert f'id="{category.code}"' in html
        assert category.get_level_display() in html
    retired = PolicyCategory.objects.in_force().first()
    assert retired is not None
    PolicyCategory.objects.filter(pk=retired.pk).update(is_retired=True)
    assert f'id="{retired.code}"' not in Client().get("/policy").content.decode()


@pytest.mark.req("GW-38")
def test_a_refusal_that_cites_a_code_says_where_to_read_about_it() -> None:
    refusal = errors.AdultNotApproved("Not approved.", details={"policy_code": "SX-ADULT"})
    assert b'"help":"/policy#SX-ADULT"' in dialects.openai_error(refusal)
    # And whom to tell (MOD-12).
    assert b'"contact":"mailto:abuse@localhost"' in dialects.openai_error(refusal)
    assert Client().get("/policy").status_code == 200
    assert b"help" not in dialects.openai_error(errors.InvalidRequest("Not JSON."))


@pytest.mark.req("MOD-01")
def test_the_page_shows_the_text_that_is_in_force_in_the_language_asked_for(root: User) -> None:
    category = PolicyCategory.objects.get(code="PA-RATE")
    assert "Ask for a higher limit instead." in Client().get("/policy").content.decode()
    values = {"category": category, "note": "Made clearer", "actor": root}
    policy.publish_text(**values, language="en", text="One key for each program.", starts_at=clock.now() + DAY)
    policy.publish_text(**values, language="fr", text="Une clé par programme.")
    page = Client().get("/policy?language=fr").content.decode()
    assert "Une clé par programme." in page
    # Where there is none in that language, English stands in.
    assert "Collecting outputs in order to build" in page
    english = Client().get("/policy").content.decode()
    assert "One key for each program." not in english
    assert 'href="?language=fr"' in english
    with clock.shifted(2 * 86_400):
        page = Client().get("/policy?language=<script>").content.decode()
    assert "One key for each program." in page
    assert "Version 2" in page


@pytest.mark.req("MOD-27", "MOD-02")
def test_the_page_follows_the_documents_that_bind(root: User) -> None:
    document = PolicyDocument.objects.get(code="U")
    before = Client().get("/policy").content.decode()
    assert "appealed for 14 days" in before
    policy.set_binding(document=document, binds=True, appeal_days=184, actor=root, reason="EU platform")
    after = Client().get("/policy").content.decode()
    assert "appealed for 184 days" in after
    # Adult content and graphic violence can no longer be approved.
    assert before.count("Needs an approval") - after.count("Needs an approval") == 2


def test_the_page_asks_the_database_a_few_times_however_many_categories() -> None:
    with CaptureQueriesContext(connection) as queries:
        Client().get("/policy")
    assert len(queries) < 10


def test_the_page_opens_with_nothing_in_force() -> None:
    PolicyCategory.objects.in_force().update(is_retired=True)
    assert "No categories are in force." in Client().get("/policy").content.decode()
