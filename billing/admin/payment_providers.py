"""Payment providers: who takes payments for us. Secrets go in and never come out; without evidence none is enabled."""

from typing import Any

from django.contrib import admin
from django.db.models import Model
from django.http import HttpRequest, HttpResponse
from unfold.contrib.filters.admin import BooleanRadioFilter, ChoicesDropdownFilter
from unfold.decorators import display

from accounts.admin import pages, panels
from accounts.admin.base import Fieldsets, GovernedAdmin
from accounts.admin.requests import actor_of, address_of
from billing.admin.payment_provider_acts import ProviderActs, evidence_url, has_evidence
from billing.admin.payment_provider_forms import ProviderForm
from billing.models import PaymentEvent, PaymentProvider, TopUpOrder
from billing.payments import minor
from billing.services import payment_providers
from channels.models import AuthorisationEvidence


@admin.register(PaymentProvider)
class PaymentProviderAdmin(ProviderActs, GovernedAdmin):
    """Never deleted: orders name it. Whether it is on, and its secrets, are acts of their own."""

    form = ProviderForm
    list_display = ("name", "protocol", "state", "currency", "takes", "secrets", "position")
    list_filter = (("is_active", BooleanRadioFilter), ("protocol", ChoicesDropdownFilter), "currency")
    search_fields = ("name", "slug", "currency")
    search_help_text = "Name, slug or currency"
    prepopulated_fields = {"slug": ("name",)}
    readonly_fields = ("state", "secrets", "takes", "created_at")
    change_form_outer_before_template = "admin/payment_provider.html"
    actions_detail: tuple[Any, ...] = (
        "enable",
        "disable",
        {"title": "Secrets", "icon": "key", "items": ["set_secret", "add_webhook_secret", "drop_old_secrets"]},
    )

    def sections(self, request: HttpRequest, obj: Model | None) -> Fieldsets:
        """Who it is, and what it takes; for an existing one, how it stands."""
        taken = ["currency", "least", "most"] if self.may_write(request, obj) else ["currency", "takes"]
        found: Fieldsets = [
            (None, {"fields": ["name", "slug", "protocol", "base_url", "account", "position"]}),
            ("What it takes", {"fields": taken}),
        ]
        return [*found, ("How it stands", {"fields": ["state", "secrets", "created_at"]})] if obj else found

    def get_readonly_fields(self, request: HttpRequest, obj: Model | None = None) -> tuple[str, ...]:
        """Secrets are bound to the slug, and names of payments to the protocol."""
        return (*self.readonly_fields, "slug", "protocol") if obj else self.readonly_fields

    def get_prepopulated_fields(self, request: HttpRequest, obj: Model | None = None) -> dict[str, Any]:
        """The slug follows the name only until it is saved."""
        return {} if obj else self.prepopulated_fields

    @display(description="State", label={"Takes orders": "success", "Off": None})
    def state(self, provider: PaymentProvider) -> str:
        """As a label."""
        return "Takes orders" if provider.is_active else "Off"

    @display(description="Takes")
    def takes(self, provider: PaymentProvider) -> str:
        """The smallest and the largest top-up."""
        least = minor.plain(provider.least_minor, provider.currency)
        return f"{least} to {minor.display(provider.most_minor, provider.currency)}"

    @display(description="Secrets")
    def secrets(self, provider: PaymentProvider) -> str:
        """Which there are; never what they are."""
        hooks = len(provider.sealed_webhook_secrets)
        account = "account: set" if provider.sealed_secret else "account: missing"
        if provider.protocol == PaymentProvider.Protocol.EPAY:
            return account
        return f"{account}; webhook: {'missing' if not hooks else 'set' if hooks == 1 else f'{hooks} valid'}"

    def save_model(self, request: HttpRequest, obj: PaymentProvider, form: Any, change: bool) -> None:
        """Through the service, which leaves the audit row."""
        payment_providers.save(
            provider=obj, actor=actor_of(request), reason=form.cleaned_data["reason"], address=address_of(request)
        )

    def record(self, request: HttpRequest, form: Any, *, change: bool) -> None:
        """Nothing: the service has written the row."""

    def render_change_form(self, request: HttpRequest, context: dict[str, Any], **kwargs: Any) -> HttpResponse:
        """With the address to which the provider sends its news."""
        provider = kwargs.get("obj")
        if provider is not None:
            context["webhook_url"] = request.build_absolute_uri(payment_providers.webhook_path(provider))
            context["asks_order_itself"] = provider.protocol == PaymentProvider.Protocol.EPAY
        return super().render_change_form(request, context, **kwargs)

    def get_actions_detail(self, request: HttpRequest, object_id: Any) -> list[Any]:
        """Only what would change something."""
        provider = self.get_object(request, object_id)
        if provider is None:
            return []
        is_stripe = provider.protocol == PaymentProvider.Protocol.STRIPE
        possible = {
            "enable": not provider.is_active,
            "disable": provider.is_active,
            "add_webhook_secret": is_stripe,
            "drop_old_secrets": is_stripe and len(provider.sealed_webhook_secrets) > 1,
        }
        return [act for act in super().get_actions_detail(request, object_id) if possible.get(act.path, True)]


@panels.on(PaymentProvider)
def authorisation_of(request: HttpRequest, obj: Model) -> panels.Panel | None:
    """By what right it is used, and what came of it so far."""
    assert isinstance(obj, PaymentProvider)
    links = []
    if request.user.has_perm("channels.view_authorisationevidence"):
        url = pages.list_url(AuthorisationEvidence, service__icontains=obj.slug)
        links.append(panels.Link("Evidence", url, "verified_user"))
    if request.user.has_perm("billing.view_topuporder"):
        links.append(panels.Link("Orders", pages.list_url(TopUpOrder, provider__id__exact=obj.pk), "shopping_cart"))
    if request.user.has_perm("billing.view_paymentevent"):
        links.append(panels.Link("Events", pages.list_url(PaymentEvent, provider__id__exact=obj.pk), "inbox"))
    if has_evidence(obj):
        return panels.Panel(title="Authorisation", note="evidence in force", tone="success", links=tuple(links))
    if request.user.has_perm("channels.add_authorisationevidence"):
        links.insert(0, panels.Link("Hand in evidence", evidence_url(obj), "add"))
    words = f"No approved evidence is in force for the service “{obj.slug}”. It cannot be enabled without."
    return panels.Panel(
        title="Authorisation", note="evidence missing", tone="danger", lines=(("Because", words),), links=tuple(links)
    )
