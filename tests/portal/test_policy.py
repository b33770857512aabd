"""The page that says what is not allowed here."""

import pytest
from django.test import Client

from moderation.models import PolicyCategory
from moderation.policy import seed
from newapi.gateway import dialects
from newapi.kernel import errors


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
    assert Client().get("/policy").status_code == 200
    assert b"help" not in dialects.openai_error(errors.InvalidRequest("Not JSON."))


def test_the_page_opens_with_nothing_in_force() -> None:
    PolicyCategory.objects.in_force().update(is_retired=True)
    assert "No categories are in force." in Client().get("/policy").content.decode()
