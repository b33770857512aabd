"""What acts on redemption codes need to be told."""

from typing import Any

from django import forms
from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import RegexValidator

from accounts.admin import pages
from accounts.admin.fields import NanoField, picker
from accounts.admin.reasons import PageForm, ReasonedForm
from billing.admin.wallet_forms import OnceForm
from billing.models import CodeBatch, Grant, Purpose
from billing.models.code import BATCH_MAX
from billing.models.grant import PRIORITY_MAX
from billing.services import codes
from newapi.kernel import clock, money

_TAKES_BACK = "Take back what is unspent of what was redeemed"
_TAKES_BACK_HELP = "What was spent stays paid. The organisations are told."


class MakeForm(OnceForm):
    """A batch to be made."""

    name = forms.CharField(label="Name", max_length=120, help_text="For you; whoever redeems does not see it.")
    count = forms.IntegerField(label="How many codes", min_value=1, max_value=BATCH_MAX)
    value_nano = NanoField(
        label="Value of each",
        least_nano=1,
        most_nano=10**6 * money.NANO,
        help_text="A decimal number, such as 5 or 12.50.",
    )
    currency = forms.CharField(
        label="Currency",
        max_length=3,
        validators=[RegexValidator(r"^[A-Z]{3}$", "Three capital letters, such as USD.")],
    )
    purpose = forms.ChoiceField(label="Purpose", choices=[("", "– say what it is for –"), *Purpose.choices])
    category = forms.ChoiceField(
        label="Kind",
        choices=[(Grant.Category.PROMOTIONAL, "Given away"), (Grant.Category.PAID, "Sold: somebody pays us for them")],
        initial=Grant.Category.PROMOTIONAL,
        help_text="Sold codes are owed from the download on; given ones are an expense when they are redeemed.",
    )
    issuer = picker(
        CodeBatch._meta.get_field("issuer"),
        label="Issuer",
        required=False,
        help_text="Then only this organisation and its clients can redeem. Needed for internal settlement.",
    )
    promotion = picker(
        CodeBatch._meta.get_field("promotion"),
        label="Promotion",
        required=False,
        help_text="Then they can be redeemed only while it runs, and out of its budget.",
    )
    starts_at = forms.SplitDateTimeField(label="From", required=False, help_text="In UTC. Empty: from now.")
    expires_at = forms.SplitDateTimeField(
        label="Until", help_text="In UTC: the first moment at which they are refused."
    )
    uses_per_code = forms.IntegerField(
        label="Uses of a code",
        min_value=1,
        max_value=10**6,
        initial=1,
        help_text="How many organisations can redeem the same code.",
    )
    uses_per_organisation = forms.IntegerField(
        label="Codes for an organisation",
        min_value=1,
        max_value=10**6,
        initial=1,
        help_text="How many codes of this batch one organisation can redeem.",
    )
    grant_days = forms.IntegerField(
        label="Days to spend it",
        required=False,
        min_value=1,
        max_value=3650,
        help_text="From the redemption on. Empty: for good.",
    )
    priority = forms.IntegerField(
        label="Priority", min_value=0, max_value=PRIORITY_MAX, initial=50, help_text="The lower is spent first."
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["currency"].initial = settings.DEFAULT_CURRENCY

    def clean(self) -> dict[str, Any]:
        """What the service would refuse is said before anything is confirmed."""
        data = super().clean() or {}
        if not self.errors:
            try:
                codes.check(self.draft())
            except ValidationError as error:
                pages.put_errors(self, error)
        return data

    def order(self) -> dict[str, Any]:
        """The arguments of codes.make, but for who and why."""
        return {name: value for name, value in self.cleaned_data.items() if name not in ("reason", "once")}

    def draft(self) -> CodeBatch:
        """The batch as it would be made; not saved."""
        order = self.order()
        return CodeBatch(**{**order, "starts_at": order["starts_at"] or clock.now()})


class VoidForm(ReasonedForm):
    """Void, and perhaps take back."""

    takes_back = forms.BooleanField(label=_TAKES_BACK, required=False, help_text=_TAKES_BACK_HELP)
    is_meant = forms.BooleanField(label="I mean it", help_text="This cannot be undone.")
    field_order = ("takes_back", "is_meant", "reason")


class DownloadForm(ReasonedForm):
    """The one download."""

    is_meant = forms.BooleanField(
        label="I can keep the file in a safe place",
        help_text="Whoever has a code can redeem it. If the file is lost, void the batch and make another.",
    )
    field_order = ("is_meant", "reason")


class LookUpForm(PageForm):
    """A code that somebody holds in hands."""

    code = forms.CharField(
        label="Code",
        max_length=200,
        help_text="As it is written, with or without dashes. It is not kept, and stands in no record.",
        widget=forms.TextInput(attrs={"autocomplete": "off", "spellcheck": "false"}),
    )
