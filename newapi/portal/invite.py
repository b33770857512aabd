"""Inviting others: the form, and the invitations of an organisation as its page lists them."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.db.models import Sum

from accounts.models import Organisation
from billing.models import Invitation, Promotion, Purpose
from billing.services import contacts, promotion_rules
from billing.services.invitations import WITHDRAWN

State = Invitation.State


@dataclass(frozen=True, slots=True)
class Row:
    """One invitation. `tone`: of its badge. `gained_nano`: what the organisation got for it; 0 for nothing."""

    invitation: Invitation
    state: str
    tone: str
    gained_nano: int
    can_be_withdrawn: bool


class PromotionField(forms.ModelChoiceField):
    """Promotions by name."""

    def label_from_instance(self, obj: Any) -> str:
        """The name, and until when."""
        return f"{obj.name}, until {obj.ends_at:%-d %b %Y}"


class InviteForm(forms.Form):
    """Whom to invite, and what the money is for."""

    promotion = PromotionField(Promotion.objects.none(), label="Promotion", empty_label=None)
    email = forms.CharField(
        label="E-mail address",
        max_length=contacts.EMAIL_LENGTH_MAX,
        widget=forms.EmailInput(attrs={"autocomplete": "off"}),
        help_text="Of who will own the organisation that you invite. We keep only a fingerprint of it, and write to "
        "nobody.",
    )
    phone = forms.CharField(
        label="Phone number",
        required=False,
        max_length=40,
        widget=forms.TextInput(attrs={"type": "tel", "autocomplete": "off"}),
        help_text="With the country code, such as +49 170 1234567. Kept as a fingerprint too.",
    )
    purpose = forms.ChoiceField(
        label="What the money is for",
        choices=Purpose.choices,
        widget=forms.RadioSelect,
        help_text="Everything that is credited says so, for the books.",
    )

    def __init__(self, data: Any = None, *, promotions: Iterable[Promotion]) -> None:
        super().__init__(data)
        field: Any = self.fields["promotion"]
        field.queryset = Promotion.objects.filter(pk__in=[promotion.pk for promotion in promotions])

    def take_errors(self, error: ValidationError) -> None:
        """Show what the service refused at the field that caused it."""
        if not hasattr(error, "error_dict"):
            self.add_error(None, error)
            return
        for name, errors in error.error_dict.items():
            self.add_error(name if name in self.fields else None, errors)


def rows(invitations: Iterable[Invitation]) -> list[Row]:
    """As the list shows them. They come with their promotion."""
    return [_row(invitation) for invitation in invitations]


def gained_nano(organisation: Organisation) -> int:
    """What all its accepted invitations have brought it."""
    accepted = Invitation.objects.filter(inviter=organisation, state=State.ACCEPTED)
    # PostgreSQL sums bigints to numerics.
    return int(accepted.aggregate(total=Sum("promotion__inviter_nano"))["total"] or 0)


def _row(invitation: Invitation) -> Row:
    if invitation.state == State.ACCEPTED:
        return Row(invitation, "Accepted", "good", invitation.promotion.inviter_nano, can_be_withdrawn=False)
    if invitation.state == State.REFUSED:
        state, tone = ("Withdrawn", "") if invitation.refusal == WITHDRAWN else ("Refused", "bad")
        return Row(invitation, state, tone, 0, can_be_withdrawn=False)
    ended = promotion_rules.standing(invitation.promotion) in ("Over", "Stopped")
    return Row(invitation, "Lapsed" if ended else "Waiting", "" if ended else "warn", 0, can_be_withdrawn=not ended)
