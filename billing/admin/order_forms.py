"""What acts on orders need to be told."""

import uuid
from typing import Any

from django import forms
from django.core.exceptions import ValidationError

from accounts.admin.reasons import ReasonedForm
from billing.models import MoneyBack, TopUpOrder
from billing.payments import minor
from billing.services import money_back

Ground = MoneyBack.Ground


class RefundForm(ReasonedForm):
    """How much goes back, by what right, and which document says so. Paid fees do not go back otherwise (BIL-12).

    `once` names the page that was opened, so that sending it again refunds once.
    """

    amount = forms.CharField(label="Amount", max_length=24)
    ground = forms.ChoiceField(
        label="By what right",
        required=False,
        choices=[
            ("", "None"),
            (Ground.CONSENT, "Written consent: we agreed to it"),
            (Ground.EXCEPTION, "Exception: our policy provides for it"),
            (Ground.WITHDRAWAL, "Withdrawal: a consumer's right, within the period of their country"),
        ],
        help_text="Paid fees are not refundable without one of these.",
    )
    document = forms.CharField(
        label="Document",
        max_length=200,
        required=False,
        help_text="The consent, the policy, or the letter of withdrawal: its name or number in your records.",
    )
    once = forms.UUIDField(widget=forms.HiddenInput)
    is_checked = forms.BooleanField(
        label="I have checked the amount and the order",
        help_text="The money leaves the wallet and goes back by the way it came.",
    )
    field_order = ("amount", "ground", "document", "is_checked", "reason", "once")

    def __init__(self, data: Any = None, *, order: TopUpOrder) -> None:
        self.order = order
        left_minor = money_back.refundable_minor(order)
        super().__init__(data, initial={"amount": minor.plain(left_minor, order.currency), "once": uuid.uuid4()})
        self.fields["amount"].help_text = f"In {order.currency}; at most {minor.display(left_minor, order.currency)}."

    def clean(self) -> dict[str, Any]:
        """The amount in minor units."""
        data = super().clean() or {}
        if "amount" in data:
            try:
                data["amount_minor"] = minor.parse(data["amount"], self.order.currency)
            except ValueError as error:
                raise ValidationError({"amount": f"{str(error)[:1].upper()}{str(error)[1:]}."}) from None
        return data
