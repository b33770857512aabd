"""Where: upstream accounts, the channels to them, the models they serve, and by what right."""

from channels.models.catalogue import CatalogueState
from channels.models.channel import Channel, Protocol, UpstreamKey
from channels.models.governance import AuthorisationEvidence, UpstreamTerms
from channels.models.limit import ModelLimit
from channels.models.model import Model, ModelAlias, ModelFallback, Route
from channels.models.provider import Provider, UpstreamAccount

__all__ = [
    "AuthorisationEvidence",
    "CatalogueState",
    "Channel",
    "Model",
    "ModelAlias",
    "ModelFallback",
    "ModelLimit",
    "Protocol",
    "Provider",
    "Route",
    "UpstreamAccount",
    "UpstreamKey",
    "UpstreamTerms",
]
