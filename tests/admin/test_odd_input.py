"""Odd input in addresses: a page answers as for nothing, or says that there is no such thing; it never breaks."""

import json
import re
from html import unescape

import pytest
from django.contrib import admin
from django.db.models import Model as AnyModel
from django.test import Client
from django.urls import reverse

import newapi.urls  # noqa: F401 - puts the admin site together
from accounts.models import Organisation
from billing.models import Adjustment, CodeBatch, PriceVersion, Promotion, Rerating, Wallet
from channels.models import Model
from moderation.models import Approval, BlockEntry, Case, Restriction
from tests.admin import pages

ODD = ("abc", "-1", "9" * 30, "9" * 5000, "٣", "2026-01-01", "a\x00b")
# What a browser would let somebody send.
SENDABLE = ("abc", "-1", "9" * 30, "2026-01-01")
EVERY_MODEL = sorted(admin.site._registry, key=lambda model: model._meta.label)


@pytest.mark.parametrize(
    "model", [CodeBatch, PriceVersion, Promotion, Rerating, Wallet], ids=lambda model: model.__name__
)
def test_an_odd_address_leaves_a_form_as_it_is(model: type[AnyModel], boss: Client) -> None:
    names = [*boss.get(pages.add(model)).context["form"].fields, "like"]
    for odd in ODD:
        page = boss.get(pages.add(model), dict.fromkeys(names, odd))
        assert page.status_code == 200, odd[:20]
        form = page.context["form"]
        told = {name for name in form.fields if form[name].initial == odd}
        assert not told & {"reason", "once", "issuer", "model", "wrong_price", "organisation", "starts_at", "ends_at"}


def test_a_link_fills_a_form_in_but_ticks_nothing(boss: Client, acme: Organisation, chat_model: Model) -> None:
    sent = {"model": chat_model.pk, "currency": "EUR", "is_free": "on", "is_withdrawn": "1", "reason": "Said by a link"}
    found = pages.fields(boss, f"{pages.add(PriceVersion)}?{'&'.join(f'{key}={sent[key]}' for key in sent)}")
    assert (found["model"], found["currency"], found["reason"]) == (str(chat_model.pk), "EUR", "")
    assert not {"is_free", "is_withdrawn"} & found.keys()


@pytest.mark.parametrize("odd", ["abc", "9" * 30, "9" * 5000], ids=["letters", "long", "endless"])
def test_acts_on_what_there_is_not_are_not_found(odd: str, boss: Client) -> None:
    answers = {}
    for model, page in admin.site._registry.items():
        for act in page._get_base_actions_detail():
            url = reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_{act.path}", args=[odd])
            answers[act.action_name] = (boss.get(url).status_code, boss.post(url, {"reason": "x"}).status_code)
    assert f"billing_{Adjustment._meta.model_name}_approve" in answers
    assert f"moderation_{Case._meta.model_name}_decide" in answers
    # 403: whether there is one is told to nobody who may not do it.
    assert {name: codes for name, codes in answers.items() if set(codes) - {403, 404}} == {}


@pytest.mark.parametrize("model", EVERY_MODEL, ids=lambda model: model._meta.label_lower)
def test_lists_find_nothing_by_what_no_column_can_hold(model: type[AnyModel], boss: Client) -> None:
    shown = boss.get(pages.list_of(model)).context["cl"]
    asked = [name for filters in shown.filter_specs for name in filters.expected_parameters()]
    ids = {name: "9" * 30 for name in asked if name.endswith("__id__exact")}
    assert boss.get(pages.list_of(model), ids).status_code == 200
    odd = [{name: value} for value in ("9" * 30, "a\x00b") for name in asked]
    odd += [{f"{shown.date_hierarchy}__year": year} for year in ("0", "9999", "9" * 30) if shown.date_hierarchy]
    for address in odd:
        # 302 leads back to the list, which says that the address was wrong.
        assert boss.get(pages.list_of(model), address).status_code in (200, 302), address


@pytest.mark.parametrize("model", EVERY_MODEL, ids=lambda model: model._meta.label_lower)
def test_forms_open_whatever_a_link_put_into_them(model: type[AnyModel], boss: Client) -> None:
    first = boss.get(pages.add(model))
    if first.status_code == 403:
        return
    context = first.context
    form = context["adminform"].form if "adminform" in context else context.get("form")
    names = list(form.fields) if form is not None else ["case"]
    for value in ODD:
        sent = boss.get(pages.add(model), dict.fromkeys(names, value))
        assert sent.status_code in (200, 302), value[:20]
    for value in SENDABLE:
        sent = boss.post(pages.add(model), dict.fromkeys(names, value))
        assert sent.status_code in (200, 302), value[:20]


@pytest.mark.parametrize("model", [Approval, BlockEntry, Promotion, Restriction], ids=lambda model: model.__name__)
def test_no_link_and_no_answer_becomes_script(model: type[AnyModel], boss: Client) -> None:
    script = "'};alert(1);({a:'"
    named = {"kind": script, "scope": script}
    shown = (boss.get(pages.add(model), named), boss.post(pages.add(model), named))
    for page, holds in zip(shown, (False, True), strict=True):
        [starts] = re.findall(r'<form method="post"[^>]* x-data="([^"]*)"', pages.text(page))
        assert (script in json.loads(unescape(starts)).values()) is holds
