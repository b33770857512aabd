"""What handing in evidence and recording a review of terms need to be told."""

import hashlib
import re
from datetime import date
from pathlib import PurePath
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.core.files.uploadedfile import UploadedFile
from unfold.widgets import UnfoldAdminFileFieldWidget, UnfoldAdminTextInputWidget

from accounts.admin.fields import LinesField
from channels.models import AuthorisationEvidence, UpstreamTerms
from channels.services import evidence, terms

DOCUMENT_BYTES_MAX = 20 * 2**20
_SHA256 = re.compile(r"[0-9a-f]{64}")


class EvidenceForm(forms.ModelForm):
    """Evidence to be handed in. A picked document is read once for its fingerprint and kept nowhere."""

    document = forms.FileField(
        required=False,
        widget=UnfoldAdminFileFieldWidget,
        help_text="Pick the file, and its name and fingerprint are taken from it. At most 20 MB. It is not kept here, "
        "but in your records.",
    )
    document_sha256 = forms.CharField(
        label="Or the document's SHA-256",
        required=False,
        max_length=64,
        widget=UnfoldAdminTextInputWidget(attrs={"autocomplete": "off", "spellcheck": "false"}),
        help_text="64 hexadecimal digits, as sha256sum prints them, if you would rather not send the file.",
    )
    document_name = forms.CharField(
        required=False,
        max_length=200,
        widget=UnfoldAdminTextInputWidget(),
        help_text="The document's file name or reference. Empty: the name of the file that you picked.",
    )

    class Meta:
        model = AuthorisationEvidence
        fields = (
            "channel",
            "service",
            "kind",
            "legal_owner",
            "document_name",
            "document_sha256",
            "valid_from",
            "valid_until",
        )

    def clean_document(self) -> UploadedFile | None:
        """Not larger than is read."""
        document: UploadedFile | None = self.cleaned_data["document"]
        if document is not None and (document.size or 0) > DOCUMENT_BYTES_MAX:
            raise ValidationError("The file is larger than 20 MB. Type its fingerprint instead.")
        return document

    def clean_document_sha256(self) -> str:
        """In small letters."""
        typed: str = self.cleaned_data["document_sha256"].lower()
        if typed and not _SHA256.fullmatch(typed):
            raise ValidationError("64 hexadecimal digits.")
        return typed

    def clean(self) -> dict[str, Any]:
        """Name and fingerprint from the file or as typed; and what the service would refuse."""
        data = super().clean() or self.cleaned_data
        if "document" in data and "document_sha256" in data:
            self._take_document(data)
        first, last = data.get("valid_from"), data.get("valid_until")
        if isinstance(first, date):
            try:
                evidence.check(
                    channel=data.get("channel"), service=data.get("service") or "", valid_from=first, valid_until=last
                )
            except ValidationError as error:
                self.add_error(None, error)
        return data

    def _take_document(self, data: dict[str, Any]) -> None:
        document: UploadedFile | None = data["document"]
        typed = data["document_sha256"]
        if document is None:
            if not typed:
                self.add_error("document", "Pick the document, or type its fingerprint below.")
            elif not data.get("document_name"):
                self.add_error("document_name", "Name the document.")
            return
        found = fingerprint(document)
        if typed and typed != found:
            self.add_error("document_sha256", f"The picked file has another fingerprint: {found}.")
        data["document_sha256"] = found
        data["document_name"] = data.get("document_name") or PurePath(document.name or "document").name[:200]


def fingerprint(document: UploadedFile) -> str:
    """The SHA-256 of a file, read in chunks."""
    digest = hashlib.sha256()
    for chunk in document.chunks():
        digest.update(chunk)
    return digest.hexdigest()


class TermsForm(forms.ModelForm):
    """A review of a provider's terms."""

    categories_forbidden = LinesField(
        label="Forbidden categories",
        help_text="Policy codes that the provider never allows, such as SX-ADULT, one a line. No approval of ours "
        "overrides this.",
    )
    countries_denied = LinesField(
        label="Denied countries",
        help_text="Where its service may not be used: ISO 3166 codes such as KP, one a line.",
    )

    class Meta:
        model = UpstreamTerms
        fields = (
            "provider",
            "version",
            "url",
            "reviewed_at",
            "no_external_clients",
            "no_minors",
            "no_competing_models",
            "trains_on_data",
            "categories_forbidden",
            "countries_denied",
            "notes",
        )

    def clean_reviewed_at(self) -> date:
        """Today or earlier."""
        day: date = self.cleaned_data["reviewed_at"]
        try:
            terms.check(day)
        except ValidationError as error:
            raise ValidationError(error.messages) from None
        return day
