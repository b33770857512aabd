"""Batches of redemption codes: ordered, watched while they are made, downloaded once, voided."""

from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import Count, Model, OuterRef, QuerySet, Subquery
from django.db.models.functions import Coalesce
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import URLPattern, path, reverse
from redis.exceptions import RedisError
from unfold.contrib.filters.admin import AutocompleteSelectFilter, ChoicesDropdownFilter
from unfold.decorators import display

from accounts.admin.texts import unbroken
from billing.admin.code_batch_acts import BatchActs
from billing.admin.code_words import progress_of, redeemed_of
from billing.models import CodeBatch, Redemption
from billing.services import codes
from billing.services.codes import tries
from newapi.kernel import clock, money

State = CodeBatch.State
_LABELS = {
    "Waits to be made": "info",
    "Being made": "info",
    "Ready to download": "warning",
    "Downloaded": "success",
    "Expired": None,
    "Voided": "danger",
}
# What can be done in which state.
_ACTS = {
    State.QUEUED: ("void",),
    State.MAKING: ("void",),
    State.READY: ("download", "void"),
    State.OUT: ("void",),
    State.VOIDED: ("claw_back",),
}


@admin.register(CodeBatch)
class CodeBatchAdmin(BatchActs):
    """Everything is an act; nothing of a batch is a field. The codes stand in the one download and nowhere else."""

    list_display = ("name", "standing", "amount", "made", "redeemed", "left", "expires_at", "issuer", "created_by")
    list_select_related = ("issuer", "created_by")
    list_filter = (
        ("state", ChoicesDropdownFilter),
        ("purpose", ChoicesDropdownFilter),
        ("category", ChoicesDropdownFilter),
        ("issuer", AutocompleteSelectFilter),
    )
    list_before_template = "admin/code_tries.html"
    change_form_outer_before_template = "admin/code_batch.html"
    ordering = ("-id",)
    search_fields = ("name", "issuer__name", "currency")
    search_help_text = "Name, issuer or currency"
    actions_detail = ("download", "void", "claw_back")
    fieldsets = (
        (
            None,
            {"fields": ("name", "standing", "amount", "count", "worth", "purpose", "category", "issuer", "promotion")},
        ),
        (
            "Redemption",
            {
                "fields": (
                    "redeemed",
                    "left",
                    "starts_at",
                    "expires_at",
                    "uses_per_code",
                    "uses_per_organisation",
                    "grant_days",
                    "priority",
                )
            },
        ),
        (
            "Record",
            {
                "fields": (
                    "key_id",
                    "created_by",
                    "created_at",
                    "downloaded_by",
                    "downloaded_at",
                    "voided_by",
                    "voided_at",
                )
            },
        ),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[CodeBatch]:
        """With how often codes of each were redeemed."""
        redeemed = Redemption.objects.filter(batch=OuterRef("pk")).order_by().values("batch")
        count = redeemed.annotate(count=Count("pk")).values("count")
        return super().get_queryset(request).annotate(redemption_count=Coalesce(Subquery(count), 0))

    def get_urls(self) -> list[URLPattern]:
        """And the figures that the page asks for while codes are made."""
        progress = path(
            "<int:pk>/progress/", self.admin_site.admin_view(self.progress), name="billing_codebatch_progress"
        )
        return [progress, *super().get_urls()]

    def has_add_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """Who may have codes made."""
        return request.user.has_perm("billing.add_codebatch")

    def get_actions_detail(self, request: HttpRequest, object_id: Any) -> list[Any]:
        """Only what can be done with it as it stands."""
        batch = self.get_object(request, object_id)
        fitting = _ACTS[State(batch.state)] if batch is not None else ()
        return [
            act
            for act in super().get_actions_detail(request, object_id)
            if act.action_name.rpartition("codebatch_")[2] in fitting
        ]

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """And how many wrong tries there were, if Redis can be asked."""
        try:
            counted = tries.counts()
        except (RedisError, OSError):
            counted = None
        return super().changelist_view(request, {**(extra_context or {}), "tries": counted})

    def render_change_form(self, request: HttpRequest, context: dict[str, Any], **kwargs: Any) -> HttpResponse:
        """And the bar, as long as codes are made."""
        batch = kwargs.get("obj")
        if batch is not None:
            context["progress"] = progress_of(batch)
            context["progress_url"] = reverse("admin:billing_codebatch_progress", args=[batch.pk])
        return super().render_change_form(request, context, **kwargs)

    @display(description="State", label=_LABELS)
    def standing(self, batch: CodeBatch) -> str:
        """As a label."""
        if batch.state == State.OUT and batch.expires_at <= clock.now():
            return "Expired"
        return str(batch.get_state_display())

    @display(description="Each", ordering="value_nano")
    def amount(self, batch: CodeBatch) -> str:
        """What a code is worth."""
        return unbroken(money.display(batch.value_nano, batch.currency))

    @display(description="Worth in all, at most")
    def worth(self, batch: CodeBatch) -> str:
        """All uses of all codes."""
        return money.display(codes.worth_nano(batch), batch.currency)

    @display(description="Redeemed")
    def redeemed(self, batch: CodeBatch) -> str:
        """How often, and for how much."""
        return unbroken(redeemed_of(batch))

    @display(description="Left, at most")
    def left(self, batch: CodeBatch) -> str:
        """What is out and could still come in."""
        if batch.state != State.OUT or batch.expires_at <= clock.now():
            return money.display(0, batch.currency)
        redeemed: int = batch.redemption_count  # type: ignore[attr-defined]
        return money.display(codes.worth_nano(batch) - redeemed * batch.value_nano, batch.currency)

    def progress(self, request: HttpRequest, pk: int) -> HttpResponse:
        """How far a batch is, as JSON: made, count, percent, words, is_done."""
        batch = self.object_or_404(request, str(pk))
        if not self.has_view_permission(request, batch):
            raise PermissionDenied
        return JsonResponse(progress_of(batch), headers={"Cache-Control": "no-store"})
