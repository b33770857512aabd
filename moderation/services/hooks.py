"""Webhooks of organisations for their notices: https only, signed, never to an address inside the platform.

Signed as Standard Webhooks has it: `webhook-id`, `webhook-timestamp` (seconds), `webhook-signature`: `v1,` and the
base64 of HMAC-SHA256 over `id.timestamp.body` with the secret's bytes.
"""

import base64
import hmac
import os
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import orjson
import urllib3
from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import transaction
from urllib3.util import Timeout

from accounts.models import Membership, Organisation, User
from accounts.permissions import Right, may
from accounts.services import audit
from moderation.errors import NotPermitted
from moderation.models import NoticeHook
from newapi.kernel import addresses, clock, secrets

PREFIX = "whsec_"
SECRET_BYTES = 32
CONNECT_TIMEOUT_S = 5
ANSWER_TIMEOUT_S = 10
URL_MAX = 500
# These answers will be the same tomorrow.
_GONE = frozenset({400, 401, 403, 404, 405, 410})


class HookAway(Exception):
    """The webhook is out of reach, or answers that something is wrong with it. Later it may not be."""


class HookRefused(Exception):
    """The webhook is not called, or does not want it. The text names no address."""


def of(organisation: Organisation | None) -> NoticeHook | None:
    """The webhook of an organisation that is on."""
    return NoticeHook.objects.filter(organisation=organisation, is_on=True).first() if organisation else None


@transaction.atomic
def save(
    *, organisation: Organisation, url: str, is_on: bool = True, actor: User, reason: str, address: str | None = None
) -> tuple[NoticeHook, str]:
    """Set where notices are posted. Returns the webhook and, when it is new, its secret, which is shown this once.

    Raises NotPermitted, ValidationError.
    """
    _require(organisation, actor)
    check(url)
    first = {"url": url, "is_on": is_on, "created_by": actor}
    hook, is_new = NoticeHook.objects.select_for_update(of=("self",)).get_or_create(
        organisation=organisation, defaults=first
    )
    before = ("", False) if is_new else (hook.url, hook.is_on)
    secret = _give_secret(hook) if is_new else ""
    if not is_new:
        hook.url, hook.is_on = url, is_on
        hook.save(update_fields=["url", "is_on"])
    changes = {"url": [before[0], url], "is_on": [before[1], is_on]}
    audit.record(actor=actor, action="notice_hook.save", target=hook, reason=reason, changes=changes, address=address)
    return hook, secret


@transaction.atomic
def switch_off(*, hook: NoticeHook, actor: User, reason: str, address: str | None = None) -> None:
    """Post nothing there any more. Raises NotPermitted."""
    _require(hook.organisation, actor)
    hook.is_on = False
    hook.save(update_fields=["is_on"])
    changes = {"is_on": [True, False]}
    audit.record(
        actor=actor, action="notice_hook.switch_off", target=hook, reason=reason, changes=changes, address=address
    )


@transaction.atomic
def renew_secret(*, hook: NoticeHook, actor: User, reason: str, address: str | None = None) -> str:
    """Another secret, shown this once; what is signed from now on is signed with it. Raises NotPermitted."""
    _require(hook.organisation, actor)
    secret = _give_secret(hook)
    audit.record(actor=actor, action="notice_hook.renew_secret", target=hook, reason=reason, address=address)
    return secret


def check(url: str) -> None:
    """Raises ValidationError for what no notice is posted to. Blocks on DNS."""
    try:
        _places(url)
    except HookRefused as error:
        raise ValidationError({"url": str(error)}) from None
    except HookAway as error:
        raise ValidationError({"url": str(error)}) from None


def send(*, hook: NoticeHook, message_id: str, told: Mapping[str, Any]) -> None:
    """Post something, signed. Any 2xx is success; redirects are not followed. Raises HookAway, HookRefused.

    It goes to the very address that was checked, so that a name which changes its mind in between leads nowhere.
    """
    parts = urlsplit(hook.url)
    place = _places(hook.url)[0]
    body = orjson.dumps(dict(told))
    timestamp = str(clock.now_ms() // 1000)
    try:
        key = _key_of(secrets.unseal(hook.sealed_secret, bound_to=_bound_to(hook)))
    except secrets.SealBroken:
        raise HookRefused("seal broken") from None
    headers = {
        "Host": parts.netloc,
        "Content-Type": "application/json",
        "User-Agent": f"{settings.SITE_NAME} notices",
        "webhook-id": message_id,
        "webhook-timestamp": timestamp,
        "webhook-signature": signature(key, message_id, timestamp, body),
    }
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    pool = urllib3.HTTPSConnectionPool(
        str(place),
        parts.port or 443,
        server_hostname=parts.hostname,
        assert_hostname=parts.hostname,
        cert_reqs="CERT_REQUIRED",
        timeout=Timeout(connect=CONNECT_TIMEOUT_S, read=ANSWER_TIMEOUT_S, total=CONNECT_TIMEOUT_S + ANSWER_TIMEOUT_S),
        retries=False,
        maxsize=1,
    )
    try:
        # What it says does not matter, so that none of it is read.
        answer = pool.urlopen("POST", target, body=body, headers=headers, redirect=False, preload_content=False)
        status = answer.status
        answer.close()
    except urllib3.exceptions.HTTPError as error:
        raise HookAway(type(error).__name__) from None
    finally:
        pool.close()
    if status in _GONE:
        raise HookRefused(f"status {status}")
    if not 200 <= status < 300:
        raise HookAway(f"status {status}")


def signature(key: bytes, message_id: str, timestamp: str, body: bytes) -> str:
    """The signature of a message: `v1,` and base64. Pure."""
    digest = hmac.digest(key, b".".join((message_id.encode(), timestamp.encode(), body)), "sha256")
    return f"v1,{base64.b64encode(digest).decode()}"


def _places(url: str) -> list[addresses.Address]:
    """Where a webhook leads. Raises HookRefused, HookAway; neither says what a name resolves to."""
    try:
        parts = urlsplit(url)
    except ValueError:
        raise HookRefused("This is no address of a webhook.") from None
    if parts.scheme != "https" or not parts.hostname or len(url) > URL_MAX:
        raise HookRefused(f"The address must begin with https:// and have at most {URL_MAX} characters.")
    if parts.username or parts.password or parts.fragment:
        raise HookRefused("The address must carry neither a user name nor a fragment.")
    try:
        return addresses.resolved(url, allow_private=settings.NOTICE_WEBHOOK_PRIVATE_ADDRESSES)
    except addresses.AddressRefused as error:
        if "does not resolve" in str(error):
            raise HookAway("The host does not resolve.") from None
        raise HookRefused("The address leads inside the platform's network, or to no server.") from None
    except ValueError:
        raise HookRefused("This is no address of a webhook.") from None


def _give_secret(hook: NoticeHook) -> str:
    secret = PREFIX + base64.b64encode(os.urandom(SECRET_BYTES)).decode()
    hook.sealed_secret = secrets.seal(secret, bound_to=_bound_to(hook))
    hook.save(update_fields=["sealed_secret"])
    return secret


def _key_of(secret: str) -> bytes:
    return base64.b64decode(secret.removeprefix(PREFIX))


def _bound_to(hook: NoticeHook) -> str:
    return f"notice_hook:{hook.pk}"


def _require(organisation: Organisation, actor: User) -> None:
    member = Membership.objects.filter(organisation=organisation, user=actor, is_active=True).first()
    if member is None or not may(member, Right.ANSWER_CASES):
        raise NotPermitted("Only owners and admins of the organisation say where its notices go.")
