"""The people and things that tests are about. Made through the services, as in the product.

Acme is a customer: Ada owns it, Ben builds with it, Vera watches. Globex is another customer, owned by Gus.
Root runs the platform. Olga approves by what right channels are used.
"""

from datetime import date
from typing import Any

from django.test import override_settings

from accounts.models import Membership, Organisation, Project, Role, User
from accounts.services import api_keys
from billing.models import LedgerTransaction, PriceVersion
from billing.services import prices, wallets
from channels.models import AuthorisationEvidence, Channel, Model, Provider, Route, UpstreamAccount, UpstreamTerms
from channels.services import evidence as evidences
from channels.services import terms as reviews
from channels.services import upstream_keys
from newapi.kernel.money import NANO

PASSWORD = "correct horse battery"
UPSTREAM_SECRET = "sk-upstream-canary-7777"


def person(name: str, **fields: object) -> User:
    """A user whose e-mail is name@example.com."""
    return User.objects.create_user(f"{name}@example.com", PASSWORD, name=name.title(), **fields)


def organisation(name: str, *, owner: User, funds_nano: int = 100 * NANO, **fields: object) -> Organisation:
    """A customer in USD with one project, its owner, and a funded wallet."""
    made = Organisation.objects.create(name=name.title(), slug=name, currency="USD", **fields)
    Project.objects.create(organisation=made, name="Main")
    member(made, owner, Role.OWNER)
    if funds_nano:
        wallets.credit(
            organisation=made,
            amount_nano=funds_nano,
            kind=LedgerTransaction.Kind.TOP_UP,
            idempotency_key=f"cast:{name}",
            actor=None,
            reason="Opening balance",
        )
    return made


def member(where: Organisation, user: User, role: str = Role.MEMBER) -> Membership:
    """A membership."""
    return Membership.objects.create(organisation=where, user=user, role=role)


def channel(
    name: str = "Mock", *, base_url: str = "http://127.0.0.1:9/v1", evidence: bool = True, **fields: object
) -> Channel:
    """A channel with one key and approved evidence, on an upstream account of its own."""
    provider, _ = Provider.objects.get_or_create(name="Mock provider")
    account = UpstreamAccount.objects.create(provider=provider, name=f"{name} account")
    made = Channel.objects.create(name=name, account=account, base_url=base_url, **fields)
    upstream_keys.add(channel=made, secret=UPSTREAM_SECRET, actor=None, reason="Test set-up")
    if evidence:
        approved_evidence(channel=made)
    return made


def evidence(**fields: object) -> AuthorisationEvidence:
    """Evidence for a channel or a service, handed in by a command and waiting for approval. From 2020 on, no end."""
    values: dict[str, object] = {
        "kind": AuthorisationEvidence.Kind.OWN_ACCOUNT,
        "legal_owner": "Platform Inc.",
        "document_name": "contract.pdf",
        "document_sha256": "a1" * 32,
        "valid_from": date(2020, 1, 1),
        "actor": None,
        "reason": "Test set-up",
    }
    return evidences.submit(**{**values, **fields})


def approved_evidence(**fields: object) -> AuthorisationEvidence:
    """The same, approved by Olga."""
    return evidences.approve(evidence=evidence(**fields), actor=olga(), reason="Test set-up")


def olga() -> User:
    """The person who approves; she exists from her first approval on."""
    return User.objects.filter(email="olga@example.com").first() or person("olga")


def terms(of: Channel, **fields: object) -> UpstreamTerms:
    """A review, of today, of the terms of a channel's provider; nothing in them is special unless said."""
    values: dict[str, object] = {
        "provider": of.account.provider,
        "version": "2026-01",
        "url": "https://provider.example.com/terms",
        "actor": None,
        "reason": "Test set-up",
    }
    return reviews.record_review(**{**values, **fields})


def model(name: str = "mock-gpt", *, on: Channel | None = None, priced: bool = True, **fields: object) -> Model:
    """A model at 2 USD per million input tokens and 8 USD per million output tokens."""
    made = Model.objects.create(name=name, **fields)
    if on is not None:
        Route.objects.create(model=made, channel=on)
    if priced:
        price(made)
    return made


def price(of: Model, *, currency: str = "USD", **rates: Any) -> PriceVersion:
    """A price from now on, also a dearer one: as though its notice had been given before."""
    rates = rates or {"input_nano": 2 * NANO, "output_nano": 8 * NANO}
    with override_settings(PRICE_NOTICE_DAYS=0):
        return prices.publish(model=of, currency=currency, actor=None, reason="Test set-up", **rates)


def api_key(where: Organisation, user: User, name: str = "Key", **options: object) -> api_keys.NewKey:
    """A key in the organisation's first project."""
    project = where.projects.order_by("pk").first()
    assert project is not None
    return api_keys.create(project=project, user=user, name=name, actor=user, reason="Test set-up", **options)
