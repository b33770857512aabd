"""Every page of the admin: it opens with data in it, shows no secret, and asks the database as often for many rows."""

import re
from collections.abc import Callable, Iterator
from html import unescape

import pytest
from django.apps import apps
from django.contrib import admin
from django.db import connection, transaction
from django.db.models import Model as AnyModel
from django.test import Client
from django.test.utils import CaptureQueriesContext
from pytest_django.plugin import DjangoDbBlocker

import newapi.urls  # noqa: F401 - puts the admin site together
from accounts.admin.base import GovernedAdmin, ReadOnlyAdmin
from accounts.models import Organisation, User
from billing.models import CodeBatch, PaymentProvider, Promotion, Wallet
from billing.services import agreements
from channels.models import Model
from tests import cast
from tests.admin import house as houses
from tests.admin import house_of_codes, house_of_wallets, pages, price_records
from tests.admin.conftest import furnish
from tests.admin.house import House
from tests.billing import offers

OUR_APPS = ("accounts", "channels", "billing", "moderation")
EVERY_MODEL = sorted(admin.site._registry, key=lambda model: model._meta.label)


@pytest.fixture(scope="module")
def furnished(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[House]:
    """One house for all tests here: to furnish it takes a hundred times as long as to open a page of it.

    Each test undoes what it did, as ever; the house goes after the last.
    """
    with django_db_blocker.unblock(), transaction.atomic():
        root = cast.person("root", is_staff=True, is_superuser=True)
        acme = cast.organisation("acme", owner=cast.person("ada"))
        ben = cast.person("ben")
        cast.member(acme, ben)
        channel = cast.channel()
        model = cast.model(on=channel)
        yield furnish(acme, ben, cast.api_key(acme, ben).raw, channel, model, root)
        transaction.set_rollback(True)


@pytest.fixture
def house(db: None, furnished: House) -> House:
    """That house."""
    return furnished


@pytest.fixture
def root(house: House) -> User:
    """Who runs it."""
    return User.objects.get(email="root@example.com")


def label(model: type[AnyModel]) -> str:
    return model._meta.label_lower


@pytest.mark.req("CHN-08")
def test_every_model_of_every_app_is_there() -> None:
    ours = {model for app in OUR_APPS for model in apps.get_app_config(app).get_models()}
    assert ours - set(admin.site._registry) == set()


def test_every_page_is_governed_or_read_only() -> None:
    pages_of = admin.site._registry
    assert [model for model, page in pages_of.items() if not isinstance(page, GovernedAdmin | ReadOnlyAdmin)] == []


def test_every_list_can_be_searched() -> None:
    assert [model for model, page in admin.site._registry.items() if not page.search_fields] == []


@pytest.mark.parametrize("model", EVERY_MODEL, ids=label)
@pytest.mark.req("CHN-08")
def test_lists_and_pages_open_with_data_and_without_secrets(model: type[AnyModel], boss: Client, house: House) -> None:
    row = model._default_manager.first()
    assert row is not None, "the house must have a row of each"
    seen = [pages.list_of(model), f"{pages.list_of(model)}?q=a", f"{pages.list_of(model)}?q=Acme", pages.change(row)]
    for url in seen:
        response = boss.get(url)
        assert response.status_code == 200, url
        for secret in house.secrets:
            assert secret not in pages.text(response), url


@pytest.mark.parametrize("model", EVERY_MODEL, ids=label)
def test_the_page_that_adds_opens_or_is_refused(model: type[AnyModel], boss: Client, house: House) -> None:
    may_add = admin.site._registry[model].has_add_permission(boss.get("/admin/").wsgi_request)
    assert boss.get(pages.add(model)).status_code == (200 if may_add else 403)


@pytest.mark.parametrize("model", EVERY_MODEL, ids=label)
def test_what_is_read_only_refuses_to_be_written(model: type[AnyModel], boss: Client, house: House) -> None:
    page = admin.site._registry[model]
    row = model._default_manager.first()
    request = boss.get("/admin/").wsgi_request
    before = model._default_manager.values().get(pk=row.pk)
    if not page.has_change_permission(request, row):
        assert boss.post(pages.change(row), {"reason": pages.REASON}).status_code == 403
    if not page.has_delete_permission(request, row):
        assert boss.post(pages.delete(row), {"reason": pages.REASON}).status_code == 403
    assert model._default_manager.values().get(pk=row.pk) == before


@pytest.mark.parametrize("model", EVERY_MODEL, ids=label)
@pytest.mark.req("ACC-38")
def test_staff_without_the_right_are_refused(
    model: type[AnyModel], staff: Callable[..., Client], boss: Client, house: House
) -> None:
    nobody = staff()
    row = model._default_manager.first()
    for url in (pages.list_of(model), pages.add(model), pages.change(row), pages.delete(row)):
        assert nobody.get(url).status_code == 403, url
        assert nobody.post(url, {"reason": pages.REASON}).status_code == 403, url


@pytest.mark.parametrize("model", EVERY_MODEL, ids=label)
@pytest.mark.req("CHN-08")
def test_whoever_may_only_look_sees_no_secret_either(
    model: type[AnyModel], staff: Callable[..., Client], house: House
) -> None:
    viewer = staff(f"{model._meta.app_label}.view_{model._meta.model_name}")
    row = model._default_manager.first()
    for url in (pages.list_of(model), pages.change(row)):
        response = viewer.get(url)
        assert response.status_code == 200 or model._meta.label == "auth.Group", url
        assert not any(secret in pages.text(response) for secret in house.secrets), url


@pytest.mark.parametrize("model", EVERY_MODEL, ids=label)
@pytest.mark.req("CHN-08")
def test_downloads_hold_no_secret(model: type[AnyModel], boss: Client, house: House) -> None:
    rows = [str(row.pk) for row in model._default_manager.all()[:5]]
    sent = {"action": "export_csv", "_selected_action": rows, "index": "0", "select_across": "0"}
    response = boss.post(pages.list_of(model), sent)
    assert response["Content-Type"].startswith("text/csv")
    assert len(pages.text(response).splitlines()) > 1
    assert not any(secret in pages.text(response) for secret in house.secrets)


def test_lists_ask_as_often_for_many_rows_as_for_few(boss: Client, house: House) -> None:
    few = {model: _queries(boss, model) for model in EVERY_MODEL if model._meta.app_label in OUR_APPS}
    for number in range(4):
        _more(house, number)
    many = {model: _queries(boss, model) for model in few}
    assert {model: (few[model], many[model]) for model in few if many[model] > few[model]} == {}


@pytest.mark.parametrize("name", ["usageevent", "ledgertransfer", "rollupday", "rollup15m"])
def test_large_tables_are_never_counted(name: str, boss: Client, house: House) -> None:
    model = apps.get_model("billing", name)
    with CaptureQueriesContext(
        connection,
    ) as queries:
        assert boss.get(pages.list_of(model)).status_code == 200
    counted = [
        query["sql"] for query in queries if "COUNT(" in query["sql"].upper() and model._meta.db_table in query["sql"]
    ]
    assert counted == []


def _queries(client: Client, model: type[AnyModel]) -> int:
    client.get(pages.list_of(model))
    with CaptureQueriesContext(connection) as queries:
        assert client.get(pages.list_of(model)).status_code == 200
    return len(queries)


def _more(house: House, number: int) -> None:
    owner = cast.person(f"owner{number}")
    organisation = cast.organisation(f"customer{number}", owner=owner)
    api_key = cast.api_key(organisation, owner).api_key
    channel = cast.channel(f"Channel {number}")
    model = cast.model(f"model-{number}", on=channel)
    event = houses.usage(api_key, model, channel, model.prices.get())
    for name in ("rollup15m", "rolluphour", "rollupday", "rollupmonth"):
        houses.rollup(apps.get_model("billing", name), api_key, model, channel)
    price_records.fill(model=model, actor=owner, usage=event)
    house_of_wallets.fill(organisation=organisation, user=owner, model=model, name=f"wallet-{number}")
    house_of_codes.fill(organisation=organisation, user=owner)
    offers.traces(organisation, owner)
    agreement = agreements.publish(version=f"v{number}", text="We agree.", actor=owner, reason=pages.REASON)
    agreements.accept(agreement=agreement, organisation=organisation, user=owner)


def test_links_to_narrowed_lists_name_filters_that_the_lists_know(boss: Client, house: House) -> None:
    found: set[str] = set()
    for model in (Organisation, Model, Wallet, CodeBatch, PaymentProvider, Promotion):
        row = model._default_manager.first()
        page = unescape(pages.text(boss.get(pages.change(row))))
        found |= set(re.findall(r'href="(/admin/[^"?]+/\?\w+__[^"]+)"', page))
    assert len(found) > 5
    for url in sorted(found):
        # Another filter is answered with 400, a value that it cannot read with a redirect.
        assert boss.get(url).status_code == 200, url
