"""Customers with limits, or with something in their way: for tests at the door, in this process and beside the product.

A customer's people are Mia and Max. Mia has three keys: `main`, `extra` beside it, and `elsewhere` in another
project; Max has one, `colleague`, in the project of the first.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import orjson
from mmdb_writer import MMDBWriter
from netaddr import IPSet

from accounts.models import APIKey, Limits, Organisation, Project, User
from channels.models import Model, ModelLimit
from moderation import policy
from moderation.models import Approval, PolicyCategory
from moderation.services import approvals
from newapi.kernel import clock
from newapi.kernel.money import NANO
from tests import cast

CHAT, EMBEDDINGS, MODELS = "/v1/chat/completions", "/v1/embeddings", "/v1/models"
KEYS = ("main", "extra", "elsewhere", "colleague")
# Whose limit it is → which of a customer's keys it holds for.
SHARED_BY: Mapping[str, tuple[str, ...]] = {
    "key": ("main",),
    "member": ("main", "extra", "elsewhere"),
    "project": ("main", "extra", "colleague"),
    "organisation": KEYS,
    "model": KEYS,
}
HOLDERS = tuple(SHARED_BY)


@dataclass(frozen=True)
class Customer:
    """An organisation; its raw keys and their ids by name."""

    id: int
    slug: str
    keys: dict[str, str]
    key_ids: dict[str, int]

    @property
    def organisation(self) -> Organisation:
        """The row as it is now."""
        return Organisation.objects.get(pk=self.id)

    @property
    def key(self) -> APIKey:
        """The row of the main key."""
        return APIKey.objects.get(pk=self.key_ids["main"])

    @property
    def project(self) -> Project:
        """The project of the main key."""
        return self.key.project


def somebody(name: str) -> User:
    """A person, made when first asked for."""
    return User.objects.filter(email=f"{name}@example.com").first() or cast.person(name)


def customer(slug: str, *, funds_nano: int = 100 * NANO, **fields: Any) -> Customer:
    """An organisation with the two people and the four keys."""
    mia, max_ = somebody("mia"), somebody("max")
    made = cast.organisation(slug, owner=mia, funds_nano=funds_nano, **fields)
    cast.member(made, max_)
    keys = {name: cast.api_key(made, mia, name) for name in ("main", "extra")}
    keys["colleague"] = cast.api_key(made, max_, "colleague")
    other = Project.objects.create(organisation=made, name="Other")
    keys["elsewhere"] = cast.api_key(made, mia, "elsewhere")
    APIKey.objects.filter(pk=keys["elsewhere"].api_key.pk).update(project=other)
    raw = {name: key.raw for name, key in keys.items()}
    return Customer(made.pk, slug, raw, {name: key.api_key.pk for name, key in keys.items()})


def limit(who: Customer, holder: str, *, model: str = "mock-gpt", **limits: Any) -> None:
    """Set limits of one holder, as its admin page would."""
    row: Limits
    if holder == "model":
        row, _ = ModelLimit.objects.get_or_create(organisation_id=who.id, model=Model.objects.get(name=model))
    elif holder == "member":
        row = who.organisation.memberships.get(user=who.key.user)
    else:
        row = {"key": who.key, "project": who.project, "organisation": who.organisation}[holder]
    for name, value in limits.items():
        setattr(row, name, value)
    row.full_clean()
    row.save()


def customers(wanted: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Slug → holder and its limits: makes such customers and returns them as plain values."""
    made = {}
    for slug, limits in wanted.items():
        who = customer(slug)
        rest = dict(limits)
        limit(who, rest.pop("holder"), **rest)
        made[slug] = asdict(who)
    return made


def category(code: str) -> PolicyCategory:
    """A category of the taxonomy, also after a transactional test has emptied the tables."""
    if not PolicyCategory.objects.exists():
        policy.seed(PolicyCategory)
    return PolicyCategory.objects.get(code=code)


def approved(who: Customer, code: str = "", *, days: int = 30, **fields: Any) -> Approval:
    """A use case of a category, or without one a label opt-out, applied for by Mia and approved by Olga."""
    wanted: dict[str, Any] = {"kind": "use_case", "category": category(code)} if code else {"kind": "label_opt_out"}
    if not code:
        wanted["promises"] = list(Approval.LABEL_PROMISES)
    asked = approvals.request(
        organisation=who.organisation, purpose="A test", actor=somebody("mia"), reason="Test", **{**wanted, **fields}
    )
    ends_at = clock.from_ms(clock.now_ms() + days * 86_400_000)
    return approvals.approve(approval=asked, ends_at=ends_at, actor=decider(), reason="Test")


def decider() -> User:
    """Decides on approvals; a superuser."""
    found = User.objects.filter(email="dora@example.com").first()
    return found or cast.person("dora", is_staff=True, is_superuser=True)


def chat_body(model: str = "mock-gpt", *, content: str = "Hello", max_tokens: int | None = 20, **fields: Any) -> bytes:
    """A chat call, as bytes; `manners` are knobs of the mock for this call alone."""
    manners = {f"mock-{knob.replace('_', '-')}": str(value) for knob, value in fields.pop("manners", {}).items()}
    body: dict[str, Any] = {"model": model, "messages": [{"role": "user", "content": content}], **fields}
    if max_tokens is not None:
        body["max_tokens"] = max_tokens
    if manners:
        body["metadata"] = manners
    return orjson.dumps(body)


def exact_body(**fields: Any) -> bytes:
    """A chat call that uses all the tokens that are held for it: its bytes as input, and max_tokens."""
    max_tokens = fields.setdefault("max_tokens", 20)
    manners = {**fields.pop("manners", {}), "prompt_tokens": "10000", "reply_tokens": max_tokens}
    length = len(chat_body(manners=manners, **fields))
    return chat_body(manners={**manners, "prompt_tokens": f"{length:05d}"}, **fields)


def hold_nano(body: bytes) -> int:
    """What is held for a chat call of `exact_body`: a nano more than it costs. See billing.pricing."""
    return len(body) * 2000 + 1 + orjson.loads(body)["max_tokens"] * 8000


def address_database(path: Path, places: Mapping[str, tuple[str, int]]) -> str:
    """Write a database that says in which country and network addresses are. Returns its path."""
    writer = MMDBWriter(4, "Test")
    for network, (country, asn) in places.items():
        writer.insert_network(IPSet([network]), {"country": {"iso_code": country}, "autonomous_system_number": asn})
    writer.to_db_file(str(path))
    return str(path)
