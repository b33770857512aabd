"""What adding evidence needs to be told."""

from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from unfold.widgets import UnfoldAdminFileFieldWidget, UnfoldAdminTextareaWidget

from accounts.admin.fields import picker
from accounts.admin.reasons import PageForm
from moderation.models import Evidence
from moderation.services import evidence_types


class FactsField(forms.CharField):
    """Ids, a line for each kind: `request_ids: r-1, r-2`. Its value is a dictionary of lists."""

    widget = UnfoldAdminTextareaWidget

    def to_python(self, value: Any) -> dict[str, list[str]]:  # type: ignore[override]
        """The ids by kind. Raises ValidationError."""
        found: dict[str, list[str]] = {}
        for line in str(value or "").splitlines():
            if not line.strip():
                continue
            name, separator, rest = line.partition(":")
            ids = [item.strip() for item in rest.split(",") if item.strip()]
            if not separator or not ids:
                raise ValidationError("One kind a line, such as request_ids: r-1, r-2")
            found.setdefault(name.strip(), []).extend(ids)
        return found


class StoreForm(PageForm):
    """A file, or ids: one of them. What it is, is its own reason."""

    case = picker(Evidence._meta.get_field("case"), label="Case")
    name = forms.CharField(label="What it is", max_length=evidence_types.NAME_LENGTH_MAX, help_text="In a few words.")
    file = forms.FileField(
        label="File",
        required=False,
        widget=UnfoldAdminFileFieldWidget,
        help_text=f"Text, JSON, CSV, PNG, JPEG, GIF, WebP or PDF, at most {evidence_types.SIZE_MAX // 2**20} MB.",
    )
    facts = FactsField(
        label="Or ids and hashes",
        required=False,
        help_text="One kind a line: “request_ids: r-1, r-2”. No sentences. Of sealed cases nothing else is kept.",
    )

    def clean(self) -> dict[str, Any]:
        """One of both, not both."""
        data = super().clean() or {}
        if "file" not in self.errors and "facts" not in self.errors:
            if bool(data.get("file")) == bool(data.get("facts")):
                raise ValidationError("Give a file, or ids and hashes.")
            if data.get("file") and data["file"].size > evidence_types.SIZE_MAX:
                self.add_error("file", f"At most {evidence_types.SIZE_MAX // 2**20} MB.")
        return data
