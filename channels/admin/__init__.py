"""The admin of providers, channels, upstream keys, models and routes."""

from channels.admin import catalogue, channels, models, providers, upstream_keys

__all__ = ["catalogue", "channels", "models", "providers", "upstream_keys"]
