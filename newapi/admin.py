"""Found by Django's autodiscovery: the admin pages that need several floors of the house at once."""

from django.contrib import admin

from newapi import admin_channels, admin_routes

__all__ = ["admin_channels", "admin_routes"]

# The home page with what is new above it; newapi/admin_home.py fills both.
admin.site.index_template = "admin/channels/home.html"
