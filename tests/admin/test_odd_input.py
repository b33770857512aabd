"""Odd input in addresses: a page answers as for nothing, or says that there is no such thing; it never breaks."""

import pytest
from django.contrib import admin
from django.db.models import Model as AnyModel
from django.test import Client
from django.urls import reverse

import newapi.urls  # noqa: F401 - puts the admin site together
from accounts.models import Organisation
from billing.models import Adjustment, CodeBatch, PriceVersion, Promotion, Rerating, Wallet
from channels.models import Model
from tests.admin import pages

ODD = ("abc", "-1", "9" * 30, "9" * 5000, "٣", "2026-01-01", "a\x00b")
BILLING = sorted((model for model in admin.site._registry if model._meta.app_label == "billing"), key=str)


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


@pytest.mark.parametrize("odd", ["abc", "9" * 30])
def test_acts_on_what_there_is_not_are_not_found(odd: str, boss: Client) -> None:
    answers = {}
    for model in BILLING:
        for act in admin.site._registry[model]._get_base_actions_detail():
            url = reverse(f"admin:billing_{model._meta.model_name}_{act.path}", args=[odd])
            answers[act.action_name] = (boss.get(url).status_code, boss.post(url, {"reason": "x"}).status_code)
    assert f"billing_{Adjustment._meta.model_name}_approve" in answers
    assert {name: codes for name, codes in answers.items() if codes != (404, 404)} == {}
