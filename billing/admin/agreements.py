"""The recharge agreement: versions are published, never edited; who accepted which, and when (BIL-18)."""

from typing import Any

from django import forms
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import Count, Model, QuerySet, Subquery
from django.http import HttpRequest, HttpResponse
from unfold.contrib.filters.admin import AutocompleteSelectFilter, RangeDateTimeFilter, RelatedDropdownFilter
from unfold.decorators import display

from accounts.admin import pages
from accounts.admin.base import ReadOnlyAdmin
from accounts.admin.reasons import ReasonedForm
from accounts.admin.requests import actor_of, address_of
from billing.models import RechargeAcceptance, RechargeAgreement
from billing.services import agreements


class PublishForm(ReasonedForm):
    """A version and its text."""

    version = forms.CharField(max_length=40, help_text="Such as 2026-12. Each version is published once.")
    text = forms.CharField(
        max_length=agreements.TEXT_LENGTH_MAX,
        widget=forms.Textarea(attrs={"rows": 18}),
        help_text="As members read it before they accept; an empty line begins a paragraph.",
    )
    is_checked = forms.BooleanField(
        label="I have read it as it stands here",
        help_text="It cannot be changed. From now on it is accepted anew before the next top-up, by everybody.",
    )
    field_order = ("version", "text", "is_checked", "reason")


@admin.register(RechargeAgreement)
class RechargeAgreementAdmin(ReadOnlyAdmin):
    """Adding is publishing. There is no change and no deletion."""

    list_display = ("version", "state", "published_at", "published_by", "accepted_by")
    list_select_related = ("published_by",)
    ordering = ("-id",)
    search_fields = ("version", "text")
    search_help_text = "Version or text"
    fields = ("version", "state", "published_at", "published_by", "sha256", "text")
    readonly_fields = fields

    def get_queryset(self, request: HttpRequest) -> QuerySet[RechargeAgreement]:
        """With how many accepted each, and which is the newest."""
        newest = RechargeAgreement.objects.order_by("-pk").values("pk")[:1]
        return super().get_queryset(request).annotate(times=Count("acceptances"), newest_pk=Subquery(newest))

    @display(description="State", label={"In force": "success", "Replaced": None})
    def state(self, agreement: RechargeAgreement) -> str:
        """The newest counts."""
        return "In force" if agreement.pk == agreement.newest_pk else "Replaced"  # type: ignore[attr-defined]

    @display(description="Accepted", ordering="times")
    def accepted_by(self, agreement: RechargeAgreement) -> str:
        """How often."""
        times = agreement.times  # type: ignore[attr-defined]
        return f"{times} time{'' if times == 1 else 's'}"

    def has_add_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """Publishing."""
        return request.user.has_perm("billing.add_rechargeagreement")

    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Publish a version."""
        if not self.has_add_permission(request):
            raise PermissionDenied

        def act(data: dict[str, Any]) -> HttpResponse:
            made = agreements.publish(
                version=data["version"],
                text=data["text"],
                actor=actor_of(request),
                reason=data["reason"],
                address=address_of(request),
            )
            return pages.done(request, f"Published: version {made.version} is in force.", made)

        return pages.form_page(
            self,
            request,
            title="Publish the recharge agreement",
            intro="Members with the right to top up accept it before they pay in; without that, orders are refused.",
            form=PublishForm(pages.data_of(request)),
            submit="Publish",
            act=act,
        )


@admin.register(RechargeAcceptance)
class RechargeAcceptanceAdmin(ReadOnlyAdmin):
    """That somebody accepted a version for an organisation. The database refuses any change."""

    list_display = ("at", "agreement", "organisation", "user", "address")
    list_select_related = ("agreement", "organisation", "user")
    list_filter = (
        ("agreement", RelatedDropdownFilter),
        ("organisation", AutocompleteSelectFilter),
        ("at", RangeDateTimeFilter),
    )
    ordering = ("-id",)
    search_fields = ("organisation__name", "user__email", "agreement__version")
    search_help_text = "Organisation, person or version"
