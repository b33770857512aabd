"""First steps of a fresh installation, shown on the home page until the first call has come through."""

from dataclasses import dataclass

from django.contrib.auth.models import AnonymousUser
from django.urls import reverse

from accounts.models import APIKey, Organisation, User
from billing.models import PriceVersion, UsageEvent, Wallet
from channels.models import Channel, Route


@dataclass(frozen=True, slots=True)
class Step:
    """Something to set up once. `url` is empty for whoever may not do it."""

    title: str
    hint: str
    is_done: bool
    url: str


def steps(user: User | AnonymousUser) -> list[Step]:
    """What is left to do, in order; nothing once a call was made, or for whoever may set up none of it."""
    if UsageEvent.objects.exists():
        return []
    found = [
        _step(
            user,
            "channels.add_channel",
            "Connect a channel",
            "An upstream's address and your key for it. Its page has a test that makes a real call.",
            Channel.objects.filter(keys__is_active=True).exists(),
        ),
        _step(
            user,
            "channels.add_model",
            "Name a model and route it there",
            "Callers use the public name; the route says which channel serves it.",
            Route.objects.filter(is_active=True).exists(),
        ),
        _step(
            user,
            "billing.add_priceversion",
            "Publish its price",
            "A model without a price is refused, never free by accident.",
            PriceVersion.objects.exists(),
        ),
        _step(
            user,
            "accounts.add_organisation",
            "Add an organisation with a project and members",
            "Its wallet is opened with it.",
            Organisation.objects.filter(projects__isnull=False, memberships__isnull=False).exists(),
        ),
        _step(
            user,
            "billing.add_ledgertransaction",
            "Credit its wallet",
            "A top-up or a grant, on the wallet's page.",
            Wallet.objects.filter(funded_nano__gt=0).exists(),
            url=reverse("admin:billing_wallet_changelist"),
        ),
        _step(
            user,
            "accounts.add_apikey",
            "Make an API key",
            "Shown once. Programs send it as a bearer token to /v1.",
            APIKey.objects.filter(revoked_at=None).exists(),
        ),
    ]
    return found if any(step.url for step in found) else []


def _step(user: User | AnonymousUser, right: str, title: str, hint: str, is_done: bool, url: str = "") -> Step:
    app, _, codename = right.partition(".")
    where = url or reverse(f"admin:{app}_{codename.removeprefix('add_')}_add")
    return Step(title, hint, is_done, where if user.has_perm(right) else "")
