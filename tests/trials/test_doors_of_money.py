"""Attacks at every door behind which money is: by strangers, by people without the right, without a login."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.apps import apps
from django.contrib import admin
from django.db.models import Model as AnyModel
from django.test import Client
from django.urls import NoReverseMatch, URLPattern, get_resolver, reverse

from accounts.models import Organisation, User
from tests.admin.conftest import house, staff  # noqa: F401
from tests.admin.house import House
from tests.admin.pages import REASON

# What stands in an address besides the organisation, for something that exists nowhere.
NOTHING = {"int": 4711, "uuid": "01939d3e-0000-7000-8000-000000000000", "str": "nothing", "slug": "nothing"}
STANDARD = ("_changelist", "_add", "_history", "_delete", "_change", "_autocomplete")
# Pages of the admin for whoever may look at the rows.
TO_LOOK_AT = {
    "billing_codebatch_progress",
    "billing_ledgeraccount_statement",
    "billing_priceimport_preview",
    "billing_redemptioncode_look_up",
    "billing_wallet_payments",
    "billing_wallet_statement",
}


def money() -> dict[str, list[Any]]:
    """Every row of every table of billing."""
    return {
        model._meta.label: sorted(map(str, model._default_manager.values_list()))
        for model in apps.get_app_config("billing").get_models()
    }


def patterns(of: Any, prefix: str = "") -> Iterator[tuple[str, URLPattern]]:
    """Every address below a resolver, with the pattern that it ends in."""
    for entry in of.url_patterns:
        here = prefix + str(entry.pattern)
        if isinstance(entry, URLPattern):
            yield here, entry
        else:
            yield from patterns(entry, here)


def portal_paths(slug: str) -> list[str]:
    """Every address of the portal that is of an organisation."""
    found = []
    for route, entry in patterns(get_resolver()):
        if not route.startswith("o/<slug:"):
            continue
        path = route
        for name, converter in entry.pattern.converters.items():
            kind = type(converter).__name__.removesuffix("Converter").lower().replace("string", "str")
            path = path.replace(f"<{kind}:{name}>", slug if name in ("slug", "organisation") else str(NOTHING[kind]))
        head, _, rest = path.partition(">")
        found.append("/" + (head.partition("<")[0] + slug + rest if rest else path))
    return sorted(set(found))


@pytest.mark.req("ACC-38")
def test_a_stranger_finds_no_page_of_an_organisation_and_moves_nothing(
    acme: Organisation, gus: User, globex: Organisation, chat_model: object
) -> None:
    client = Client()
    client.force_login(gus)
    before = money()
    paths = portal_paths("acme")
    assert {"/o/acme/top-up", "/o/acme/redeem", "/o/acme/statement", "/o/acme/balance"} <= set(paths)
    answers = {path: (client.get(path).status_code, client.post(path, {"amount": "5"}).status_code) for path in paths}
    assert {path: answer for path, answer in answers.items() if not set(answer) <= {404, 405}} == {}
    assert money() == before


@pytest.mark.req("ACC-38")
def test_nobody_logged_in_gets_further_than_the_login(acme: Organisation) -> None:
    before = money()
    for path in portal_paths("acme"):
        for answer in (Client().get(path), Client().post(path, {"amount": "5"})):
            assert answer.status_code in (302, 405), path
            assert answer.status_code == 405 or answer.url.startswith("/accounts/login/"), path
    assert money() == before


@pytest.mark.req("ACC-38")
def test_who_may_only_look_moves_nothing_anywhere(acme: Organisation, vera: User) -> None:
    client = Client()
    client.force_login(vera)
    sent = {"amount": "50", "amount_minor": "5000", "code": "ABCDE-FGHJK-MNPQR-STVWX", "threshold": "5", "reason": "x"}
    before = money()
    for path in portal_paths("acme"):
        assert client.post(path, sent).status_code in (302, 400, 403, 404, 405), path
    assert money() == before


def own_pages(model: type[AnyModel]) -> list[str]:
    """The names of a model's pages in the admin that are not those which every model has."""
    names = [entry.name for _, entry in patterns(type("Pages", (), {"url_patterns": admin.site._registry[model].urls}))]
    return [name for name in names if name and not name.endswith(STANDARD)]


BILLING = sorted(apps.get_app_config("billing").get_models(), key=lambda model: model._meta.label)


def address_of(name: str, model: type[AnyModel]) -> str:
    """Where a page is, for the first row of its model if it is of one."""
    row = model._default_manager.first()
    try:
        return reverse(f"admin:{name}", args=[row.pk if row else 1])
    except NoReverseMatch:
        return reverse(f"admin:{name}")


@pytest.mark.req("ACC-38")
def test_staff_who_may_look_at_everything_of_money_get_no_page_that_moves_any(
    staff: Callable[..., Client],  # noqa: F811
    house: House,  # noqa: F811
) -> None:
    viewer = staff(*(f"billing.view_{model._meta.model_name}" for model in BILLING))
    addresses = {name: address_of(name, model) for model in BILLING for name in own_pages(model)}
    assert len(addresses) > 20
    before = money()
    open_to_them = set()
    for name, url in addresses.items():
        seen, sent = viewer.get(url).status_code, viewer.post(url, {"reason": REASON}).status_code
        assert (seen, sent) == (403, 403) or name in TO_LOOK_AT, (name, seen, sent)
        if seen == 200:
            open_to_them.add(name)
    assert money() == before
    assert open_to_them <= TO_LOOK_AT


@pytest.mark.req("ACC-38")
def test_staff_without_any_right_get_no_page_of_money_at_all(
    staff: Callable[..., Client],  # noqa: F811
    house: House,  # noqa: F811
) -> None:
    nobody = staff()
    for model in BILLING:
        for name in own_pages(model):
            url = address_of(name, model)
            assert (nobody.get(url).status_code, nobody.post(url, {}).status_code) == (403, 403), name
