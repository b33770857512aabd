"""The admin of providers, channels, upstream keys, models and routes."""

from channels.admin import catalogue, channels, limits, models, providers, upstream_keys

__all__ = ["catalogue", "channels", "limits", "models", "providers", "upstream_keys"]
