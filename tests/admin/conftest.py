"""Clients of the admin, and a house in which every table has a row."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.contrib.auth.models import Permission
from django.test import Client

from accounts.models import APIKey, Organisation, User
from channels.models import Channel, Model
from moderation import policy
from moderation.detectors import seeds
from moderation.models import Approval, DetectorRule, HumanReview, PolicyCategory
from moderation.services import approvals, blocks, opening, restrictions, signals
from moderation.services.signals import Subject
from newapi.kernel import clock
from tests import cast
from tests.admin import house as houses
from tests.admin import house_of_cases, house_of_notices, house_of_reports, house_of_time, house_of_truth
from tests.admin.house import House
from tests.admin.pages import REASON


@pytest.fixture
def boss(root: User) -> Client:
    """Root, logged in."""
    client = Client()
    client.force_login(root)
    return client


@pytest.fixture
def staff(db: None) -> Callable[..., Client]:
    """Logs in a staff user who has exactly the rights that are named, as app.codename."""

    def log_in(*rights: str) -> Client:
        user = cast.person(f"staff{User.objects.count()}", is_staff=True)
        for right in rights:
            app, codename = right.split(".")
            user.user_permissions.add(Permission.objects.get(content_type__app_label=app, codename=codename))
        client = Client()
        client.force_login(user)
        return client

    return log_in


@pytest.fixture
def house(acme: Organisation, ben: User, raw_key: str, mock_channel: Channel, chat_model: Model, root: User) -> House:
    """Acme at work, with a case, a restriction and every record that jobs leave."""
    return furnish(acme, ben, raw_key, mock_channel, chat_model, root)


def furnish(acme: Organisation, ben: User, raw_key: str, channel: Channel, model: Model, root: User) -> House:
    """Put a row into every table that the admin shows."""
    made = houses.fill(
        user=ben,
        api_key=APIKey.objects.get(),
        raw_key=raw_key,
        channel=channel,
        model=model,
        upstream_secret=cast.UPSTREAM_SECRET,
    )
    if not PolicyCategory.objects.exists():
        # A transactional test before this one has emptied the tables, what migrations had put there as well.
        policy.seed(PolicyCategory)
    category = PolicyCategory.objects.filter(is_sealed=False, level="L2").first()
    case = opening.open_case(
        organisation=acme, category=category, summary="Odd traffic", source="staff", actor=root, reason=REASON
    )
    house_of_time.fill(case=case, actor=root)
    restrictions.impose(
        organisation=acme, scope="feature", target="embeddings", case=case, category=category, actor=root, reason=REASON
    )
    house_of_truth.fill(case=case, api_key=made.api_key, user=root)
    approvals.request(
        organisation=acme,
        kind=Approval.Kind.USE_CASE,
        category=PolicyCategory.objects.get(code="SX-ADULT"),
        purpose="A novel",
        actor=ben,
        reason=REASON,
    )
    house_of_cases.fill(organisation=acme)
    blocks.add(kind="country", value="KP", purpose="sanctions", actor=root, reason=REASON)
    house_of_reports.fill(organisation=acme)
    house_of_notices.fill(organisation=acme, user=root)
    _signal(acme, made.api_key, ben)
    HumanReview.objects.create(
        organisation=acme,
        trace_id=made.usage.pk,
        project_id=made.api_key.project_id,
        domain="HD-MED",
        reviewer=ben,
        qualification="Licensed physician",
        result="accepted",
        reviewed_at=clock.now(),
    )
    return made


def _signal(organisation: Organisation, api_key: APIKey, owner: User) -> None:
    if not DetectorRule.objects.exists():
        seeds.seed(DetectorRule, PolicyCategory)
    rule = DetectorRule.objects.get(detector="attack", version=1)
    signals.notice(
        about="attack:v1",
        subject=Subject(f"k:{api_key.pk}", organisation.pk, api_key.pk, owner.pk),
        category_id=rule.category_id,
        rule_id=rule.pk,
        source="detector",
        is_shadow=False,
        count=50,
        facts={"malformed requests": 50},
        request_ids=["01920000-0000-7000-8000-000000000001"],
        window=timedelta(minutes=5),
    )
