"""Evidence: listed, taken out with a reason, checked, purged. Its contents are never shown, only downloaded."""

from typing import Any

from django.contrib import admin
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from unfold.contrib.filters.admin import AutocompleteSelectFilter, ChoicesDropdownFilter, RangeDateTimeFilter
from unfold.decorators import action, display
from unfold.enums import ActionVariant

from accounts.admin import pages
from accounts.admin.reasons import ReasonedForm
from accounts.admin.requests import actor_of, address_of
from moderation import permissions
from moderation.admin.act_pages import attachment
from moderation.admin.evidence_adding import Adding
from moderation.errors import EvidenceBroken
from moderation.models import Evidence
from moderation.services import evidence, evidence_reading, evidence_rules

_STATE = {"Kept": "success", "Purged": None}


@admin.register(Evidence)
class EvidenceAdmin(Adding):
    """What is kept for cases, by name and hash. Every hand that holds it is in the custody log."""

    is_for_child_safety = True
    ordering = ("-added_at", "-id")
    list_display = ("name", "case", "kind", "size_text", "standing", "added_by", "added_at")
    list_select_related = ("case__category", "added_by")
    list_filter = (
        ("kind", ChoicesDropdownFilter),
        ("retention", ChoicesDropdownFilter),
        ("case", AutocompleteSelectFilter),
        ("added_at", RangeDateTimeFilter),
    )
    search_fields = ("case__reference", "name", "source")
    search_help_text = "Case reference, name or source"
    fieldsets = (
        (None, {"fields": ("name", "case", "kind", "content_type", "size_text", "sha256", "facts_text", "source")}),
        ("Kept", {"fields": ("standing_text", "retention", "until", "added_by", "added_at", "purged_by", "purged_at",
                             "purge_reason")}),
        ("Custody", {"fields": ("custody_text",)}),
    )  # fmt: skip
    actions_detail = ("download", "check_file", "purge")

    def has_read_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Who reviews, or answers authorities."""
        return permissions.may(actor_of(request), *evidence_reading.READERS)

    def has_purge_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Who may purge."""
        return permissions.may(actor_of(request), permissions.PURGE_EVIDENCE)

    def fitting(self, request: HttpRequest, obj: Evidence) -> frozenset[str]:
        """A tombstone has no contents."""
        return frozenset() if obj.purged_at else frozenset(self.actions_detail)

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Its page; ids are shown on it, so that looking at them is in the custody log."""
        response = super().change_view(request, object_id, form_url, extra_context)
        piece = self.get_object(request, object_id)
        if piece is not None and response.status_code == 200 and piece.kind == Evidence.Kind.IDS:
            evidence_reading.see(evidence=piece, actor=actor_of(request), address=address_of(request))
        return response

    @display(description="Size", ordering="size")
    def size_text(self, piece: Evidence) -> str:
        """In bytes."""
        return f"{piece.size:,} bytes"

    @display(description="State", label=_STATE)
    def standing(self, piece: Evidence) -> str:
        """Kept or purged."""
        return "Purged" if piece.purged_at else "Kept"

    @display(description="State")
    def standing_text(self, piece: Evidence) -> str:
        """With why it must not be purged now."""
        if piece.purged_at:
            return "Purged. The hash is what is left of it."
        why = evidence_rules.why_kept(piece)
        return f"Kept: {why}" if why else "Kept. Nothing forbids to purge it."

    @display(description="Kept until")
    def until(self, piece: Evidence) -> Any:
        """By its class."""
        return evidence_rules.kept_until(piece, piece.case) or "not known before the case is closed"

    @display(description="SHA-256")
    def sha256(self, piece: Evidence) -> str:
        """Of the contents."""
        return bytes(piece.digest).hex()

    @display(description="Ids and hashes")
    def facts_text(self, piece: Evidence) -> str:
        """As they were entered."""
        return "; ".join(f"{name}: {_listed(value)}" for name, value in sorted(piece.facts.items())) or "–"

    @display(description="Who held it")
    def custody_text(self, piece: Evidence) -> str:
        """The last entries of the log."""
        entries = piece.custody.select_related("actor").order_by("-at", "-id")[:20]
        return " · ".join(f"{entry} by {entry.actor or 'the platform'}" for entry in entries)

    @action(description="Download", icon="download", permissions=["read"], variant=ActionVariant.PRIMARY)
    def download(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Take it out, with a reason."""

        def act(piece: Evidence, data: dict[str, Any]) -> HttpResponse:
            try:
                contents = evidence_reading.read(
                    evidence=piece, actor=actor_of(request), reason=data["reason"], address=address_of(request)
                )
            except EvidenceBroken:
                evidence_reading.check(
                    evidence=piece, actor=actor_of(request), reason=data["reason"], address=address_of(request)
                )
                raise
            return attachment(_file_name(piece), contents)

        return self.act_page(
            request,
            object_id,
            verb="Download",
            intro="That you took it, when, from where and why goes into its custody log, for good.",
            form=lambda piece: ReasonedForm(pages.data_of(request)),
            act=act,
        )

    @action(description="Check", icon="fact_check", permissions=["read"])
    def check_file(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Compare it with its hash."""

        def do(piece: Evidence, reason: str) -> None:
            told: dict[str, Any] = {"actor": actor_of(request), "reason": reason, "address": address_of(request)}
            if problem := evidence_reading.check(evidence=piece, **told):
                raise ValidationError(problem)

        return self.reason_page(
            request,
            object_id,
            verb="Check",
            intro="Opens the file and compares it with the hash that the case's chain knows.",
            do=do,
            said=lambda piece: f"{piece.case.reference}: “{piece}” is what was stored.",
        )

    @action(description="Purge", icon="delete_forever", permissions=["purge"], variant=ActionVariant.DANGER)
    def purge(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Erase the contents for good."""
        return self.reason_page(
            request,
            object_id,
            verb="Purge",
            intro="The contents are erased for good. Its name, hash and custody log stay as a tombstone.",
            do=lambda piece, reason: evidence.purge(
                evidence=piece, actor=actor_of(request), reason=reason, address=address_of(request)
            ),
            said=lambda piece: f"{piece.case.reference}: “{piece}” is purged. Its hash stays; the chain tells of it.",
            is_danger=True,
        )


def _listed(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _file_name(piece: Evidence) -> str:
    """Its name; ids are JSON."""
    return f"evidence-{piece.pk}.json" if piece.kind == Evidence.Kind.IDS else piece.name
