"""System checks: what would make the product unsafe or half-working is said at start."""

from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register

from newapi.kernel import addresses


@register()
def addresses_parse(**kwargs: Any) -> list[CheckMessage]:
    """TRUSTED_PROXIES must be addresses or ranges."""
    try:
        addresses.networks(settings.TRUSTED_PROXIES)
    except ValueError as error:
        return [Error(f"TRUSTED_PROXIES: {error}", hint="Example: 10.0.0.0/8,127.0.0.1", id="newapi.E001")]
    return []


@register()
def abuse_contact_is_set(**kwargs: Any) -> list[CheckMessage]:
    """Reporters must have somewhere to write to (MOD-12)."""
    if "@" not in settings.ABUSE_CONTACT:
        return [Error("ABUSE_CONTACT is no e-mail address.", hint="Example: abuse@example.com", id="newapi.E002")]
    return []


@register(Tags.security, deploy=True)
def abuse_contact_is_ours(**kwargs: Any) -> list[CheckMessage]:
    """The address that the product comes with reaches nobody but this machine."""
    if settings.ABUSE_CONTACT.endswith("@localhost"):
        text = f"ABUSE_CONTACT={settings.ABUSE_CONTACT} reaches nobody from outside."
        return [Warning(text, hint="Set the address that your abuse team reads.", id="newapi.W001")]
    return []
