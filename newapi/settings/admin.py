"""How the admin looks. What it shows is in newapi/admin_home.py, its menu in newapi/admin_menu.py."""

from typing import Any

from django.conf import settings
from django.http import HttpRequest
from django.templatetags.static import static


def _site_name(request: HttpRequest) -> str:
    # Asked late: these settings are a part of the ones that are asked.
    return str(getattr(settings, "SITE_NAME", "newapi"))


def _icon(request: HttpRequest) -> str:
    return static("portal/icon.svg")


def _style(request: HttpRequest) -> str:
    return static("accounts/admin.css")


UNFOLD: dict[str, Any] = {
    "SITE_TITLE": _site_name,
    "SITE_HEADER": _site_name,
    "SITE_SUBHEADER": "Governed access to AI models",
    "SITE_SYMBOL": "hub",
    "SITE_FAVICONS": [
        {"rel": "icon", "type": "image/svg+xml", "href": _icon},
    ],
    "STYLES": [_style],
    "SITE_URL": "/",
    "SHOW_HISTORY": True,
    "SHOW_VIEW_ON_SITE": False,
    "SHOW_BACK_BUTTON": True,
    "DASHBOARD_CALLBACK": "newapi.admin_home.dashboard",
    "SIDEBAR": {"show_search": True, "command_search": True, "navigation": "newapi.admin_menu.navigation"},
    "COMMAND": {"search_models": False, "search_callback": "newapi.admin_search.find", "show_history": False},
    "COLORS": {
        "primary": {
            "50": "oklch(97% .014 254.604)",
            "100": "oklch(93.2% .032 255.585)",
            "200": "oklch(88.2% .059 254.128)",
            "300": "oklch(80.9% .105 251.813)",
            "400": "oklch(70.7% .165 254.624)",
            "500": "oklch(62.3% .214 259.815)",
            "600": "oklch(54.6% .245 262.881)",
            "700": "oklch(48.8% .243 264.376)",
            "800": "oklch(42.4% .199 265.638)",
            "900": "oklch(37.9% .146 265.522)",
            "950": "oklch(28.2% .091 267.935)",
        },
    },
}
