"""Payment providers: who takes payments for us. Secrets go in and never come out; without evidence none is enabled."""

from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

from django.contrib import admin
from django.core.exceptions import PermissionDenied, ValidationError
from django.db.models import Model
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.decorators import method_decorator
from django.views.decorators.debug import sensitive_post_parameters
from unfold.contrib.filters.admin import BooleanRadioFilter, ChoicesDropdownFilter
from unfold.decorators import action, display
from unfold.enums import ActionVariant

from accounts.admin import pages, panels
from accounts.admin.base import Fieldsets, GovernedAdmin
from accounts.admin.reasons import ReasonedForm
from accounts.admin.requests import actor_of, address_of
from billing.admin.payment_provider_forms import ProviderForm, SecretForm
from billing.models import PaymentEvent, PaymentProvider, TopUpOrder
from billing.payments import minor
from billing.services import payment_providers
from channels.governance import in_force
from channels.models import AuthorisationEvidence
from newapi.kernel import clock


@method_decorator(sensitive_post_parameters(), name="set_secret")
@method_decorator(sensitive_post_parameters(), name="add_webhook_secret")
@admin.register(PaymentProvider)
class PaymentProviderAdmin(GovernedAdmin):
    """Never deleted: orders name it. Whether it is on, and its secrets, are acts of their own."""

    form = ProviderForm
    list_display = ("name", "protocol", "state", "currency", "takes", "secrets", "position")
    list_filter = (("is_active", BooleanRadioFilter), ("protocol", ChoicesDropdownFilter), "currency")
    search_fields = ("name", "slug", "currency")
    search_help_text = "Name, slug or currency"
    prepopulated_fields = {"slug": ("name",)}
    readonly_fields = ("state", "secrets", "takes", "created_at")
    change_form_outer_before_template = "admin/payment_provider.html"
    actions_detail = ("enable", "disable", "set_secret", "add_webhook_secret", "drop_old_secrets")

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

    def has_switch_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Whoever may change providers."""
        return request.user.has_perm("billing.change_paymentprovider")

    @action(description="Enable", icon="power_settings_new", permissions=["switch"], variant=ActionVariant.PRIMARY)
    def enable(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Take orders, if evidence is in force and the secrets are there."""
        provider = self._provider(request, object_id)

        def act(details: dict[str, Any]) -> HttpResponse:
            try:
                payment_providers.enable(provider=provider, **details)
            except ValidationError as error:
                raise ValidationError([*error.messages, *_where_to_hand_in(provider)]) from None
            return pages.done(request, f"{provider} takes orders from now on.", provider)

        intro = "Members with the right to top up see it from now on."
        return self._page(request, provider, f"Enable {provider}?", intro, "Enable", act)

    @action(description="Disable", icon="block", permissions=["switch"], variant=ActionVariant.DANGER)
    def disable(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Take no more orders."""
        provider = self._provider(request, object_id)

        def act(details: dict[str, Any]) -> HttpResponse:
            payment_providers.disable(provider=provider, **details)
            return pages.done(request, f"{provider} takes no more orders.", provider)

        intro = "No new orders, by hand or automatic. News of those that stand is still heard, and credited."
        return self._page(request, provider, f"Disable {provider}?", intro, "Disable", act, is_danger=True)

    @action(description="Set the account's secret", icon="key", permissions=["switch"])
    def set_secret(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Seal it; the former one is gone."""
        provider = self._provider(request, object_id)

        def act(details: dict[str, Any]) -> HttpResponse:
            payment_providers.set_secret(provider=provider, **details)
            return pages.done(request, "Sealed. It is used from the next request on.", provider)

        intro = "Stripe: the secret key, sk_… EPay: the key that its operator gave you. It replaces the one before."
        return self._page(
            request, provider, f"The secret of our account at {provider}", intro, "Seal it", act, SecretForm
        )

    @action(description="Add a webhook secret", icon="webhook", permissions=["switch"])
    def add_webhook_secret(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Seal one more; those before stay valid until they are dropped."""
        provider = self._provider(request, object_id)

        def act(details: dict[str, Any]) -> HttpResponse:
            payment_providers.add_webhook_secret(provider=provider, **details)
            return pages.done(request, "Sealed. News signed with it is believed from now on.", provider)

        intro = (
            "Stripe: the signing secret of the endpoint, whsec_… News under the former ones is believed as well until "
            "you drop them, so that none is lost while you change it there."
        )
        return self._page(request, provider, f"A webhook secret of {provider}", intro, "Seal it", act, SecretForm)

    @action(description="Drop old webhook secrets", icon="key_off", permissions=["switch"])
    def drop_old_secrets(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Believe the newest only."""
        provider = self._provider(request, object_id)

        def act(details: dict[str, Any]) -> HttpResponse:
            dropped = payment_providers.drop_old_webhook_secrets(provider=provider, **details)
            return pages.done(request, f"Dropped {dropped}. Only the newest is believed now.", provider)

        intro = "Do it once the provider signs with the newest one and nothing under the old ones is on its way."
        return self._page(
            request, provider, f"Drop the old webhook secrets of {provider}?", intro, "Drop them", act, is_danger=True
        )

    def _provider(self, request: HttpRequest, object_id: str) -> PaymentProvider:
        provider: PaymentProvider = self.object_or_404(request, object_id)
        if not self.has_view_permission(request, provider) or not self.has_switch_permission(request):
            raise PermissionDenied
        return provider

    def _page(
        self,
        request: HttpRequest,
        provider: PaymentProvider,
        title: str,
        intro: str,
        submit: str,
        act: Callable[[dict[str, Any]], HttpResponse],
        form: type[ReasonedForm] = ReasonedForm,
        **options: Any,
    ) -> HttpResponse:
        """A form whose data, with who acts and from where, are the arguments of a service."""
        who = {"actor": actor_of(request), "address": address_of(request)}
        return pages.form_page(
            self,
            request,
            title=title,
            intro=intro,
            form=form(pages.data_of(request)),
            submit=submit,
            act=lambda data: act({**data, **who}),
            obj=provider,
            **options,
        )


def _evidence_url(provider: PaymentProvider) -> str:
    return f"{reverse('admin:channels_authorisationevidence_add')}?{urlencode({'service': provider.slug})}"


def _has_evidence(provider: PaymentProvider) -> bool:
    return in_force(clock.today()).filter(service=provider.slug).exists()


def _where_to_hand_in(provider: PaymentProvider) -> list[str]:
    if _has_evidence(provider):
        return []
    return [f"Hand it in at Where → Authorisation evidence ({_evidence_url(provider)}); somebody else approves it."]


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
    if _has_evidence(obj):
        return panels.Panel(title="Authorisation", note="evidence in force", tone="success", links=tuple(links))
    if request.user.has_perm("channels.add_authorisationevidence"):
        links.insert(0, panels.Link("Hand in evidence", _evidence_url(obj), "add"))
    words = f"No approved evidence is in force for the service “{obj.slug}”. It cannot be enabled without."
    return panels.Panel(
        title="Authorisation", note="evidence missing", tone="danger", lines=(("Because", words),), links=tuple(links)
    )
