"""What a promotion, its review and the acceptance of an invitation need to be told."""

from datetime import timedelta
from typing import Any

from django import forms
from django.conf import settings
from django.core.validators import MaxValueValidator, MinValueValidator, RegexValidator
from unfold.widgets import UnfoldAdminSelectWidget

from accounts.admin.fields import LinesField, NanoField, picker
from accounts.admin.reasons import ReasonedForm
from billing.models import Invitation, Promotion
from billing.services import promotion_rules
from newapi.kernel import clock, money

Kind = Promotion.Kind
_AMOUNT_NANO_MAX = 10**6 * money.NANO


def _amount(label: str, help_text: str, *, required: bool = False) -> NanoField:
    told = f"{help_text} A decimal number, such as 12.50."
    return NanoField(label=label, required=required, least_nano=0, most_nano=_AMOUNT_NANO_MAX, help_text=told)


class SubmitForm(ReasonedForm):
    """A promotion as it is to be reviewed; nothing of it changes afterwards."""

    watched = ("kind",)

    name = forms.CharField(label="Name", max_length=120, help_text="Organisations read it.")
    kind = forms.ChoiceField(
        label="What for",
        choices=Kind.choices,
        initial=Kind.TOP_UP,
        widget=UnfoldAdminSelectWidget(attrs={"x-model": "kind"}),
    )
    currency = forms.CharField(
        label="Currency",
        max_length=3,
        validators=[RegexValidator(r"^[A-Z]{3}$", "Three capital letters, such as USD.")],
        help_text="Of the organisations that it is for.",
    )
    starts_at = forms.SplitDateTimeField(label="Starts", help_text="In UTC.")
    ends_at = forms.SplitDateTimeField(label="Ends", help_text="In UTC; the first moment at which it is over.")
    countries = LinesField(
        label="Countries",
        help_text="Codes such as DE, one a line. Empty: every country, and organisations that have not said theirs.",
    )
    bonus_percent = forms.IntegerField(
        label="Bonus in percent",
        required=False,
        validators=[MinValueValidator(0), MaxValueValidator(100)],
        help_text="Of what was paid.",
    )
    inviter_nano = _amount("For who invites", "Once for each invitation that is accepted.")
    invitee_nano = _amount("For who is invited", "Once.")
    grant_days = forms.IntegerField(
        label="Days to spend it",
        initial=90,
        validators=[MinValueValidator(1), MaxValueValidator(3650)],
        help_text="What is left of it then expires.",
    )
    times_per_organisation = forms.IntegerField(
        label="Times per organisation",
        initial=1,
        validators=[MinValueValidator(1), MaxValueValidator(10**6)],
        help_text="How often one organisation gains by it; of invitations, how many of those that it sends.",
    )
    budget_nano = _amount("Budget", "The most that it gives away in all.", required=True)

    field_order = (
        "name", "kind", "currency", "starts_at", "ends_at", "countries", "bonus_percent", "inviter_nano",
        "invitee_nano", "grant_days", "times_per_organisation", "budget_nano", "reason",
    )  # fmt: skip

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        now = clock.now().replace(minute=0, second=0, microsecond=0)
        offered = {
            "currency": settings.DEFAULT_CURRENCY,
            "starts_at": now + timedelta(days=1),
            "ends_at": now + timedelta(days=31),
        }
        super().__init__(*args, initial={**offered, **(kwargs.pop("initial", None) or {})}, **kwargs)
        for name, kind in (("bonus_percent", Kind.TOP_UP), ("inviter_nano", Kind.INVITATION),
                           ("invitee_nano", Kind.INVITATION)):  # fmt: skip
            self.show(name, when=f"kind === '{kind}'")

    def clean(self) -> dict[str, Any]:
        """What belongs to another kind does not count."""
        data = super().clean() or {}
        kind = data.get("kind")
        data["bonus_percent"] = (data.get("bonus_percent") or 0) if kind == Kind.TOP_UP else 0
        for name in ("inviter_nano", "invitee_nano"):
            data[name] = (data.get(name) or 0) if kind == Kind.INVITATION else 0
        data["countries"] = [country.upper() for country in data.get("countries", [])]
        return data


class ReviewForm(ReasonedForm):
    """The legal review."""

    document = forms.CharField(
        label="Review",
        max_length=promotion_rules.DOCUMENT_LENGTH_MAX,
        help_text="Who looked at it, and where the result is, such as a file number.",
    )
    field_order = ("document", "reason")


class AcceptForm(ReasonedForm):
    """Which organisation the invited one became."""

    organisation = picker(
        Invitation._meta.get_field("invitee"),
        label="Invited organisation",
        help_text="It is there already, and one of its owners has the address or the number that was invited.",
    )
    phone = forms.CharField(
        label="Phone number of its owner",
        max_length=40,
        required=False,
        help_text="As you have verified it, with its country code. A number gains once, whoever invites it.",
    )
    field_order = ("organisation", "phone", "reason")
