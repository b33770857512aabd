"""What is done with batches of codes: ordered, downloaded once, voided, taken back. Each asks for a reason."""

from collections.abc import AsyncIterator, Iterator
from typing import Any

from asgiref.sync import sync_to_async
from django.core.cache import cache
from django.core.exceptions import PermissionDenied, ValidationError
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from unfold.decorators import action
from unfold.enums import ActionVariant

from accounts.admin import pages
from accounts.admin.base import ReadOnlyAdmin
from accounts.admin.prefilled import initial_of
from accounts.admin.reasons import ReasonedForm
from accounts.admin.requests import actor_of, address_of
from billing.admin.code_forms import DownloadForm, MakeForm, VoidForm
from billing.admin.code_words import redeemed_of, summary_of
from billing.models import CodeBatch
from billing.services import codes

# How long a form that was sent is remembered; sent again within that time, it makes no second batch.
ONCE_S = 24 * 3600


class BatchActs(ReadOnlyAdmin):
    """The pages of the acts. Money and codes move in billing.services.codes."""

    def has_act_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Who may download and void."""
        return request.user.has_perm("billing.change_codebatch")

    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Fill in, look at what it comes to, have them made."""
        if not self.has_add_permission(request):
            raise PermissionDenied
        form = MakeForm(pages.data_of(request), initial=initial_of(request, MakeForm))
        is_final = "_make" in request.POST
        lines = summary_of(form.draft()) if request.method == "POST" and form.is_valid() else ()

        def act(data: dict[str, Any]) -> HttpResponse:
            once = f"codes:form:{actor_of(request).pk}:{data['once']}"
            if not cache.add(once, 1, ONCE_S):
                raise ValidationError("This page was sent before, and its codes are being made. See the list.")
            try:
                batch = codes.make(
                    **form.order(), actor=actor_of(request), reason=data["reason"], address=address_of(request)
                )
            except BaseException:
                # Nothing was made, so the page may be sent again.
                cache.delete(once)
                raise
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
            intro=f"None of its codes is redeemed from this moment on. So far: {redeemed_of(batch)}.",
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
            f"Redeemed: {redeemed_of(batch)}.",
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
