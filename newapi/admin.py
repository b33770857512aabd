"""Found by Django's autodiscovery: the admin pages that need several floors of the house at once."""

from newapi import admin_channels, admin_routes

__all__ = ["admin_channels", "admin_routes"]
