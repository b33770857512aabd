"""The admin of providers, channels, upstream keys, models and routes, and of the right to use them."""

from channels.admin import (
    catalogue,
    channels,
    governance,
    governance_panels,
    limits,
    models,
    providers,
    terms,
    upstream_keys,
)

__all__ = [
    "catalogue",
    "channels",
    "governance",
    "governance_panels",
    "limits",
    "models",
    "providers",
    "terms",
    "upstream_keys",
]
