"""Price lists in the admin: uploaded, looked at, chosen from, published; nothing unseen, nothing by the wrong hand."""

import json
import time
from collections.abc import Callable
from html import unescape
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.http import HttpResponse
from django.test import Client

from accounts.models import AuditEvent, User
from billing.models import PriceImport, PriceVersion
from billing.services import imports
from channels.models import Channel, Model
from newapi.kernel.money import NANO
from tests import cast
from tests.admin import pages

CHAT = {"input_cost_per_token": 2e-6, "output_cost_per_token": 8e-6, "mode": "chat"}
LIST = {
    "same": CHAT,
    "cheaper": {**CHAT, "input_cost_per_token": 5.46875e-7, "weekend_surcharge": 2},
    "dearer": {**CHAT, "output_cost_per_token": 9e-6},
    "gratis": {"input_cost_per_token": 0, "output_cost_per_token": 0},
    "new": CHAT,
    "<b>elsewhere</b>": CHAT,
}


@pytest.fixture
def models(mock_channel: Channel) -> dict[str, Model]:
    made = {name: cast.model(name, on=mock_channel) for name in ("same", "cheaper", "dearer", "gratis")}
    return made | {"new": cast.model("new", on=mock_channel, priced=False)}


def upload(client: Client, data: bytes | None = None, **changed: Any) -> HttpResponse:
    """Fill in the page and send the file."""
    file = SimpleUploadedFile("map.json", json.dumps(LIST).encode() if data is None else data)
    sent = {"currency": "USD", "price_group": "default", "markup": "", "reason": pages.REASON, "file": file, **changed}
    return client.post(pages.add(PriceImport), sent)


def preview(client: Client, show: str = "all") -> str:
    of = PriceImport.objects.latest("pk")
    return unescape(pages.text(client.get(pages.act(of, "preview"), {"show": show})))


def row_of(page: str, name: str) -> str:
    """The HTML of a row."""
    return next(part for part in page.split("<tr")[1:] if f">{name}" in part.split("</th>")[0])


@pytest.mark.req("BIL-08", "BIL-09")
def test_a_list_is_uploaded_looked_at_and_published(boss: Client, root: User, models: dict[str, Model]) -> None:
    assert upload(boss, markup="0").status_code == 302
    of = PriceImport.objects.get()
    assert (of.uploaded_by, of.name, of.state) == (root, "map.json", "preview")
    page = preview(boss)
    assert "Input: 2.00 → <strong" in row_of(page, "cheaper")
    assert "0.546875</strong>" in row_of(page, "cheaper")
    assert "“weekend_surcharge” looks like a cost that is not known here" in row_of(page, "cheaper")
    assert "dearer: after notice" in row_of(page, "dearer")
    assert "at once" in row_of(page, "new")
    assert "only if the model is to be free" in row_of(page, "gratis")
    assert "Would be free" in row_of(page, "gratis")
    assert "Cannot be read" not in row_of(page, "gratis")
    assert 'name="chosen"' not in row_of(page, "same")
    assert PriceVersion.objects.filter(model=models["new"]).count() == 0

    asked = pages.text(boss.get(pages.act(of, "publish")))
    assert "3 prices in USD" in asked
    assert "2 at once" in asked
    assert "1 becomes dearer" in asked
    answer = pages.send(boss, pages.act(of, "publish"))
    assert answer.status_code == 302
    assert models["new"].prices.get().input_nano == 2 * NANO
    assert models["cheaper"].prices.latest("pk").input_nano == 546_875_000
    assert AuditEvent.objects.filter(action="price.publish", actor=root, reason=pages.REASON).count() == 3
    assert "Published on" in preview(boss)
    assert boss.get(pages.act(of, "publish")).status_code == 403


def test_nothing_is_published_that_was_unticked(boss: Client, models: dict[str, Model]) -> None:
    upload(boss)
    of = PriceImport.objects.get()
    ids = dict(of.rows.values_list("listed_name", "pk"))
    shown = [ids[name] for name in ("cheaper", "dearer", "new", "gratis")]
    sent = {"act": "publish", "shown": shown, "chosen": [ids["new"], ids["gratis"], "9" * 30, "x"]}
    answer = boss.post(pages.act(of, "preview"), sent)
    assert answer.url == pages.act(of, "publish")
    assert "1 makes its model free" in pages.text(boss.get(answer.url))
    pages.send(boss, answer.url)
    assert models["gratis"].prices.latest("pk").is_free
    assert models["cheaper"].prices.count() == 1


@pytest.mark.parametrize(("act", "count"), [("none", 0), ("all", 3), ("save", 0)])
def test_all_or_none_are_chosen_by_one_button(boss: Client, models: dict[str, Model], act: str, count: int) -> None:
    upload(boss)
    of = PriceImport.objects.get()
    sent = {"act": act, "shown": list(of.rows.values_list("pk", flat=True))}
    answer = boss.post(f"{pages.act(of, 'preview')}?show=new", sent)
    assert answer.url.endswith("/preview/?show=new")
    assert imports.chosen_rows(of).count() == count
    if not count:
        assert "Nothing is chosen" in pages.text(pages.send(boss, pages.act(of, "publish")))


def test_what_somebody_else_chose_meanwhile_is_not_published(boss: Client, models: dict[str, Model]) -> None:
    upload(boss)
    of = PriceImport.objects.get()
    url = pages.act(of, "publish")
    opened = {**pages.fields(boss, url), "reason": pages.REASON}
    boss.post(pages.act(of, "preview"), {"act": "none"})
    one = of.rows.get(listed_name="new").pk
    boss.post(pages.act(of, "preview"), {"act": "save", "shown": [one], "chosen": [one]})
    stale = boss.post(url, opened)
    assert "Somebody has changed the choice" in pages.text(stale)
    assert models["new"].prices.count() == 0
    assert "1 price in USD" in unescape(pages.text(boss.get(url)))
    assert pages.send(boss, url).status_code == 302
    assert models["new"].prices.count() == 1


def test_a_choice_of_a_list_that_was_decided_meanwhile_is_refused_as_such(
    boss: Client, models: dict[str, Model], monkeypatch: pytest.MonkeyPatch
) -> None:
    upload(boss)
    of = PriceImport.objects.get()
    chosen = imports.choose_all

    def after_the_other(**told: Any) -> None:
        imports.discard(of=of, actor=None, reason=pages.REASON)
        chosen(**told)

    monkeypatch.setattr(imports, "choose_all", after_the_other)
    answer = boss.post(pages.act(of, "preview"), {"act": "all"}, follow=True)
    *_, told = answer.context["messages"]
    assert (told.level_tag, told.message) == ("error", "This list has been decided on already.")


def test_the_rows_can_be_narrowed(boss: Client, models: dict[str, Model]) -> None:
    upload(boss)
    assert "1 row," in preview(boss, "same")
    assert ">same" in preview(boss, "same")
    assert "elsewhere" in preview(boss, "unknown")
    assert "3 rows" in preview(boss, "")
    assert "3 rows" in preview(boss, "nonsense")
    of = PriceImport.objects.get()
    found = pages.text(boss.get(pages.act(of, "preview"), {"show": "all", "q": "CHEAP", "page": "99"}))
    assert "1 row," in found
    none = pages.text(boss.get(pages.act(of, "preview"), {"show": "all", "q": "zzz"}))
    assert "No row of this kind is named so" in none


def test_names_of_the_list_are_text(boss: Client, models: dict[str, Model]) -> None:
    upload(boss)
    of = PriceImport.objects.get()
    page = pages.text(boss.get(pages.act(of, "preview"), {"show": "all"}))
    assert "<b>elsewhere" not in page
    assert "&lt;b&gt;elsewhere" in page


def test_the_same_list_again_says_that_nothing_is_to_be_done(boss: Client, models: dict[str, Model]) -> None:
    upload(boss)
    pages.send(boss, pages.act(PriceImport.objects.get(), "publish"))
    upload(boss)
    assert "Nothing to do" in preview(boss, "")
    assert "Nothing is chosen" in pages.text(pages.send(boss, pages.act(PriceImport.objects.latest("pk"), "publish")))


def test_a_discarded_list_is_kept_by_name_only(boss: Client, models: dict[str, Model]) -> None:
    upload(boss)
    of = PriceImport.objects.get()
    assert pages.send(boss, pages.act(of, "discard")).status_code == 302
    assert "The list was discarded" in preview(boss)
    assert AuditEvent.objects.get(action="price_import.discard").reason == pages.REASON
    assert models["new"].prices.count() == 0
    assert boss.post(pages.act(of, "preview"), {"act": "all"}).status_code == 403


@pytest.mark.parametrize(
    ("changed", "complaint"),
    [
        ({"data": b"{"}, "not JSON"),
        ({"data": b"\x00\x01"}, "not JSON"),
        ({"data": b""}, "empty"),
        ({"file": ""}, "required"),
        ({"currency": "usd"}, "Three capital letters"),
        ({"price_group": "a b"}, "valid"),
        ({"markup": "-95"}, "greater than or equal to -90"),
        ({"markup": "0.00001"}, "no more than 4 decimal places"),
        ({"effective_from_0": "2020-01-01", "effective_from_1": "00:00"}, "never applies to the past"),
        ({"reason": ""}, "required"),
    ],
)
def test_what_is_wrong_is_said_and_nothing_is_read(
    boss: Client, models: dict[str, Model], changed: dict[str, Any], complaint: str
) -> None:
    answer = upload(boss, **changed)
    assert answer.status_code == 200
    assert complaint in unescape(pages.text(answer))
    assert not PriceImport.objects.exists()


@pytest.mark.req("ACC-38")
def test_only_those_who_publish_prices_import_them(
    boss: Client, staff: Callable[..., Client], models: dict[str, Model]
) -> None:
    viewer = staff("billing.view_priceimport")
    publisher = staff("billing.view_priceimport", "billing.add_priceversion")
    assert viewer.get(pages.add(PriceImport)).status_code == 403
    assert upload(viewer).status_code == 403
    assert upload(publisher).status_code == 302
    of = PriceImport.objects.get()
    assert viewer.get(pages.act(of, "preview")).status_code == 200
    assert "Publish what is chosen" not in pages.text(viewer.get(pages.act(of, "preview")))
    for client in (viewer, staff("billing.add_priceversion"), staff()):
        assert client.post(pages.act(of, "preview"), {"act": "all"}).status_code == 403
        assert client.post(pages.act(of, "publish"), {"reason": pages.REASON}).status_code == 403
        assert client.post(pages.act(of, "discard"), {"reason": pages.REASON}).status_code == 403
    assert staff().get(pages.act(of, "preview")).status_code == 403
    assert models["new"].prices.count() == 0
    assert pages.send(publisher, pages.act(of, "publish")).status_code == 302


def test_a_long_list_is_read_while_one_waits(boss: Client, models: dict[str, Model]) -> None:
    """The public list has some 4,500 entries; here are as many, each with 7 tiers."""
    entry = {
        **CHAT,
        **{
            f"{way}_cost_per_token{above}{service}": 1e-6
            for way in ("input", "output")
            for above in ("", "_above_200k_tokens")
            for service in ("_batches", "_flex", "_priority")
        },
    }
    data = json.dumps({"new": entry, **{f"model-{number}": entry for number in range(4_500)}}).encode()
    began = time.process_time()
    assert upload(boss, data).status_code == 302
    assert time.process_time() - began < 5, "seconds of this process; other work on the machine does not count"
    assert PriceImport.objects.get().rows.count() == 4_501
