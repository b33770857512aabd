"""The demonstration set-up: an organisation that can call models at once. Idempotent; made through the services.

What cannot be read back from the database (passwords, the raw API key) is kept in a file that only the
owner of the installation can read.
"""

import hashlib
import json
import os
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import requests
from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import transaction

from accounts.models import APIKey, Membership, Organisation, Project, Role, User
from accounts.services import api_keys
from billing.models import LedgerTransaction, PriceVersion
from billing.services import prices, wallets
from channels.governance import in_force
from channels.models import AuthorisationEvidence, Channel, Model, Protocol, Provider, Route, UpstreamAccount
from channels.services import evidence, upstream_keys
from newapi.kernel import clock
from newapi.kernel.money import NANO
from newapi.kernel.secrets import SealBroken, digest

REASON = "Demonstration set-up"
ADMIN, MEMBER, SLUG = "admin@example.com", "member@example.com", "demo"
FUNDS_NANO = 1_000 * NANO
UPSTREAM_MODELS_MAX = 50
DEFAULT_URLS = {
    Protocol.OPENAI: "http://127.0.0.1:8010/v1",
    Protocol.ANTHROPIC: "http://127.0.0.1:8010/v1",
    Protocol.GEMINI: "http://127.0.0.1:8010/v1beta",
}
# What the mock upstream serves, and what is assumed of one that does not list its models.
DEFAULT_MODELS = {
    Protocol.OPENAI: ["mock-gpt", "mock-gpt-mini", "mock-embed"],
    Protocol.ANTHROPIC: ["mock-claude"],
    Protocol.GEMINI: ["mock-gemini"],
}
CHAT_RATES: dict[str, Any] = {"input_nano": 2 * NANO, "cached_input_nano": NANO // 2, "output_nano": 8 * NANO}
EMBEDDING_RATES: dict[str, Any] = {"input_nano": NANO // 50}


@dataclass(frozen=True, slots=True)
class Upstream:
    """Where the demonstration's channel leads."""

    protocol: Protocol
    url: str
    key: str


def upstream_of(protocol: str, url: str | None, key: str | None) -> Upstream:
    """The upstream from the command's options; a bare host gets the protocol's version path."""
    chosen = Protocol(protocol)
    address = (url or DEFAULT_URLS[chosen]).rstrip("/")
    if not urlsplit(address).path:
        address += urlsplit(DEFAULT_URLS[chosen]).path
    return Upstream(chosen, address, key or "demo-upstream-key")


def prepare(*, upstream: Upstream, base_url: str) -> dict[str, Any]:
    """Make or repair the set-up and return what the command prints. Raises ValidationError."""
    kept = _read_kept()
    with transaction.atomic():
        admin = _person(ADMIN, "Demo admin", kept, "admin_password", is_staff=True, is_superuser=True)
        member = _person(MEMBER, "Demo member", kept, "member_password")
        organisation = _organisation(member)
        channel = _channel(upstream)
        _evidence(channel, admin)
        names = _models(channel, upstream)
        _key(organisation, member, kept)
    _write_kept(kept)
    return {
        "base_url": base_url,
        "api_key": kept["api_key"],
        "org": organisation.slug,
        "admin_user": ADMIN,
        "admin_password": kept["admin_password"],
        "member_user": MEMBER,
        "member_password": kept["member_password"],
        "models": names,
    }


def _person(email: str, name: str, kept: dict[str, str], field: str, **rights: bool) -> User:
    user = User.objects.filter(email=email).first() or User(email=email, name=name, **rights)
    password = kept.setdefault(field, secrets.token_urlsafe(12))
    if user.pk is None or not user.check_password(password):
        user.set_password(password)
        user.save()
    return user


def _organisation(member: User) -> Organisation:
    organisation, is_new = Organisation.objects.get_or_create(
        slug=SLUG, defaults={"name": "Demo organisation", "currency": settings.DEFAULT_CURRENCY}
    )
    if is_new:
        Project.objects.create(organisation=organisation, name="Main", code="CC-100")
    Membership.objects.get_or_create(organisation=organisation, user=member, defaults={"role": Role.OWNER})
    wallets.credit(
        organisation=organisation,
        amount_nano=FUNDS_NANO,
        kind=LedgerTransaction.Kind.GRANT,
        idempotency_key=f"demo:funds:{organisation.pk}",
        actor=None,
        reason=REASON,
    )
    return organisation


def _channel(upstream: Upstream) -> Channel:
    provider, _ = Provider.objects.get_or_create(name="Demo provider")
    account, _ = UpstreamAccount.objects.get_or_create(provider=provider, name=f"Demo {upstream.protocol.label}")
    channel = Channel.objects.filter(name=f"Demo {upstream.protocol.label}").first() or Channel(
        name=f"Demo {upstream.protocol.label}", account=account, protocol=upstream.protocol
    )
    if channel.base_url != upstream.url:
        channel.base_url = upstream.url
        channel.full_clean()
        channel.save()
    _upstream_key(channel, upstream.key)
    return channel


def _evidence(channel: Channel, admin: User) -> None:
    """Evidence in force: handed in by the command, approved by the demo's admin."""
    if in_force(clock.today()).filter(channel=channel).exists():
        return
    document = f"{REASON}: {channel.name} leads to an upstream of whoever runs this command."
    handed_in = evidence.submit(
        channel=channel,
        kind=AuthorisationEvidence.Kind.OWN_ACCOUNT,
        legal_owner="Whoever runs the demonstration",
        document_name="demonstration.txt",
        document_sha256=hashlib.sha256(document.encode()).hexdigest(),
        valid_from=clock.today(),
        actor=None,
        reason=REASON,
    )
    evidence.approve(evidence=handed_in, actor=admin, reason=REASON)


def _upstream_key(channel: Channel, secret: str) -> None:
    """Exactly one active key, with this secret."""
    standing = False
    for key in channel.keys.filter(is_active=True):
        try:
            is_same = key.secret() == secret
        except SealBroken:
            is_same = False
        if is_same and not standing:
            standing = True
        else:
            key.is_active = False
            key.save(update_fields=["is_active"])
    if not standing:
        upstream_keys.add(channel=channel, secret=secret, name="Demo", actor=None, reason=REASON)


def _models(channel: Channel, upstream: Upstream) -> list[str]:
    """Routes to what the upstream serves, each priced. Routes to what it no longer serves are switched off."""
    names = _served(upstream) or DEFAULT_MODELS[upstream.protocol]
    for name in names:
        is_embedding = "embed" in name
        model, _ = Model.objects.get_or_create(
            name=name,
            defaults={
                "kind": Model.Kind.EMBEDDING if is_embedding else Model.Kind.CHAT,
                "owned_by": channel.account.provider.name,
            },
        )
        route, is_new = Route.objects.get_or_create(model=model, channel=channel)
        if not is_new and not route.is_active:
            route.is_active = True
            route.save(update_fields=["is_active"])
        currency = settings.DEFAULT_CURRENCY
        if not PriceVersion.objects.filter(model=model, currency=currency, price_group="default").exists():
            rates = EMBEDDING_RATES if is_embedding else CHAT_RATES
            prices.publish(model=model, currency=currency, actor=None, reason=REASON, **rates)
    for route in channel.routes.filter(is_active=True).exclude(model__name__in=names):
        route.is_active = False
        route.save(update_fields=["is_active"])
    return names


def _served(upstream: Upstream) -> list[str]:
    """The models an OpenAI-compatible upstream lists; none when it does not answer or speaks another dialect."""
    if upstream.protocol is not Protocol.OPENAI:
        return []
    try:
        answer = requests.get(
            f"{upstream.url}/models", headers={"Authorization": f"Bearer {upstream.key}"}, timeout=(2, 10)
        )
        listed = [entry["id"] for entry in answer.json()["data"]] if answer.ok else []
    except (requests.RequestException, ValueError, KeyError, TypeError):
        return []
    valid = Model._meta.get_field("name").clean
    usable = []
    for name in listed:
        try:
            usable.append(valid(str(name), None))
        except ValidationError:
            continue  # a name that we cannot serve
    mine = set(DEFAULT_MODELS[Protocol.ANTHROPIC] + DEFAULT_MODELS[Protocol.GEMINI])
    return [name for name in usable if name not in mine][:UPSTREAM_MODELS_MAX]


def _key(organisation: Organisation, member: User, kept: dict[str, str]) -> None:
    """The kept API key while it works; otherwise a new one."""
    raw = kept.get("api_key")
    if raw:
        standing = APIKey.objects.filter(digest=digest(raw), organisation=organisation).first()
        if standing is not None and standing.state == "active":
            return
    project = organisation.projects.order_by("pk").first()
    assert project is not None
    kept["api_key"] = api_keys.create(project=project, user=member, name="Demo key", actor=None, reason=REASON).raw


def _kept_path() -> Path:
    return Path(getattr(settings, "VAR_DIR", settings.BASE_DIR / "var")) / "demo.json"


def _read_kept() -> dict[str, str]:
    try:
        return json.loads(_kept_path().read_text())
    except FileNotFoundError:
        return {}


def _write_kept(kept: dict[str, str]) -> None:
    path = _kept_path()
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        json.dump(kept, file)
