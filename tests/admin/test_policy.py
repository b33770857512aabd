"""The policy in the admin: texts by version, packs, documents that bind, retirement; acts with reasons, no edits."""

from collections.abc import Callable
from datetime import timedelta
from html import unescape

import pytest
from django.test import Client

from accounts.models import AuditEvent
from moderation.models import PolicyCategory, PolicyDocument, PolicyPack, PolicyText
from newapi.kernel import clock
from tests.admin import pages

pytestmark = [pytest.mark.django_db, pytest.mark.req("MOD-01")]

Staff = Callable[..., Client]


@pytest.fixture
def spare(db: None) -> PolicyCategory:
    """A category that no detector cites."""
    return PolicyCategory.objects.get(code="PA-OTHER")


def test_a_category_is_retired_by_an_act_and_never_renamed(boss: Client, spare: PolicyCategory) -> None:
    assert boss.post(pages.change(spare), {"code": "OTHER", "reason": pages.REASON}).status_code == 403
    page = pages.text(boss.get(pages.act(spare, "retire")))
    assert "for good" in page
    assert pages.send(boss, pages.act(spare, "retire")).status_code == 302
    spare.refresh_from_db()
    assert (spare.code, spare.is_retired) == ("PA-OTHER", True)
    event = AuditEvent.objects.get(action="policy_category.retire")
    assert (event.reason, event.changes) == (pages.REASON, {"is_retired": [False, True]})
    assert "retire/" not in pages.text(boss.get(pages.change(spare)))


def test_the_page_of_a_category_shows_its_text_and_leads_to_the_next_version(
    boss: Client, spare: PolicyCategory
) -> None:
    page = unescape(pages.text(boss.get(pages.change(spare))))
    assert "Use that is unauthorised or harmful" in page
    add = f"{pages.add(PolicyText)}?category={spare.pk}&language=en"
    assert add in page
    before = PolicyText.objects.get(category=spare, language="en")
    sent = pages.send(boss, add, text="Stricter now.", note="Counsel asked for it")
    assert sent.status_code == 302
    made = PolicyText.objects.get(category=spare, language="en", version=2)
    assert (made.text, made.note, made.author.email) == ("Stricter now.", "Counsel asked for it", "root@example.com")
    listed = unescape(pages.text(boss.get(f"{pages.list_of(PolicyText)}?category__id__exact={spare.pk}")))
    assert "In force" in listed
    assert "Replaced" in listed
    assert AuditEvent.objects.get(action="policy_text.publish").reason == "Counsel asked for it"
    # Whoever had the older one open is told.
    late = boss.post(
        add,
        {"category": spare.pk, "language": "en", "text": "Mine.", "note": "I know better", "expected_version": 1},
    )
    assert "Somebody has published a version" in unescape(pages.text(late))
    assert PolicyText.objects.filter(category=spare, language="en").count() == 2
    before.refresh_from_db()
    assert before.version == 1


def test_a_text_for_later_is_shown_as_to_come(boss: Client, spare: PolicyCategory) -> None:
    text = PolicyText.objects.get(category=spare, language="en")
    later = clock.now() + timedelta(days=3)
    moment = {"starts_at_0": f"{later:%Y-%m-%d}", "starts_at_1": "12:00:00"}
    assert pages.send(boss, pages.act(text, "revise"), text="Soon.", note="Announced", **moment).status_code == 302
    page = unescape(pages.text(boss.get(f"{pages.list_of(PolicyText)}?standing=to_come")))
    assert "To come" in page
    assert page.count("PA-OTHER") >= 1
    past = {"starts_at_0": "2026-01-01", "starts_at_1": "12:00:00"}
    refused = pages.send(boss, pages.act(text, "revise"), text="Always.", note="As if it were", **past)
    assert "No text is in force from the past on" in unescape(pages.text(refused))


def test_a_text_is_looked_at_and_never_edited(boss: Client) -> None:
    text = PolicyText.objects.first()
    assert boss.post(pages.change(text), {"text": "Softer", "reason": pages.REASON}).status_code == 403
    assert boss.post(pages.delete(text), {"reason": pages.REASON}).status_code == 403


@pytest.mark.parametrize("query", ["", "?category=abc&language=en", "?category=99999999999999999999", "?language=x"])
def test_the_form_opens_whatever_the_address_says(boss: Client, query: str) -> None:
    assert boss.get(pages.add(PolicyText) + query).status_code == 200


def test_a_pack_is_switched_and_the_general_one_cannot_be(boss: Client) -> None:
    china, general = PolicyPack.objects.get(code="CN"), PolicyPack.objects.get(code="G")
    assert pages.send(boss, pages.act(china, "switch")).status_code == 302
    assert PolicyPack.objects.get(code="CN").is_on
    refused = pages.send(boss, pages.act(general, "switch"))
    assert "always on" in unescape(pages.text(refused))
    assert PolicyPack.objects.get(code="G").is_on


@pytest.mark.req("MOD-27")
def test_what_binds_is_set_with_the_days_of_appeal(boss: Client) -> None:
    document = PolicyDocument.objects.get(code="U")
    sent = pages.send(boss, pages.act(document, "bind"), binds="on", appeal_days="184")
    assert sent.status_code == 302
    assert "184 days" in unescape(pages.text(boss.get(sent.url)))
    document.refresh_from_db()
    assert (document.binds, document.appeal_days) == (True, 184)
    assert "greater than or equal to 14" in unescape(
        pages.text(pages.send(boss, pages.act(document, "bind"), appeal_days="3"))
    )


def test_whoever_may_only_look_is_refused_each_act(staff: Staff, spare: PolicyCategory) -> None:
    names = ("policycategory", "policytext", "policypack", "policydocument")
    viewer = staff(*(f"moderation.view_{name}" for name in names))
    text, document = PolicyText.objects.first(), PolicyDocument.objects.first()
    china = PolicyPack.objects.get(code="CN")
    for url in (
        pages.act(spare, "retire"),
        pages.add(PolicyText),
        pages.act(text, "revise"),
        pages.act(china, "switch"),
        pages.act(document, "bind"),
    ):
        assert viewer.get(url).status_code == 403, url
        assert viewer.post(url, {"reason": pages.REASON}).status_code == 403, url
    assert not PolicyCategory.objects.filter(is_retired=True).exists()
