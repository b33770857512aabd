"""Webhooks for notices: https only, never inside, signed, bounded; their secret is shown once."""

import base64
import hmac
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.conf import LazySettings
from django.core.exceptions import ValidationError

from accounts.models import AuditEvent, Organisation, Role, User
from moderation.errors import NotPermitted
from moderation.models import CaseNotice, Delivery, NoticeHook
from moderation.services import delivery, delivery_rows, hooks
from newapi.kernel import clock
from tests import cast
from tests.moderation import desk, hook_server
from tests.moderation.hook_server import HookServer
from tests.processes import free_port

pytestmark = pytest.mark.django_db


@pytest.fixture
def server(tmp_path: Path, settings: LazySettings, monkeypatch: pytest.MonkeyPatch) -> Iterator[HookServer]:
    """A receiver on this machine, which the product may call and whose certificate it trusts."""
    settings.NOTICE_WEBHOOK_PRIVATE_ADDRESSES = True
    with hook_server.running(tmp_path) as started:
        monkeypatch.setenv("SSL_CERT_FILE", str(started.certificate))
        yield started


def hooked(acme: Organisation, ada: User, url: str) -> str:
    """The secret of Acme's new webhook."""
    _, secret = hooks.save(organisation=acme, url=url, actor=ada, reason="Our own inbox")
    return secret


def is_signed(secret: str, headers: dict[str, str], body: bytes) -> bool:
    """As a receiver checks it, written from the documentation and not from the code."""
    key = base64.b64decode(secret.removeprefix("whsec_"))
    content = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    expected = base64.b64encode(hmac.new(key, content, "sha256").digest()).decode()
    return headers["webhook-signature"] == f"v1,{expected}"


@pytest.mark.req("NOT-01")
def test_a_notice_is_posted_signed_beside_the_mail(
    acme: Organisation, ada: User, rex: User, server: HookServer
) -> None:
    secret = hooked(acme, ada, server.url)
    decision = desk.decided(acme, rex)
    assert delivery.deliver() == 1
    told = CaseNotice.objects.get()
    [(path, headers, body)] = server.received
    assert path == "/notices?from=newapi"
    assert headers["host"] == f"localhost:{server.port}"
    assert is_signed(secret, headers, body)
    assert abs(int(headers["webhook-timestamp"]) - clock.now_ms() / 1000) < 60
    said = json.loads(body)
    assert (said["case"], said["subject"], said["body"]) == (decision.case.reference, told.subject, told.body)
    assert {one.channel: one.state for one in told.deliveries.all()} == {
        "email": "sent",
        "webhook": "sent",
        "message": "queued",
    }


def test_with_another_secret_the_old_one_signs_no_more(
    acme: Organisation, ada: User, rex: User, server: HookServer
) -> None:
    old = hooked(acme, ada, server.url)
    new = hooks.renew_secret(hook=NoticeHook.objects.get(), actor=ada, reason="It was in a log")
    desk.decided(acme, rex)
    delivery.deliver()
    [(_, headers, body)] = server.received
    assert is_signed(new, headers, body)
    assert not is_signed(old, headers, body)


def test_the_secret_rests_sealed_and_stands_in_no_audit_row(acme: Organisation, ada: User, server: HookServer) -> None:
    secret = hooked(acme, ada, server.url)
    assert len(base64.b64decode(secret.removeprefix("whsec_"))) == 32
    hook = NoticeHook.objects.get()
    assert secret not in hook.sealed_secret
    rows = AuditEvent.objects.filter(object_type="moderation.noticehook")
    assert rows.count() == 1
    assert all(secret not in str(row.changes) + row.reason for row in rows)
    _, again = hooks.save(organisation=acme, url=server.url, actor=ada, reason="The same")
    assert again == ""


@pytest.mark.parametrize("status", [500, 503, 429, 302])
def test_an_answer_that_may_be_better_later_is_tried_again(
    acme: Organisation, ada: User, rex: User, server: HookServer, status: int
) -> None:
    hooked(acme, ada, server.url)
    server.answers = [status]
    desk.decided(acme, rex)
    delivery.deliver()
    row = Delivery.objects.get(channel="webhook")
    assert (row.state, row.tries, row.error) == ("queued", 1, f"status {status}")
    assert delivery.deliver() == 0
    with clock.shifted(delivery_rows.PAUSE_S):
        assert delivery.deliver() == 1
    row.refresh_from_db()
    assert (row.state, row.tries, len(server.received)) == ("sent", 2, 2)


@pytest.mark.parametrize("status", [404, 410, 401])
def test_an_answer_that_stays_the_same_ends_it(
    acme: Organisation, ada: User, rex: User, server: HookServer, status: int
) -> None:
    hooked(acme, ada, server.url)
    server.answers = [status]
    desk.decided(acme, rex)
    delivery.deliver()
    assert Delivery.objects.get(channel="webhook").state == "failed"
    assert CaseNotice.objects.get().state == "sent"


def test_a_certificate_that_nobody_vouches_for_is_not_spoken_to(
    acme: Organisation, ada: User, rex: User, server: HookServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    hooked(acme, ada, server.url)
    monkeypatch.delenv("SSL_CERT_FILE")
    desk.decided(acme, rex)
    delivery.deliver()
    row = Delivery.objects.get(channel="webhook")
    assert (row.state, server.received) == ("queued", [])
    assert "localhost" not in row.error


def test_a_port_where_nobody_listens_is_tried_again(
    acme: Organisation, ada: User, rex: User, server: HookServer
) -> None:
    hooked(acme, ada, f"https://localhost:{free_port()}/")
    desk.decided(acme, rex)
    delivery.deliver()
    assert Delivery.objects.get(channel="webhook").state == "queued"


@pytest.mark.parametrize(
    "url",
    [
        "http://example.com/hook",
        "ftp://example.com/",
        "https://127.0.0.1/hook",
        "https://localhost/hook",
        "https://10.0.0.5/",
        "https://192.168.1.1:8443/",
        "https://169.254.169.254/latest/meta-data",
        "https://[::1]/",
        "https://[::ffff:127.0.0.1]/",
        "https://0.0.0.0/",
        "https://user:secret@127.0.0.1/",
        "https://",
        "https://[/",
        "https://127.0.0.1:99999/",
        "nonsense",
        "https://127.0.0.1/" + "x" * 500,
    ],
)
def test_an_address_that_is_not_https_or_leads_inside_is_refused_and_nothing_is_kept(
    acme: Organisation, ada: User, url: str
) -> None:
    with pytest.raises(ValidationError) as refused:
        hooks.save(organisation=acme, url=url, actor=ada, reason="Our own inbox")
    assert "169.254" not in str(refused.value)
    assert not NoticeHook.objects.exists()


def test_an_address_that_came_to_lead_inside_is_not_called_and_the_mail_still_goes(
    acme: Organisation, ada: User, rex: User, server: HookServer, settings: LazySettings
) -> None:
    hooked(acme, ada, server.url)
    settings.NOTICE_WEBHOOK_PRIVATE_ADDRESSES = False
    desk.decided(acme, rex)
    delivery.deliver()
    row = Delivery.objects.get(channel="webhook")
    assert (row.state, server.received) == ("failed", [])
    assert "127.0.0.1" not in row.error
    assert Delivery.objects.get(channel="email").state == "sent"


def test_a_webhook_that_is_off_is_not_called(acme: Organisation, ada: User, rex: User, server: HookServer) -> None:
    hooked(acme, ada, server.url)
    hooks.switch_off(hook=NoticeHook.objects.get(), actor=ada, reason="Not now")
    desk.decided(acme, rex)
    delivery.deliver()
    assert not Delivery.objects.filter(channel="webhook").exists()
    assert server.received == []


@pytest.mark.req("ACC-38")
def test_only_owners_and_admins_of_the_organisation_say_where_its_notices_go(
    acme: Organisation, ada: User, gus: User, globex: Organisation, ben: User, root: User, server: HookServer
) -> None:
    bill, carl = cast.person("bill"), cast.person("carl")
    cast.member(acme, bill, Role.BILLING)
    cast.member(acme, carl, Role.ADMIN)
    for person in (gus, ben, bill, root):
        with pytest.raises(NotPermitted):
            hooks.save(organisation=acme, url=server.url, actor=person, reason="Mine")
    hooks.save(organisation=acme, url=server.url, actor=carl, reason="Ours")
    hook = NoticeHook.objects.get()
    for person in (gus, ben, bill, root):
        with pytest.raises(NotPermitted):
            hooks.renew_secret(hook=hook, actor=person, reason="Mine")
        with pytest.raises(NotPermitted):
            hooks.switch_off(hook=hook, actor=person, reason="Mine")
