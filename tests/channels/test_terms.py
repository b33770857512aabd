"""Reviews of providers' terms: the newest counts, none is edited, old ones stand out."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.contrib.auth.models import Permission
from django.core.exceptions import ValidationError
from django.test import Client

from accounts.models import AuditEvent, User
from channels.governance import TERMS_REVIEW_DAYS_MAX, TermsInForce, terms_in_force
from channels.models import Channel, Provider, UpstreamTerms
from channels.services import catalogue
from newapi.kernel import clock
from tests import cast
from tests.admin import pages


@pytest.fixture
def boss(root: User) -> Client:
    """Root, logged in."""
    client = Client()
    client.force_login(root, backend="django.contrib.auth.backends.ModelBackend")
    return client


@pytest.fixture
def provider(mock_channel: Channel) -> Provider:
    """Whose terms are reviewed."""
    return mock_channel.account.provider


def form(provider: Provider, **fields: object) -> dict[str, object]:
    """What the page for a new review sends."""
    return {
        "provider": provider.pk,
        "version": "2026-10",
        "url": "https://provider.example.com/terms",
        "reviewed_at": clock.today().isoformat(),
        "no_external_clients": "on",
        "categories_forbidden": "SX-ADULT\nHD-MED",
        "countries_denied": "KP, IR",
        "notes": "Section 4 forbids resale.",
        "reason": pages.REASON,
        **fields,
    }


@pytest.mark.req("CHN-03")
def test_the_newest_review_of_a_provider_counts(mock_channel: Channel, provider: Provider) -> None:
    assert terms_in_force() == {}
    today = clock.today()
    cast.terms(mock_channel, no_minors=True, reviewed_at=today - timedelta(days=2))
    cast.terms(mock_channel, no_external_clients=True, reviewed_at=today - timedelta(days=1))
    cast.terms(mock_channel, no_minors=True, reviewed_at=today - timedelta(days=400))
    assert terms_in_force() == {provider.pk: TermsInForce(True, False, frozenset(), frozenset())}
    version = catalogue.current_version()
    cast.terms(mock_channel, categories_forbidden=["SX-ADULT"], countries_denied=["KP"])
    assert terms_in_force()[provider.pk] == TermsInForce(False, False, frozenset({"SX-ADULT"}), frozenset({"KP"}))
    assert catalogue.current_version() > version


@pytest.mark.parametrize(
    ("wrong", "complaint"),
    [
        ({"reviewed_at": clock.today() + timedelta(days=2)}, "in the future"),
        ({"categories_forbidden": ["adult"]}, "A JSON list such as"),
        ({"countries_denied": ["North Korea"]}, "A JSON list such as"),
        ({"url": "javascript:alert(1)"}, "valid URL"),
        ({"version": " "}, "cannot be blank"),
    ],
)
def test_what_cannot_be_a_review_is_refused(mock_channel: Channel, wrong: dict[str, object], complaint: str) -> None:
    with pytest.raises(ValidationError, match=complaint):
        cast.terms(mock_channel, **wrong)
    assert not UpstreamTerms.objects.exists()


@pytest.mark.req("CHN-03")
def test_a_review_is_recorded_with_who_made_it_and_why(boss: Client, root: User, provider: Provider) -> None:
    assert boss.post(pages.add(UpstreamTerms), form(provider)).status_code == 302
    review = UpstreamTerms.objects.get()
    assert (review.reviewed_by, review.categories_forbidden, review.countries_denied) == (
        root,
        ["SX-ADULT", "HD-MED"],
        ["KP", "IR"],
    )
    event = AuditEvent.objects.get(action="upstream_terms.review")
    assert (event.actor, event.reason) == (root, pages.REASON)
    assert event.changes["countries_denied"] == [None, "KP, IR"]
    assert AuditEvent.objects.filter(object_type="channels.upstreamterms").count() == 1


@pytest.mark.parametrize(
    ("sent", "complaint"),
    [
        ({"reviewed_at": "2999-01-01"}, "in the future"),
        ({"categories_forbidden": "adult"}, "A JSON list such as"),
        ({"reason": ""}, "This field is required"),
        ({"url": "no address"}, "Enter a valid URL"),
    ],
)
def test_the_page_says_what_is_wrong(boss: Client, provider: Provider, sent: dict[str, object], complaint: str) -> None:
    answer = boss.post(pages.add(UpstreamTerms), form(provider, **sent))
    assert answer.status_code == 200
    assert complaint in pages.text(answer)
    assert not UpstreamTerms.objects.exists()


@pytest.mark.req("CHN-03")
def test_a_review_is_looked_at_and_never_edited_or_deleted(
    boss: Client, mock_channel: Channel, provider: Provider
) -> None:
    review = cast.terms(mock_channel)
    assert "https://provider.example.com/terms" in pages.text(boss.get(pages.change(review)))
    assert boss.post(pages.change(review), form(provider)).status_code == 403
    assert boss.post(pages.delete(review), {"reason": pages.REASON}).status_code == 403
    review.refresh_from_db()
    assert (review.version, review.no_external_clients) == ("2026-01", False)


@pytest.mark.req("CHN-03")
def test_recording_needs_the_right(mock_channel: Channel, provider: Provider) -> None:
    viewer = cast.person("vic", is_staff=True)
    viewer.user_permissions.add(Permission.objects.get(codename="view_upstreamterms"))
    client = Client()
    client.force_login(viewer, backend="django.contrib.auth.backends.ModelBackend")
    assert client.get(pages.list_of(UpstreamTerms)).status_code == 200
    assert client.post(pages.add(UpstreamTerms), form(provider)).status_code == 403
    assert not UpstreamTerms.objects.exists()


@pytest.mark.req("CHN-03")
def test_the_list_and_the_providers_page_flag_what_is_too_old(
    boss: Client, mock_channel: Channel, provider: Provider
) -> None:
    def page() -> str:
        return pages.text(boss.get(pages.change(provider)))

    def listed(state: str) -> Callable[[UpstreamTerms], bool]:
        shown = pages.text(boss.get(pages.list_of(UpstreamTerms), {"state": state}))
        return lambda review: pages.change(review) in shown

    assert "never: what they ask of us is not known" in page()
    today = clock.today()
    old = cast.terms(mock_channel, reviewed_at=today - timedelta(days=TERMS_REVIEW_DAYS_MAX), no_minors=True)
    assert "review overdue" not in page()
    assert "not for minors" in page()
    with clock.shifted(86_400):
        assert "review overdue" in page()
        assert f"{TERMS_REVIEW_DAYS_MAX + 1} days, overdue" in pages.text(boss.get(pages.list_of(UpstreamTerms)))
        assert listed("overdue")(old)
        assert not listed("current")(old)
    new = cast.terms(mock_channel)
    assert "180 days, replaced" in pages.text(boss.get(pages.list_of(UpstreamTerms)))
    assert listed("replaced")(old)
    assert listed("current")(new)
    assert not listed("current")(old)
    assert "nothing special" in page()


def test_the_link_on_a_providers_page_fills_in_the_review(boss: Client, provider: Provider) -> None:
    Provider.objects.update(terms_url="https://provider.example.com/terms?a=1&b=2")
    page = pages.text(boss.get(pages.change(provider)))
    link = page.partition(f'href="{pages.add(UpstreamTerms)}')[2].partition('"')[0].replace("&amp;", "&")
    shown = pages.fields(boss, pages.add(UpstreamTerms) + link)
    assert (shown["provider"], shown["url"]) == (str(provider.pk), "https://provider.example.com/terms?a=1&b=2")
