"""What routing sees: only what is enabled, keyed, priced and allowed."""

import pytest
from django.conf import settings
from django.core.exceptions import ValidationError
from django.test import override_settings

from channels.models import CatalogueState, Channel, Model
from channels.services import catalogue
from newapi.gateway import catalogue_loader as snapshots
from newapi.gateway.catalogue import ModelEntry
from newapi.gateway.health import Board
from newapi.gateway.routing import Hop, Tried, next_hop
from newapi.kernel import clock
from newapi.kernel.meters.pipe import Pipe
from tests import cast


def hop_of(entry: ModelEntry, *, protocol: str = "openai", tried: Tried | None = None, roll: float = 0.0) -> Hop | None:
    """The next hop while every upstream is well, with dice that fall once and as told."""
    rolls = iter([roll])
    board = Board(Pipe(settings.REDIS_URL))
    return next_hop(
        entry.routes,
        protocol=protocol,
        tried=tried or Tried(),
        health=board,
        now_ms=clock.now_ms(),
        dice=lambda: next(rolls),
    )


def test_every_change_raises_the_version(chat_model: Model, mock_channel: Channel) -> None:
    seen = [catalogue.current_version()]
    mock_channel.weight = 5
    mock_channel.save()
    seen.append(catalogue.current_version())
    chat_model.routes.get().delete()
    seen.append(catalogue.current_version())
    cast.price(chat_model, per_call_nano=7)
    seen.append(catalogue.current_version())
    assert seen == sorted(set(seen))
    assert CatalogueState.objects.count() == 1


def test_a_disabled_channel_a_key_switched_off_and_an_inactive_model_are_left_out(
    chat_model: Model, mock_channel: Channel
) -> None:
    assert snapshots.load().models["mock-gpt"].routes
    mock_channel.keys.update(is_active=False)
    entry = snapshots.load().models["mock-gpt"]
    assert hop_of(entry) is None
    mock_channel.status = Channel.Status.DISABLED
    mock_channel.save()
    assert snapshots.load().models["mock-gpt"].routes == ()
    chat_model.is_active = False
    chat_model.save()
    assert snapshots.load().models == {}


def test_no_secret_is_in_the_text_of_a_snapshot(chat_model: Model) -> None:
    assert cast.UPSTREAM_SECRET not in repr(snapshots.load())


@pytest.mark.parametrize("sealed", ["test.not base64!", "test.AAAA", "test.", "unknown-key.AAAA", "", "test.ünïcode"])
def test_one_key_whose_seal_is_broken_leaves_all_the_others_in_use(
    chat_model: Model, mock_channel: Channel, sealed: str
) -> None:
    spoilt = cast.channel("Spoilt")
    chat_model.routes.create(channel=spoilt)
    spoilt.keys.update(sealed=sealed)

    channels = [route.channel for route in snapshots.load().models["mock-gpt"].routes]

    assert {channel.name: len(channel.keys) for channel in channels} == {mock_channel.name: 1, "Spoilt": 0}


@pytest.mark.req("CHN-06")
def test_calls_are_shared_by_weight_within_the_highest_priority(chat_model: Model, mock_channel: Channel) -> None:
    heavy = cast.channel("Heavy", weight=300)
    idle = cast.channel("Idle", weight=0)
    lower = cast.channel("Lower", priority=-1, weight=10_000)
    for channel in (heavy, idle, lower):
        chat_model.routes.create(channel=channel)
    entry = snapshots.load().models["mock-gpt"]

    def chosen(roll: float, tried: Tried | None = None) -> str:
        hop = hop_of(entry, tried=tried, roll=roll)
        assert hop is not None
        return hop.channel.name

    assert [chosen(roll) for roll in (0.0, 0.24, 0.26, 0.99)] == ["Mock", "Mock", "Heavy", "Heavy"]
    both = Tried(dead_channels={mock_channel.pk, heavy.pk})
    assert chosen(0.5, both) == "Idle"
    assert chosen(0.5, Tried(dead_channels={mock_channel.pk, heavy.pk, idle.pk})) == "Lower"
    assert hop_of(entry, protocol="anthropic") is None


def test_an_upstream_that_leads_inside_is_refused_when_saved_and_left_out_when_loaded(mock_channel: Channel) -> None:
    mock_channel.base_url = "http://169.254.169.254/v1"
    with pytest.raises(ValidationError, match="never allowed"):
        mock_channel.full_clean()
    Channel.objects.filter(pk=mock_channel.pk).update(base_url=mock_channel.base_url)
    model = cast.model(on=mock_channel)
    assert snapshots.load().models[model.name].routes == ()


def test_a_private_upstream_needs_the_deployers_word(mock_channel: Channel) -> None:
    mock_channel.full_clean()
    with override_settings(GATEWAY_UPSTREAM_PRIVATE_ADDRESSES=False), pytest.raises(ValidationError, match="private"):
        mock_channel.full_clean()
