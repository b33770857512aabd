"""Where: upstream accounts, the channels to them, and the models they serve."""

from channels.models.catalogue import CatalogueState
from channels.models.channel import Channel, Protocol, UpstreamKey
from channels.models.model import Model, Route
from channels.models.provider import Provider, UpstreamAccount

__all__ = [
    "CatalogueState",
    "Channel",
    "Model",
    "Protocol",
    "Provider",
    "Route",
    "UpstreamAccount",
    "UpstreamKey",
]
