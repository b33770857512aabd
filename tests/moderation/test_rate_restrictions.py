"""Restrictions that slow instead of refusing, those that cut, and those that no person imposed."""

from datetime import timedelta

import pytest
from django.contrib.auth.models import Permission
from django.core.exceptions import ValidationError
from django.test import Client

from accounts.models import AuditEvent, Organisation, User
from channels.models import Model
from moderation import selectors
from moderation.models import Restriction
from moderation.selectors import Standing
from moderation.services import cases, restrictions
from newapi.kernel import clock
from tests import cast
from tests.admin import pages
from tests.moderation import desk

pytestmark = pytest.mark.django_db
HOUR = timedelta(hours=1)
SLOWABLE = ("organisation", "project", "member", "api_key")


def impose(organisation: Organisation, scope: str = "organisation", **options: object) -> Restriction:
    """A restriction by a job of the platform."""
    words = {"reason": "Too many calls", "actor": None, **options}
    return restrictions.impose(organisation=organisation, scope=scope, **words)


def standing(organisation: Organisation) -> Standing:
    """The only one that the gateway obeys."""
    [found] = selectors.restrictions_of(organisation_id=organisation.pk)
    return found


def target_of(organisation: Organisation, user: User, scope: str) -> str:
    """Something of a scope."""
    return {
        "organisation": "",
        "project": str(organisation.projects.get().pk),
        "member": str(user.pk),
        "api_key": str(cast.api_key(organisation, user).api_key.pk),
    }[scope]


@pytest.mark.req("GW-26")
@pytest.mark.parametrize("scope", SLOWABLE)
def test_a_part_of_an_organisation_is_slowed_until_the_clock_ends_it(
    acme: Organisation, ben: User, rex: User, scope: str
) -> None:
    target, end = target_of(acme, ben, scope), clock.now() + HOUR
    epoch = Organisation.objects.get(pk=acme.pk).epoch
    made = impose(acme, scope, target=target, rate_per_minute=30, ends_at=end, actor=rex)
    found = standing(acme)
    assert (found.id, found.scope, found.target) == (made.pk, scope, target)
    assert (found.rate_per_minute, found.cuts) == (30, False)
    assert found.holds_at(clock.to_ms(end) - 1)
    assert not found.holds_at(clock.to_ms(end))
    assert Organisation.objects.get(pk=acme.pk).epoch > epoch
    assert AuditEvent.objects.get(action="restriction.impose").changes["rate_per_minute"] == [None, 30]


@pytest.mark.parametrize(
    ("scope", "target", "rate"),
    [("model", "mock-gpt", 30), ("feature", "chat", 30), ("organisation", "", 0), ("organisation", "", 1_000_001)],
)
def test_models_and_features_are_not_slowed_and_rates_have_bounds(
    acme: Organisation, chat_model: Model, scope: str, target: str, rate: int
) -> None:
    with pytest.raises(ValidationError) as refused:
        impose(acme, scope, target=target, rate_per_minute=rate)
    assert "rate_per_minute" in refused.value.message_dict
    assert not Restriction.objects.exists()


@pytest.mark.req("GW-26")
def test_only_refusals_of_level_l1_cut_streams(acme: Organisation, lea: User) -> None:
    impose(acme, category=desk.category("TE-TERROR"))
    assert (standing(acme).cuts, standing(acme).rate_per_minute) == (True, None)
    Restriction.objects.all().delete()
    impose(acme, category=desk.category("TE-TERROR"), rate_per_minute=10)
    assert not standing(acme).cuts
    Restriction.objects.all().delete()
    impose(acme, category=desk.category("PA-RATE"))
    assert not standing(acme).cuts
    Restriction.objects.all().delete()
    impose(acme)
    assert not standing(acme).cuts


@pytest.mark.req("GW-26")
def test_a_case_that_was_raised_to_l1_cuts_streams_though_its_category_is_lower(acme: Organisation, lea: User) -> None:
    case = desk.in_review(acme, lea, "PA-RATE")
    cases.set_level(case=case, level="L1", actor=lea, reason="Worse than it seemed")
    impose(acme, case=case, actor=lea)
    assert standing(acme).cuts


@pytest.mark.req("GW-06")
def test_what_a_detector_imposes_is_marked_and_must_end_by_itself(acme: Organisation) -> None:
    with pytest.raises(ValidationError) as refused:
        impose(acme, rate_per_minute=10, is_automatic=True)
    assert "ends_at" in refused.value.message_dict
    made = impose(acme, rate_per_minute=10, is_automatic=True, ends_at=clock.now() + HOUR)
    assert (made.is_automatic, made.created_by) == (True, None)
    with clock.shifted(3601):
        assert selectors.restrictions_of(organisation_id=acme.pk) == ()


def test_a_case_tells_that_calls_were_slowed(acme: Organisation, rex: User) -> None:
    case = desk.in_review(acme, rex)
    impose(acme, rate_per_minute=1, case=case, actor=rex)
    [event] = desk.told(case, "restricted")
    assert event.after.endswith("slowed to 1 call/min")


@pytest.fixture
def boss(categories: None) -> Client:
    """May impose, see and lift."""
    user = cast.person("bea", is_staff=True)
    codenames = ("view_restriction", "add_restriction", "change_restriction", "view_organisation", "view_apikey")
    user.user_permissions.set(Permission.objects.filter(codename__in=codenames))
    client = Client()
    client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
    return client


@pytest.mark.req("GW-26")
def test_a_key_is_slowed_in_the_admin(boss: Client, acme: Organisation, ben: User) -> None:
    key = cast.api_key(acme, ben, "Busy").api_key
    url = pages.add(Restriction)
    told = {"organisation": acme.pk, "scope": "api_key", "api_key": "Busy"}
    for rate in ("0", "-1", "1000001", "many"):
        assert pages.send(boss, url, **told, rate_per_minute=rate).status_code == 200
    assert not Restriction.objects.exists()
    response = pages.send(boss, url, **told, rate_per_minute="30")
    assert response.status_code == 302, pages.text(response)
    assert (standing(acme).target, standing(acme).rate_per_minute) == (str(key.pk), 30)
    for page in (boss.get(response.url), boss.get(pages.list_of(Restriction))):
        assert "slowed to 30 calls/min" in pages.text(page)
    made = Restriction.objects.get()
    assert pages.send(boss, pages.act(made, "lift")).status_code == 302
    assert selectors.restrictions_of(organisation_id=acme.pk) == ()


def test_a_rate_that_was_typed_before_the_scope_was_changed_does_not_count(boss: Client, acme: Organisation) -> None:
    told = {"organisation": acme.pk, "scope": "feature", "feature": "chat", "rate_per_minute": "30"}
    assert pages.send(boss, pages.add(Restriction), **told).status_code == 302
    assert standing(acme).rate_per_minute is None


def test_the_list_tells_refused_from_slowed_and_people_from_detectors(boss: Client, acme: Organisation) -> None:
    impose(acme, "feature", target="chat")
    impose(acme, rate_per_minute=5, is_automatic=True, ends_at=clock.now() + HOUR)
    listed = pages.text(boss.get(pages.list_of(Restriction)))
    assert "refused" in listed
    assert "slowed to 5 calls/min" in listed
    assert "automatically" in listed
    automatic = pages.text(boss.get(f"{pages.list_of(Restriction)}?is_automatic__exact=1"))
    assert "slowed to 5 calls/min" in automatic
    assert "Feature chat" not in automatic
