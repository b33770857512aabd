"""Several ways to one model, each with its own manners: set through header overrides, which the mock obeys."""

import asyncio
from collections import Counter
from typing import Any

import aiohttp

from billing.models import UsageEvent
from channels.models import Channel, Model, Route
from tests import cast
from tests.gateway.conftest import Gateway
from tests.gateway.doors import in_database


def way(model: Model, name: str, base_url: str, **fields: Any) -> Channel:
    """One more channel to a model. `manners` are knobs of the mock, such as {"status": "503"}."""
    overrides = {f"x-mock-{knob}": value for knob, value in fields.pop("manners", {}).items()}
    cost = {key: fields.pop(key) for key in ("cost_input_nano", "cost_output_nano") if key in fields}
    channel = cast.channel(name, base_url=base_url, header_overrides=overrides, **fields)
    Route.objects.create(model=model, channel=channel, **cost)
    return channel


async def change(channel: Channel, **fields: Any) -> None:
    """Change a channel as its admin page would, and let every worker know."""

    def save() -> None:
        row = Channel.objects.get(pk=channel.pk)
        for name, value in fields.items():
            setattr(row, name, value)
        row.save()

    await in_database(save)


async def crowd(gateway: Gateway, count: int, **fields: Any) -> list[aiohttp.ClientResponse]:
    """So many chat calls at once."""
    return list(await asyncio.gather(*(gateway.chat(**fields) for _ in range(count))))


def statuses(answers: list[aiohttp.ClientResponse]) -> Counter[int]:
    """How many answers had which status."""
    return Counter(answer.status for answer in answers)


def served_by(rows: list[UsageEvent]) -> Counter[int | None]:
    """How many calls each channel served, by its id."""
    return Counter(row.channel_id for row in rows if row.outcome == UsageEvent.Outcome.OK)
