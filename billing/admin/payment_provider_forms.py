"""What payment providers and their secrets need to be told. Amounts are decimals in the provider's currency."""

from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from unfold.widgets import UnfoldAdminPasswordWidget, UnfoldAdminTextInputWidget

from accounts.admin.reasons import ReasonedForm
from billing.models import PaymentProvider
from billing.payments import minor

_RANGE = {"least": "least_minor", "most": "most_minor"}


def _amount(label: str, words: str) -> forms.CharField:
    return forms.CharField(
        label=label,
        max_length=24,
        help_text=words,
        widget=UnfoldAdminTextInputWidget(attrs={"inputmode": "decimal", "autocomplete": "off"}),
    )


class ProviderForm(forms.ModelForm):
    """What describes a provider. Its secrets are typed on pages of their own and never come back."""

    least = _amount("Smallest top-up", "In the provider's currency, such as 5.00.")
    most = _amount("Largest top-up", "In the provider's currency, such as 10000.")

    class Meta:
        model = PaymentProvider
        fields = ("name", "slug", "protocol", "base_url", "account", "currency", "position")
        help_texts = {
            "slug": "In the address of its webhook, and the service for which evidence is handed in. It stays.",
            "base_url": "Stripe: https://api.stripe.com. EPay: the address that its operator gave you.",
            "currency": "Three capital letters. It stays once there are orders.",
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        provider: PaymentProvider = self.instance
        if provider.pk is not None:
            for name, column in _RANGE.items():
                if name in self.fields:
                    self.initial[name] = minor.plain(getattr(provider, column), provider.currency)

    def clean(self) -> dict[str, Any]:
        """The range in minor units of the currency as it is typed."""
        data = super().clean() or {}
        currency = data.get("currency") or self.instance.currency
        for name, column in _RANGE.items():
            if data.get(name) is None:
                continue
            try:
                setattr(self.instance, column, minor.parse(data[name], currency))
            except ValueError as error:
                self.add_error(name, f"{str(error)[:1].upper()}{str(error)[1:]}.")
        least, most = self.instance.least_minor, self.instance.most_minor
        if not self.errors and not 0 < least <= most:
            raise ValidationError({"most": "More than nothing, and not less than the smallest."})
        return data


class SecretForm(ReasonedForm):
    """A secret, typed once. It is never put back into the page, not even after a mistake."""

    secret = forms.CharField(
        label="Secret",
        strip=True,
        max_length=4000,
        widget=UnfoldAdminPasswordWidget(attrs={"autocomplete": "new-password"}, render_value=False),
        help_text="Sealed when you save, and shown nowhere from then on.",
    )
    field_order = ("secret", "reason")
