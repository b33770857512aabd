"""Batches of redemption codes: ordered, watched while they are made, downloaded once, voided."""

from collections.abc import AsyncIterator, Iterator
from typing import Any

from asgiref.sync import sync_to_async
from django.contrib import admin
from django.core.cache import cache
from django.core.exceptions import PermissionDenied, ValidationError
from django.db.models import Count, Model, OuterRef, QuerySet, Subquery
from django.db.models.functions import Coalesce
from django.http import HttpRequest, HttpResponse, JsonResponse, StreamingHttpResponse
from django.urls import URLPattern, path, reverse
from unfold.contrib.filters.admin import AutocompleteSelectFilter, ChoicesDropdownFilter
from unfold.decorators import action, display
from unfold.enums import ActionVariant

from accounts.admin import pages
from accounts.admin.base import ReadOnlyAdmin
from accounts.admin.reasons import ReasonedForm
from accounts.admin.requests import actor_of, address_of
from accounts.admin.texts import unbroken
from billing.admin.code_forms import DownloadForm, MakeForm, VoidForm
from billing.admin.code_words import progress_of, summary_of
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
# How long a form that was sent is remembered; sent again within that time, it makes no second batch.
ONCE_S = 24 * 3600


@admin.register(CodeBatch)
class CodeBatchAdmin(ReadOnlyAdmin):
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

    def has_act_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Who may download and void."""
        return request.user.has_perm("billing.change_codebatch")

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
        """And how many wrong tries there were."""
        return super().changelist_view(request, {**(extra_context or {}), "tries": tries.counts()})

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
        count: int = batch.redemption_count  # type: ignore[attr-defined]
        return unbroken(f"{count:,} ({money.display(count * batch.value_nano, batch.currency)})")

    @display(description="Left, at most")
    def left(self, batch: CodeBatch) -> str:
        """What is out and could still come in."""
        if batch.state != State.OUT or batch.expires_at <= clock.now():
            return money.display(0, batch.currency)
        redeemed: int = batch.redemption_count  # type: ignore[attr-defined]
        return money.display(codes.worth_nano(batch) - redeemed * batch.value_nano, batch.currency)

    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Fill in, look at what it comes to, have them made."""
        if not self.has_add_permission(request):
            raise PermissionDenied
        form = MakeForm(pages.data_of(request), initial=request.GET.dict())
        is_final = "_make" in request.POST
        lines = summary_of(form.draft()) if request.method == "POST" and form.is_valid() else ()

        def act(data: dict[str, Any]) -> HttpResponse:
            if not cache.add(f"codes:form:{actor_of(request).pk}:{data['once']}", 1, ONCE_S):
                raise ValidationError("This page was sent before, and its codes are being made. See the list.")
            batch = codes.make(
                **form.order(), actor=actor_of(request), reason=data["reason"], address=address_of(request)
            )
            return pages.done(request, f"{batch.count:,} codes of “{batch}” are being made.", batch)

        return pages.form_page(
            self,
            request,
            title="Make redemption codes",
            intro="They are made in the background and can be downloaded once. Only keyed digests of them are kept.",
            form=form,
            submit="Continue",
            act=act,
            is_final=is_final,
            template="admin/code_make.html",
            context={"summary": lines},
        )

    def progress(self, request: HttpRequest, pk: int) -> HttpResponse:
        """How far a batch is, as JSON: made, count, percent, words, is_done."""
        batch = self.object_or_404(request, str(pk))
        if not self.has_view_permission(request, batch):
            raise PermissionDenied
        return JsonResponse(progress_of(batch), headers={"Cache-Control": "no-store"})

    @action(description="Download", icon="download", permissions=["act"], variant=ActionVariant.PRIMARY)
    def download(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """The codes, this once."""
        batch = self._batch(request, object_id)

        def act(data: dict[str, Any]) -> Any:
            taken = codes.take(batch=batch, actor=actor_of(request), reason=data["reason"], address=address_of(request))
            response = StreamingHttpResponse(_sent(taken.parts()), content_type="text/csv; charset=utf-8")
            response["Content-Disposition"] = f'attachment; filename="codes-{batch.pk}.csv"'
            response["Cache-Control"] = "no-store"
            return response

        return pages.form_page(
            self,
            request,
            title=f"Download the codes of “{batch}”",
            intro=f"{batch.count:,} codes as a CSV file, this once. What they follow from is erased at the same "
            "moment, so nobody can get them again, you neither. Codes that nobody downloads are erased after a week.",
            form=DownloadForm(pages.data_of(request)),
            submit="Download, once",
            act=act,
            obj=batch,
        )

    @action(description="Void", icon="block", permissions=["act"], variant=ActionVariant.DANGER)
    def void(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Nothing of it is redeemed any more."""
        batch = self._batch(request, object_id)

        def act(data: dict[str, Any]) -> HttpResponse:
            codes.void(
                batch=batch,
                takes_back=data["takes_back"],
                actor=actor_of(request),
                reason=data["reason"],
                address=address_of(request),
            )
            return pages.done(request, "Voided: from this moment on none of its codes is redeemed.", batch)

        return pages.form_page(
            self,
            request,
            title=f"Void “{batch}”",
            intro=f"None of its codes is redeemed from this moment on. So far: {self.redeemed(batch)}.",
            form=VoidForm(pages.data_of(request)),
            submit="Void",
            act=act,
            obj=batch,
            is_danger=True,
        )

    @action(description="Take back", icon="undo", permissions=["act"], variant=ActionVariant.DANGER)
    def claw_back(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """What is unspent of what was redeemed before it was voided."""
        batch = self._batch(request, object_id)

        def act(data: dict[str, Any]) -> HttpResponse:
            codes.claw_back(batch=batch, actor=actor_of(request), reason=data["reason"], address=address_of(request))
            return pages.done(request, "What is unspent is taken back within the next minutes.", batch)

        return pages.form_page(
            self,
            request,
            title=f"Take back what “{batch}” brought in",
            intro="What is unspent of it leaves the wallets; what was spent stays paid. The organisations are told. "
            f"Redeemed: {self.redeemed(batch)}.",
            form=ReasonedForm(pages.data_of(request)),
            submit="Take back",
            act=act,
            obj=batch,
            is_danger=True,
        )

    def _batch(self, request: HttpRequest, object_id: str) -> CodeBatch:
        batch: CodeBatch = self.object_or_404(request, object_id)
        if not self.has_view_permission(request, batch):
            raise PermissionDenied
        return batch


async def _sent(parts: Iterator[str]) -> AsyncIterator[str]:
    """Part by part, each made in a thread, so that others are served meanwhile."""
    while (part := await sync_to_async(_next, thread_sensitive=False)(parts)) is not None:
        yield part


def _next(parts: Iterator[str]) -> str | None:
    return next(parts, None)
