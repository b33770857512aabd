"""What people decide of payment providers: enable, disable, and their secrets, typed once and shown nowhere."""

from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

from django.core.exceptions import PermissionDenied, ValidationError
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.decorators import method_decorator
from django.views.decorators.debug import sensitive_post_parameters
from unfold.decorators import action
from unfold.enums import ActionVariant

from accounts.admin import pages
from accounts.admin.base import BaseAdmin
from accounts.admin.reasons import ReasonedForm
from accounts.admin.requests import actor_of, address_of
from billing.admin.payment_provider_forms import SecretForm
from billing.models import PaymentProvider
from billing.services import payment_providers
from channels.governance import in_force
from newapi.kernel import clock


@method_decorator(sensitive_post_parameters(), name="set_secret")
@method_decorator(sensitive_post_parameters(), name="add_webhook_secret")
class ProviderActs(BaseAdmin):
    """The acts on the page of a provider."""

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


def evidence_url(provider: PaymentProvider) -> str:
    """Where evidence for its service is handed in."""
    return f"{reverse('admin:channels_authorisationevidence_add')}?{urlencode({'service': provider.slug})}"


def has_evidence(provider: PaymentProvider) -> bool:
    """Whether evidence for its service is in force today."""
    return in_force(clock.today()).filter(service=provider.slug).exists()


def _where_to_hand_in(provider: PaymentProvider) -> list[str]:
    if has_evidence(provider):
        return []
    return [f"Hand it in at Where → Authorisation evidence ({evidence_url(provider)}); somebody else approves it."]
