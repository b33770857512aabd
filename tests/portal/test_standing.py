"""Restrictions in force are told to the people they concern: policy, case, until when, where to appeal."""

from datetime import timedelta

from accounts.models import APIKey, Organisation, User
from channels.models import Model
from moderation.models import PolicyCategory
from moderation.services import restrictions
from newapi.kernel import clock
from tests.portal.conftest import LogIn


def impose(acme: Organisation, scope: str, target: str = "", **more: object) -> object:
    """A restriction for phishing."""
    category = PolicyCategory.objects.get(code="DC-PHISH")
    return restrictions.impose(
        organisation=acme,
        scope=scope,
        target=target,
        category=category,
        actor=None,
        reason="Reported by Gus, decided by Root",
        **more,
    )


def test_a_restriction_of_the_organisation_is_on_every_page_until_it_ends(
    acme: Organisation, vera: User, log_in: LogIn
) -> None:
    client = log_in(vera)
    impose(acme, "organisation", ends_at=clock.now() + timedelta(hours=3))
    for page in ("", "usage", "calls", "keys", "models"):
        html = client.get(f"/o/acme/{page}").content.decode()
        assert "Every call of Acme is refused until" in html
        assert "DC-PHISH" in html
        assert "mailto:abuse@localhost" in html
        assert "Reported by" not in html
        assert "Root" not in html
    with clock.shifted(3 * 3600 + 1):
        assert "is refused" not in client.get("/o/acme/").content.decode()


def test_a_restriction_on_a_key_is_told_to_its_owner_and_to_admins_only(
    acme: Organisation, ada: User, ben: User, vera: User, bens_key: APIKey, log_in: LogIn
) -> None:
    impose(acme, "api_key", str(bens_key.pk))
    told = "The API key “Ben&#x27;s bot”"
    assert told in log_in(ben).get("/o/acme/").content.decode()
    assert told in log_in(ada).get("/o/acme/").content.decode()
    assert told not in log_in(vera).get("/o/acme/").content.decode()


def test_a_restriction_on_a_member_is_told_to_that_member(
    acme: Organisation, ada: User, ben: User, vera: User, log_in: LogIn
) -> None:
    impose(acme, "member", str(ben.pk))
    assert "Every key of Ben" in log_in(ben).get("/o/acme/").content.decode()
    assert "Every key of Ben" not in log_in(vera).get("/o/acme/").content.decode()


def test_a_restricted_model_is_marked_in_the_list(
    acme: Organisation, ben: User, chat_model: Model, log_in: LogIn
) -> None:
    impose(acme, "model", "mock-gpt")
    html = log_in(ben).get("/o/acme/models").content.decode()
    assert "The model mock-gpt is refused until further notice" in html
    assert "Restricted</span>" in html


def test_an_organisation_switched_off_says_so(acme: Organisation, ben: User, log_in: LogIn) -> None:
    Organisation.objects.filter(pk=acme.pk).update(is_active=False)
    assert "Acme is switched off." in log_in(ben).get("/o/acme/").content.decode()


def test_who_is_only_slowed_is_told_how_much_and_not_that_calls_are_refused(
    acme: Organisation, ben: User, bens_key: APIKey, log_in: LogIn
) -> None:
    impose(acme, "api_key", str(bens_key.pk), rate_per_minute=5, ends_at=clock.now() + timedelta(hours=1))
    html = log_in(ben).get("/o/acme/").content.decode()
    assert "is slowed to 5 calls/min until" in html
    assert "is refused" not in html
