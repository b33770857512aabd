"""What billing has to say on the pages of organisations and models."""

from urllib.parse import urlencode

from django.db.models import Model as AnyModel
from django.http import HttpRequest
from django.urls import reverse

from accounts.admin import panels
from accounts.admin.pages import list_url, object_url
from accounts.models import APIKey, Organisation
from billing import reports
from billing.admin.prices import in_force, in_words
from billing.models import PriceVersion, UsageEvent, Wallet
from channels.models import Model
from newapi.kernel import money


@panels.on(Organisation)
def wallet_of(request: HttpRequest, obj: AnyModel) -> panels.Panel | None:
    """The balance, and the way to change it."""
    assert isinstance(obj, Organisation)
    if not request.user.has_perm("billing.view_wallet"):
        return None
    wallet = Wallet.objects.filter(organisation=obj, currency=obj.currency).first()
    if wallet is None:
        return _no_wallet(request, obj)
    links = [panels.Link("Wallet", object_url(wallet), "account_balance_wallet")]
    if request.user.has_perm("billing.add_ledgertransaction"):
        links.insert(
            0, panels.Link("Credit wallet", reverse("admin:billing_wallet_credit", args=[wallet.pk]), "add_card")
        )
    if request.user.has_perm("billing.change_wallet"):
        url = reverse("admin:billing_wallet_set_credit_limit", args=[wallet.pk])
        links.append(panels.Link("Set credit limit", url, "tune"))
    if request.user.has_perm("billing.view_usageevent"):
        links.append(panels.Link("Calls", list_url(UsageEvent, organisation__id__exact=obj.pk), "receipt_long"))
    balance = reports.balance(organisation=obj)
    is_empty = balance.available_nano <= 0
    return panels.Panel(
        title="Wallet",
        note="empty: calls are refused" if is_empty else "",
        tone="danger" if is_empty else "info",
        lines=(
            ("Balance", money.display(wallet.balance_nano, wallet.currency)),
            ("Credit limit", money.display(wallet.credit_limit_nano, wallet.currency)),
            ("Used so far", money.display(wallet.used_nano, wallet.currency)),
            (
                "Can be spent now",
                money.display(balance.available_nano, wallet.currency)
                + ("" if balance.is_live else " (without what is under way: Redis is out of reach)"),
            ),
        ),
        links=tuple(links),
    )


def _no_wallet(request: HttpRequest, organisation: AnyModel) -> panels.Panel:
    may_open = request.user.has_perm("billing.add_wallet")
    url = f"{reverse('admin:billing_wallet_add')}?{urlencode({'organisation': organisation.pk})}"
    return panels.Panel(
        title="Wallet",
        note="none yet: calls are refused",
        tone="danger",
        links=(panels.Link("Open a wallet", url, "add"),) if may_open else (),
    )


@panels.on(APIKey)
def calls_of(request: HttpRequest, obj: AnyModel) -> panels.Panel | None:
    """The way to what a key was used for."""
    if not request.user.has_perm("billing.view_usageevent"):
        return None
    url = list_url(UsageEvent, api_key__id__exact=obj.pk)
    return panels.Panel(title="Usage", links=(panels.Link("Calls with this key", url, "receipt_long"),))


@panels.on(Model)
def price_of(request: HttpRequest, obj: AnyModel) -> panels.Panel | None:
    """The prices in force, or that there is none, which makes calls fail."""
    assert isinstance(obj, Model)
    if not request.user.has_perm("billing.view_priceversion"):
        return None
    current = [version for version in in_force(PriceVersion.objects.filter(model=obj)) if not version.is_withdrawn]
    links = [panels.Link("All versions", list_url(PriceVersion, model__id__exact=obj.pk), "sell")]
    if request.user.has_perm("billing.add_priceversion"):
        url = f"{reverse('admin:billing_priceversion_add')}?{urlencode({'model': obj.pk})}"
        links.insert(0, panels.Link("Publish a price", url, "add"))
    if not current:
        return panels.Panel(
            title="Price",
            note="cannot be called yet",
            tone="warning",
            lines=(("Because", "it has no price in force; a model without one is refused, never free by accident."),),
            links=tuple(links),
        )
    return panels.Panel(
        title="Price now",
        lines=tuple((_where(version), in_words(version)) for version in current),
        links=tuple(links),
    )


def _where(version: PriceVersion) -> str:
    """Who pays it: the currency, the price group, and the place if it has one."""
    place = f", callers in {version.region}" if version.region else ""
    return f"{version.currency}, {version.price_group}{place}"
