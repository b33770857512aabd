"""Ordering a top-up, and letting top-ups happen by themselves: the forms."""

from typing import Any

from django import forms
from django.core.exceptions import ValidationError

from accounts.models import Organisation
from billing.models import AutoTopUp, PaymentProvider, Purpose, RechargeAgreement
from billing.payments import minor
from billing.payments.registry import SEAMS
from newapi.portal import top_ups
from newapi.portal.typed import AmountField, complaint


class RefusalForm(forms.Form):
    """A form that takes back what a service refused."""

    def take_errors(self, error: ValidationError) -> None:
        """Show each complaint at the field that caused it, or on top."""
        if not hasattr(error, "error_dict"):
            self.add_error(None, error)
            return
        for name, errors in error.error_dict.items():
            field = name.removesuffix("_minor").removesuffix("_nano")
            self.add_error(field if field in self.fields else None, errors)


class MinorField(forms.CharField):
    """An amount typed as a decimal such as 12.50. Its minor units are known once the currency is; see `minor_of`."""

    widget = forms.TextInput(attrs={"inputmode": "decimal", "autocomplete": "off"})

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(max_length=24, **kwargs)


def minor_of(text: str, provider: PaymentProvider) -> int:
    """The minor units of a typed amount that a provider takes. Raises ValidationError."""
    try:
        amount_minor = minor.parse(text, provider.currency)
    except ValueError as error:
        raise complaint(error) from None
    if not provider.least_minor <= amount_minor <= provider.most_minor:
        raise ValidationError(f"{provider.name} takes {top_ups.range_of(provider)}.")
    return amount_minor


class AgreementForm(RefusalForm):
    """Asks for the recharge agreement besides, when the person has yet to accept its newest version."""

    # The version that was shown, so that nobody accepts another one than they could read.
    agreement = forms.IntegerField(widget=forms.HiddenInput, required=False)
    is_agreed = forms.BooleanField(
        label="I have read it and accept it for the organisation",
        required=False,
        # The browser asks for it beside the box; the answer to a form without it is 409.
        widget=forms.CheckboxInput(attrs={"required": True}),
    )

    def __init__(self, data: Any = None, *, needed: RechargeAgreement | None, initial: dict[str, Any]) -> None:
        self.needed = needed
        super().__init__(data, initial=initial)
        if needed is None:
            del self.fields["agreement"], self.fields["is_agreed"]

    @property
    def lacks_agreement(self) -> bool:
        """Whether the newest agreement was not accepted with this form as it was sent (BIL-18)."""
        if self.needed is None:
            return False
        return self.data.get("agreement", "") != str(self.needed.pk) or not self.data.get("is_agreed")


class TopUpForm(AgreementForm):
    """By whom, how much, what for.

    `once` names this very form, so that sending it again orders nothing more.
    """

    once = forms.UUIDField(widget=forms.HiddenInput)
    provider = forms.ModelChoiceField(
        PaymentProvider.objects.none(), label="Pay with", widget=forms.RadioSelect, empty_label=None
    )
    amount = MinorField(label="Amount")
    purpose = forms.ChoiceField(label="What it is for", choices=Purpose.choices, widget=forms.RadioSelect)
    saves_method = forms.BooleanField(
        label="Keep the means of payment for automatic top-ups",
        required=False,
        help_text="Nothing is charged by it before you set a threshold.",
    )

    def __init__(
        self, data: Any = None, *, organisation: Organisation, needed: RechargeAgreement | None = None
    ) -> None:
        providers = top_ups.providers_for(organisation)
        self.choices = list(providers)
        first = self.choices[0] if self.choices else None
        super().__init__(data, needed=needed, initial={"provider": first})
        field: Any = self.fields["provider"]
        field.queryset = providers
        if not any(_keeps_methods(provider) for provider in self.choices):
            del self.fields["saves_method"]
        if len(self.choices) == 1:
            only = self.choices[0]
            self.fields["amount"].help_text = f"{only.name} takes {top_ups.range_of(only)}."
        else:
            self.fields["amount"].help_text = "Within the range of who takes the payment."

    @property
    def offers(self) -> list[tuple[Any, str]]:
        """The radio buttons of the providers, with what each takes."""
        return list(zip(self["provider"], (top_ups.range_of(one) for one in self.choices), strict=True))

    @property
    def suggestions(self) -> list[str]:
        """Round amounts to choose from."""
        return top_ups.suggestions_for(self.choices[0]) if self.choices else []

    def clean(self) -> dict[str, Any]:
        """The amount as minor units within the chosen provider's range; a method only kept where that is possible."""
        data = super().clean() or {}
        provider = data.get("provider")
        if provider is not None and "amount" in data:
            try:
                data["amount_minor"] = minor_of(data["amount"], provider)
            except ValidationError as error:
                self.add_error("amount", error)
        if provider is not None and data.get("saves_method") and not _keeps_methods(provider):
            self.add_error("saves_method", f"{provider.name} keeps no means of payment.")
        return data


class AutoTopUpForm(AgreementForm):
    """Below which balance, how much, how often."""

    threshold = AmountField(label="When the balance falls below", least_nano=1)
    amount = MinorField(label="Top up by")
    most_a_month = forms.IntegerField(
        label="At most so often a month",
        min_value=1,
        max_value=100,
        widget=forms.NumberInput(attrs={"inputmode": "numeric"}),
        help_text="Of the calendar, in UTC. Beyond that nothing is charged and you are told.",
    )

    def __init__(self, data: Any = None, *, kept: AutoTopUp, needed: RechargeAgreement | None = None) -> None:
        self.kept = kept
        currency = kept.provider.currency
        super().__init__(
            data,
            needed=needed,
            initial={
                "threshold": kept.threshold_nano or None,
                "amount": minor.plain(kept.amount_minor, currency),
                "most_a_month": kept.most_a_month,
            },
        )
        self.fields[
            "threshold"
        ].help_text = f"In {currency}. If it is below already, the first charge follows within a minute."
        self.fields["amount"].help_text = (
            f"{kept.provider.name} takes {top_ups.range_of(kept.provider)}. Should the balance be below the threshold "
            "even then, it is charged again."
        )

    def clean_amount(self) -> int:
        """Decimal text, as minor units within the provider's range."""
        return minor_of(self.cleaned_data["amount"], self.kept.provider)


def _keeps_methods(provider: PaymentProvider) -> bool:
    return SEAMS[provider.protocol].keeps_methods
