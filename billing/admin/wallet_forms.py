"""What acts on wallets need to be told."""

from typing import Any

from django import forms

from accounts.admin.fields import NanoField, picker
from accounts.admin.reasons import ReasonedForm
from billing.models import LedgerTransaction, Wallet
from billing.services import wallets
from newapi.kernel import ids, money

Kind = LedgerTransaction.Kind


class OnceForm(ReasonedForm):
    """A form that acts once: the key is made with the page and comes back with every attempt to send it."""

    once = forms.UUIDField(widget=forms.HiddenInput)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs["initial"] = {**(kwargs.get("initial") or {}), "once": ids.uuid7()}
        super().__init__(*args, **kwargs)


class MoneyForm(OnceForm):
    """An amount into the wallet, or out of it."""

    amount_nano = NanoField(label="Amount", least_nano=1, most_nano=wallets.AMOUNT_NANO_MAX)
    is_checked = forms.BooleanField(
        label="I have checked the amount and the organisation",
        help_text="The ledger keeps it for good; a mistake is undone by a reversal only.",
    )

    def __init__(self, *args: Any, currency: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["amount_nano"].help_text = f"In {currency}: a decimal number, such as 250 or 12.50."


class CreditForm(MoneyForm):
    """Money in."""

    kind = forms.ChoiceField(
        label="Kind",
        choices=[
            (Kind.TOP_UP, "Top-up: they paid for it"),
            (Kind.GRANT, "Grant: we give it"),
            (Kind.ADJUSTMENT, "Adjustment: it was missing"),
        ],
        help_text="Says where the money comes from in the ledger.",
    )
    field_order = ("kind", "amount_nano", "is_checked", "reason", "once")


class DebitForm(MoneyForm):
    """Money out, as an adjustment."""

    field_order = ("amount_nano", "is_checked", "reason", "once")


class LimitForm(ReasonedForm):
    """How far below zero the balance may go."""

    credit_limit_nano = NanoField(label="Credit limit", least_nano=0, most_nano=money.EXACT_MAX_NANO)

    def __init__(self, *args: Any, currency: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields[
            "credit_limit_nano"
        ].help_text = (
            f"In {currency}. How far below zero the balance may go, for organisations that pay afterwards. 0: not."
        )


class OpenForm(ReasonedForm):
    """A wallet for an organisation that has none."""

    organisation = picker(Wallet._meta.get_field("organisation"), label="Organisation")
