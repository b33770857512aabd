"""Answers in restricted domains, booked as the poster books them, and what people found of them."""

import uuid
from datetime import timedelta
from typing import Any

from accounts.models import APIKey, Project, User
from billing.models import UsageEvent
from channels.models import Model
from moderation.models import HumanReview
from moderation.services import human_reviews
from tests.portal import traffic

PHYSICIAN = "licensed physician, DE 12345"


def restrict(project: Project, domain: str = "HD-MED") -> Project:
    """Put a project into a restricted domain."""
    project.restricted_domain = domain
    project.save()
    return project


def given(
    key: APIKey,
    model: Model,
    *,
    ago: timedelta = timedelta(0),
    domain: str = "HD-MED",
    outcome: UsageEvent.Outcome = UsageEvent.Outcome.OK,
) -> uuid.UUID:
    """The trace id of a call that was made some time ago."""
    record = traffic.record(key, model, ago=ago, outcome=outcome)
    record.domain = domain
    [booked] = traffic.book([record])
    assert isinstance(booked.id, uuid.UUID)
    return booked.id


def review(key: APIKey, trace_id: uuid.UUID, reviewer: User, **changed: Any) -> HumanReview:
    """A person's review of an answer to a key."""
    values: dict[str, Any] = {
        "organisation": key.organisation,
        "trace_id": trace_id,
        "project_id": key.project_id,
        "domain": "HD-MED",
        "reviewer": reviewer,
        "qualification": PHYSICIAN,
        "result": "accepted",
        "actor": reviewer,
    }
    return human_reviews.record(**{**values, **changed})
