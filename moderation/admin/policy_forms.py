"""What acts on the policy need to be told."""

from typing import Any

from django import forms

from accounts.admin.fields import picker
from accounts.admin.reasons import PageForm, ReasonedForm
from moderation.models import PolicyDocument, PolicyText
from moderation.models.notice import LANGUAGE
from moderation.services.policy import APPEAL_DAYS_MAX, TEXT_LENGTH_MAX


class TextForm(PageForm):
    """The next version of a text. What changed is its reason."""

    category = picker(PolicyText._meta.get_field("category"), label="Policy category")
    language = forms.CharField(
        label="Language",
        max_length=12,
        validators=[LANGUAGE],
        help_text="Such as en, de or zh-Hans. Readers of a language without a text get English.",
    )
    text = forms.CharField(
        label="Text",
        widget=forms.Textarea(attrs={"rows": 8}),
        max_length=TEXT_LENGTH_MAX,
        help_text="What is forbidden and what is allowed, in two to four sentences. Everybody reads it at /policy.",
    )
    starts_at = forms.SplitDateTimeField(
        label="In force from", required=False, help_text="In UTC. Empty: now. Acts before it cite the text before."
    )
    note = forms.CharField(
        label="What changed, and why", min_length=5, max_length=500, help_text="Kept with the version for good."
    )
    expected_version = forms.IntegerField(widget=forms.HiddenInput, required=False)


class BindForm(ReasonedForm):
    """Whether a document binds, and how long it lets decisions be appealed."""

    binds = forms.BooleanField(
        label="Binds this deployment",
        required=False,
        help_text="Of those that bind, the strictest wins: what one forbids outright cannot be approved, "
        "and running approvals of it stop with the next call.",
    )
    appeal_days = forms.IntegerField(
        label="Days to appeal",
        min_value=PolicyDocument.APPEAL_DAYS_MIN,
        max_value=APPEAL_DAYS_MAX,
        help_text=f"The longest of those that bind counts; {PolicyDocument.APPEAL_DAYS_MIN} at least. "
        "Decisions already told keep the deadline that they named.",
    )

    def __init__(self, *args: Any, document: PolicyDocument, **kwargs: Any) -> None:
        now = {"binds": document.binds, "appeal_days": document.appeal_days}
        super().__init__(*args, initial=now, **kwargs)
