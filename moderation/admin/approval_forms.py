"""What applying for an approval, and approving one, need to be told."""

from datetime import timedelta
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from unfold.widgets import UnfoldAdminCheckboxSelectMultipleWidget, UnfoldAdminSelectWidget

from accounts.admin.fields import LinesField, picker
from accounts.admin.reasons import ReasonedForm
from moderation.admin.targets import key_field, key_named
from moderation.models import Approval, PolicyCategory
from moderation.services import approval_rules
from newapi.kernel import clock

_Kind = Approval.Kind
DAYS_OFFERED = 180


def _categories() -> list[tuple[str, str]]:
    return [("", "–"), *((category.code, str(category)) for category in approval_rules.approvable())]


class ApplyForm(ReasonedForm):
    """An application that staff enter for an organisation, such as one that came by mail."""

    watched = ("kind",)

    organisation = picker(Approval._meta.get_field("organisation"), label="Organisation")
    kind = forms.ChoiceField(
        label="What for",
        choices=_Kind.choices,
        initial=_Kind.USE_CASE,
        widget=UnfoldAdminSelectWidget(attrs={"x-model": "kind"}),
    )
    category = forms.ChoiceField(
        label="Policy category",
        choices=_categories,
        required=False,
        help_text="Those that can be approved. Prohibited categories cannot, by nobody.",
    )
    has_human_review = forms.BooleanField(
        label="Human review attested",
        required=False,
        help_text="A qualified person reviews every answer before it is used. Needed for HD categories.",
    )
    promises = forms.MultipleChoiceField(
        label="Promises",
        choices=list(approval_rules.PROMISE_TEXTS.items()),
        required=False,
        widget=UnfoldAdminCheckboxSelectMultipleWidget(),
        help_text="As the organisation made them. All of them are needed.",
    )
    api_key = key_field(note="Empty: every key of the organisation.")
    models_allowed = LinesField(label="Models", help_text="One name a line. Empty: every model that needs it.")
    purpose = forms.CharField(
        label="Purpose",
        widget=forms.Textarea,
        max_length=approval_rules.PURPOSE_LENGTH_MAX,
        help_text="What it is for, and the safeguards. Members of the organisation read it.",
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name, kind in (
            ("category", _Kind.USE_CASE),
            ("has_human_review", _Kind.USE_CASE),
            ("models_allowed", _Kind.USE_CASE),
            ("promises", _Kind.LABEL_OPT_OUT),
        ):
            self.show(name, when=f"kind === '{kind}'")

    def clean(self) -> dict[str, Any]:
        """What belongs to the other kind does not count; a key is found by how it was named."""
        data = super().clean() or {}
        is_use_case = data.get("kind") == _Kind.USE_CASE
        code = data.get("category") if is_use_case else ""
        data["category"] = PolicyCategory.objects.filter(code=code).first()
        data["has_human_review"] = is_use_case and data.get("has_human_review", False)
        data["models_allowed"] = data.get("models_allowed", []) if is_use_case else []
        data["promises"] = [] if is_use_case else data.get("promises", [])
        if is_use_case and data["category"] is None and "category" not in self.errors:
            self.add_error("category", "Say which one.")
        told, data["api_key"] = data.get("api_key"), None
        if told and data.get("organisation"):
            try:
                data["api_key"] = key_named(told, organisation=data["organisation"])
            except ValidationError as error:
                self.add_error("api_key", error)
        return data


class ApproveForm(ReasonedForm):
    """From when until when. The reason is read by the organisation."""

    starts_at = forms.SplitDateTimeField(label="From", required=False, help_text="In UTC. Empty: now.")
    ends_at = forms.SplitDateTimeField(label="Until", required=False)

    def __init__(self, *args: Any, approval: Approval, **kwargs: Any) -> None:
        offered = {}
        if approval.kind == _Kind.USE_CASE:
            offered = {
                "ends_at": (clock.now() + timedelta(days=DAYS_OFFERED)).replace(minute=0, second=0, microsecond=0)
            }
        super().__init__(*args, initial=offered, **kwargs)
        note = "" if approval.kind == _Kind.USE_CASE else " Empty: until revoked."
        self.fields["ends_at"].help_text = f"In UTC; at most {approval_rules.DAYS_MAX} days from now.{note}"
        tell_readers(self)


class DecisionForm(ReasonedForm):
    """Why. The organisation reads it."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        tell_readers(self)


def tell_readers(form: forms.Form) -> None:
    """Say beside the reason who will read it."""
    form.fields["reason"].help_text = "Kept in the audit record, and told to the organisation."
