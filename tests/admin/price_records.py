"""Rows for the house: a price list that was read, and a call that was rated again."""

import json
from datetime import timedelta

from accounts.models import User
from billing.models import RatingDelta, Rerating, UsageEvent
from billing.services import imports
from channels.models import Model


def fill(*, model: Model, actor: User, usage: UsageEvent) -> None:
    """A list of the house's model, and a re-rating of its call."""
    listed = {model.name: {"input_cost_per_token": 1e-6, "output_cost_per_token": 8e-6}}
    imports.read(
        data=json.dumps(listed).encode(), name="map.json", currency="USD", actor=actor, reason="To be looked at"
    )
    made = Rerating.objects.create(
        wrong_price=usage.price,
        right_price=usage.price,
        organisation=usage.organisation,
        since=usage.at - timedelta(hours=1),
        until=usage.at + timedelta(hours=1),
        reason="Mistyped",
        requested_by=actor,
    )
    RatingDelta.objects.create(
        rerating=made, usage=usage.pk, organisation=usage.organisation, before_nano=6_000_000, after_nano=5_000_000
    )
