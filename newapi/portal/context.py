"""What every template may know."""

from django.conf import settings
from django.http import HttpRequest


def site(request: HttpRequest) -> dict[str, str]:
    """The names that a deployer sets."""
    return {"site_name": settings.SITE_NAME, "abuse_contact": settings.ABUSE_CONTACT}
