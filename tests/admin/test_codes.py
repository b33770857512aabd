"""Codes in the admin: ordered with a look at what they come to, watched, downloaded once, voided, looked up."""

from collections.abc import Callable
from datetime import timedelta
from html import unescape
from typing import Any

import pytest
from django.conf import LazySettings
from django.test import Client
from django.urls import reverse

from accounts.models import AuditEvent, Organisation, User
from accounts.services import audit
from billing.models import CodeBatch, Redemption, RedemptionCode
from billing.services import codes
from billing.services.codes import tries
from newapi.kernel import clock
from newapi.kernel.money import NANO
from tests.admin import pages
from tests.billing import books, vouchers

State = CodeBatch.State
LOOK_UP = "admin:billing_redemptioncode_look_up"


def order(**changed: Any) -> dict[str, Any]:
    """What somebody types to have 100 codes of 5 USD made."""
    until = clock.now() + timedelta(days=30)
    typed = {
        "name": "Fair",
        "count": "100",
        "value_nano": "5",
        "purpose": "compliant_service_fee",
        "expires_at_0": f"{until:%Y-%m-%d}",
        "expires_at_1": "12:00:00",
    }
    return {**typed, **changed}


def read(response: Any) -> str:
    """A page as a person reads it, a file as it was sent."""
    return unescape(b"".join(response).decode()).replace("\u00a0", " ")


@pytest.mark.req("BIL-05")
def test_an_order_is_shown_for_what_it_comes_to_and_made_when_confirmed(
    boss: Client, root: User, acme: Organisation
) -> None:
    url = pages.add(CodeBatch)
    shown = pages.send(boss, url, **order(issuer=acme.pk, uses_per_code="2"))
    page = read(shown)
    assert "100 codes of 5.00 USD, each up to 2 times" in page
    assert "1,000.00 USD" in page
    assert "Acme and its clients" in page
    assert not CodeBatch.objects.exists()
    answer = pages.send(boss, url, **order(issuer=acme.pk, uses_per_code="2"), _make="")
    batch = CodeBatch.objects.get()
    assert answer.url == pages.change(batch)
    assert (batch.count, batch.value_nano, batch.issuer, batch.created_by) == (100, 5 * NANO, acme, root)
    assert AuditEvent.objects.get(action="code_batch.make").reason == pages.REASON


def test_an_order_that_is_sent_twice_is_made_once(boss: Client) -> None:
    sent = {**pages.fields(boss, pages.add(CodeBatch)), "reason": pages.REASON, **order(), "_make": ""}
    assert boss.post(pages.add(CodeBatch), sent).status_code == 302
    again = boss.post(pages.add(CodeBatch), sent)
    assert "was sent before" in read(again)
    assert CodeBatch.objects.count() == 1


def test_an_order_that_could_not_be_made_can_be_sent_again(
    boss: Client, acme: Organisation, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent = {**pages.fields(boss, pages.add(CodeBatch)), "reason": pages.REASON, **order(), "_make": ""}
    with monkeypatch.context() as broken:
        broken.setattr(audit, "record", _broken)
        with pytest.raises(RuntimeError, match="the database is away"):
            boss.post(pages.add(CodeBatch), sent)
    assert not CodeBatch.objects.exists()
    assert boss.post(pages.add(CodeBatch), sent).status_code == 302
    assert CodeBatch.objects.count() == 1


def _broken(**told: Any) -> None:
    raise RuntimeError("the database is away")


@pytest.mark.req("BIL-03")
@pytest.mark.parametrize(
    ("wrong", "complaint"),
    [
        ({"purpose": ""}, "This field is required"),
        ({"purpose": "internal_settlement"}, "say whose codes these are"),
        ({"count": "1000001"}, "less than or equal to 1000000"),
        ({"count": "1000000", "value_nano": "1001"}, "at most one billion"),
        ({"expires_at_0": "2020-01-01"}, "over already"),
        ({"value_nano": "0"}, "At least 0.000000001"),
        ({"reason": ""}, "This field is required"),
    ],
)
def test_a_wrong_order_is_said_before_it_can_be_confirmed(boss: Client, wrong: dict[str, str], complaint: str) -> None:
    for button in ({}, {"_make": ""}):
        page = read(pages.send(boss, pages.add(CodeBatch), **{**order(), **wrong}, **button))
        assert complaint in page
        assert "What will be made" not in page
    assert not CodeBatch.objects.exists()


@pytest.mark.req("BIL-05")
def test_the_page_follows_the_making_in_figures_and_words(boss: Client) -> None:
    batch = vouchers.ordered(2500)
    progress = reverse("admin:billing_codebatch_progress", args=[batch.pk])
    assert "2,500 codes wait to be made" in read(boss.get(pages.change(batch)))
    CodeBatch.objects.filter(pk=batch.pk).update(state=State.MAKING, made=620)
    assert boss.get(progress).json() == {
        "made": 620,
        "count": 2500,
        "percent": 24,
        "words": "620 of 2,500 codes are made",
        "is_done": False,
    }
    page = read(boss.get(pages.change(batch)))
    assert progress in page
    assert 'aria-valuenow="24"' in page
    assert pages.act(batch, "download") not in page
    CodeBatch.objects.filter(pk=batch.pk).update(made=0, making_until=None)
    codes.make_waiting()
    done = boss.get(progress).json()
    assert (done["percent"], done["words"], done["is_done"]) == (100, "All 2,500 codes are made", True)
    assert pages.act(batch, "download") in read(boss.get(pages.change(batch)))


@pytest.mark.req("BIL-05")
def test_codes_are_downloaded_once(boss: Client, root: User, acme: Organisation) -> None:
    batch = vouchers.made(3)
    url = pages.act(batch, "download")
    answer = pages.send(boss, url, is_meant="on")
    assert answer["Content-Disposition"] == f'attachment; filename="codes-{batch.pk}.csv"'
    assert "no-store" in answer["Cache-Control"]
    lines = read(answer).splitlines()
    assert len(lines) == 4
    assert codes.redeem(raw=lines[1].split(",")[0], organisation=acme, user=root).number == 1
    assert pages.act(batch, "download") not in read(boss.get(pages.change(batch)))
    again = boss.post(url, {"is_meant": "on", "reason": pages.REASON})
    assert "nobody can get them a second time" in read(again)
    assert AuditEvent.objects.filter(action="code_batch.download", actor=root).count() == 1


def test_a_download_is_confirmed_with_a_reason(boss: Client) -> None:
    batch = vouchers.made(3)
    for missing in ({"is_meant": ""}, {"is_meant": "on", "reason": ""}):
        assert pages.send(boss, pages.act(batch, "download"), **missing).status_code == 200
    batch.refresh_from_db()
    assert batch.state == State.READY


@pytest.mark.req("BIL-05")
def test_a_batch_is_voided_and_its_money_taken_back(boss: Client, root: User, acme: Organisation) -> None:
    batch, (one, two) = vouchers.issued(2)
    codes.redeem(raw=one, organisation=acme, user=None)
    assert "1 (5.00 USD)" in read(boss.get(pages.act(batch, "void")))
    assert pages.send(boss, pages.act(batch, "void"), is_meant="on").status_code == 302
    with pytest.raises(codes.CodeRefused):
        codes.redeem(raw=two, organisation=acme, user=None)
    codes.finish_voids()
    assert books.wallet_of(acme).balance_nano == 105 * NANO
    page = read(boss.get(pages.change(batch)))
    assert pages.act(batch, "void") not in page
    assert pages.act(batch, "claw_back") in page
    assert pages.send(boss, pages.act(batch, "claw_back")).status_code == 302
    codes.finish_voids()
    assert books.wallet_of(acme).balance_nano == 100 * NANO
    actors = AuditEvent.objects.filter(action__startswith="code_batch.").values_list("actor", "reason")
    assert list(actors).count((root.pk, pages.REASON)) == 2


def test_a_code_is_looked_up_by_typing_it_and_voided(boss: Client, acme: Organisation) -> None:
    _, (one, two) = vouchers.issued(2)
    codes.redeem(raw=one, organisation=acme, user=None)
    found = pages.send(boss, reverse(LOOK_UP), code=one.lower())
    code = vouchers.row(one)
    assert found.url == pages.change(code)
    page = read(boss.get(found.url))
    assert "Redeemed" in page
    assert one not in page
    assert "no such code" in read(pages.send(boss, reverse(LOOK_UP), code="0" * 20))
    mistyped = read(pages.send(boss, reverse(LOOK_UP), code=two[:-1] + ("A" if two[-1] != "A" else "B")))
    assert "Check the code" in mistyped
    assert pages.send(boss, pages.act(code, "void"), is_meant="on", takes_back="on").status_code == 302
    assert books.wallet_of(acme).balance_nano == 100 * NANO
    assert "void already" in read(pages.send(boss, pages.act(code, "void"), is_meant="on"))


def test_the_list_says_what_is_redeemed_and_what_is_left(boss: Client, acme: Organisation) -> None:
    _, issued = vouchers.issued(4, uses_per_organisation=4)
    codes.redeem(raw=issued[0], organisation=acme, user=None)
    page = read(boss.get(pages.list_of(CodeBatch)))
    assert "1 (5.00 USD)" in page
    assert "15.00 USD" in page
    with clock.shifted(31 * 86_400):
        boss.force_login(User.objects.get(email="root@example.com"))
        page = read(boss.get(pages.list_of(CodeBatch)))
    assert "15.00 USD" not in page
    assert "Expired" in page


@pytest.mark.req("BIL-05")
def test_failed_tries_are_told_as_counts(boss: Client) -> None:
    for _ in range(3):
        tries.note_wrong()
    page = read(boss.get(pages.list_of(CodeBatch)))
    assert "3 in this hour, 3 in the last 24 hours" in page
    assert "pauses" not in page
    for _ in range(tries.WRONG_PER_HOUR_MAX - 3):
        tries.note_wrong()
    assert "Redemption pauses" in read(boss.get(pages.list_of(CodeBatch)))


def test_the_list_opens_while_redis_is_away(boss: Client, settings: LazySettings) -> None:
    batch = vouchers.made(2)
    away = {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": "redis://127.0.0.1:1/0"}
    settings.CACHES = {"default": away}
    page = read(boss.get(pages.list_of(CodeBatch)))
    assert pages.change(batch) in page
    assert "Redis is out of reach" in page


@pytest.mark.req("ACC-38")
def test_looking_needs_its_right_and_so_does_acting(staff: Callable[..., Client], acme: Organisation) -> None:
    batch, (one, _) = vouchers.issued(2)
    ready = vouchers.made(2)
    codes.redeem(raw=one, organisation=acme, user=None)
    code = vouchers.row(one)
    viewer = staff("billing.view_codebatch", "billing.view_redemptioncode", "billing.view_redemption")
    assert viewer.get(pages.change(batch)).status_code == 200
    assert viewer.get(pages.list_of(Redemption)).status_code == 200
    acts = [pages.act(ready, "download"), pages.act(ready, "void"), pages.act(code, "void"), pages.add(CodeBatch)]
    for url in acts:
        assert viewer.get(url).status_code == 403, url
        sent = {"is_meant": "on", "reason": pages.REASON, "_make": "", **order()}
        assert viewer.post(url, sent).status_code == 403, url
    nobody = staff()
    progress = reverse("admin:billing_codebatch_progress", args=[batch.pk])
    for url in (progress, reverse(LOOK_UP), pages.act(batch, "void"), pages.act(batch, "claw_back")):
        assert nobody.get(url).status_code == 403, url
    assert Client().get(progress).status_code == 302
    ready.refresh_from_db()
    assert ready.state == State.READY
    assert RedemptionCode.objects.filter(voided_at=None).count() == 4
