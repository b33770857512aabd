"""Signed roots over the chains of events: looked at, exported, and the verifier, started and followed from here."""

import json
from typing import Any

from celery import current_app
from django.contrib import admin
from django.core.exceptions import PermissionDenied, ValidationError
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import URLPattern, path, reverse
from kombu.exceptions import OperationalError
from unfold.contrib.filters.admin import RangeDateTimeFilter
from unfold.decorators import action, display

from accounts.admin import pages
from accounts.admin.base import Endless, ReadOnlyAdmin
from accounts.admin.reasons import ReasonedForm
from accounts.admin.requests import actor_of, address_of
from accounts.services import audit
from moderation import permissions
from moderation.admin.act_pages import attachment
from moderation.admin.sealing import Sealing
from moderation.models import ChainRoot, ChainRootLine
from moderation.services import chain_export, chain_runs
from newapi.kernel import clock

TASK = "moderation.tasks.verify_chains"


@admin.register(ChainRoot)
class ChainRootAdmin(Endless, ReadOnlyAdmin):
    """Each seals all chains that have grown since the one before it."""

    ordering = ("-number",)
    list_display = ("number", "made_at", "chains", "hash_text")
    list_filter = (("made_at", RangeDateTimeFilter),)
    search_fields = ("number",)
    search_help_text = "Number"
    fields = ("number", "made_at", "chains", "hash_text", "signature_text", "public_key_text")
    list_before_template = "admin/chain_run.html"
    actions_list = ("verify_now",)
    actions_detail = ("export",)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Whoever verifies may look as well."""
        return super().has_view_permission(request, obj) or self.has_verify_permission(request)

    def has_verify_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Who verifies."""
        return permissions.may(actor_of(request), permissions.VERIFY_CHAIN)

    def get_urls(self) -> list[URLPattern]:
        """And the figures that the list asks for while the verifier runs."""
        progress = path("progress/", self.admin_site.admin_view(self.progress), name="moderation_chainroot_progress")
        return [progress, *super().get_urls()]

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """With how far the verifier is, or what it said last."""
        more = {"run": _run(), "run_url": reverse("admin:moderation_chainroot_progress")}
        return super().changelist_view(request, {**(extra_context or {}), **more})

    def progress(self, request: HttpRequest) -> HttpResponse:
        """How far the verifier is, as JSON: state, percent, words, is_done."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        return JsonResponse(_run(), headers={"Cache-Control": "no-store"})

    @display(description="Hash")
    def hash_text(self, root: ChainRoot) -> str:
        """In hexadecimal."""
        return bytes(root.hash).hex()

    @display(description="Signature (Ed25519)")
    def signature_text(self, root: ChainRoot) -> str:
        """In hexadecimal."""
        return bytes(root.signature).hex()

    @display(description="Public key")
    def public_key_text(self, root: ChainRoot) -> str:
        """In hexadecimal."""
        return bytes(root.public_key).hex()

    @action(description="Verify now", icon="fact_check", permissions=["verify"])
    def verify_now(self, request: HttpRequest) -> HttpResponse:
        """All chains, in the background."""

        def act(data: dict[str, Any]) -> HttpResponse:
            chain_runs.ask(actor=actor_of(request), reason=data["reason"], address=address_of(request))
            try:
                current_app.send_task(TASK, retry=False, expires=chain_runs.ASK_HOLDS_S)
            except (OperationalError, OSError):
                chain_runs.forget_ask()
                raise ValidationError("No job could be sent: the queue does not answer. Try again later.") from None
            return pages.done(request, "The verifier starts; this page follows it.", pages.list_url(ChainRoot))

        return pages.form_page(
            self,
            request,
            title="Verify all chains now",
            intro="Every event, case, piece of evidence and root, in the background. It also runs by itself.",
            form=ReasonedForm(pages.data_of(request)),
            submit="Verify",
            act=act,
        )

    @action(description="Export", icon="download", permissions=["verify"])
    def export(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """As JSON, to be kept where nobody here can change it."""
        root: ChainRoot = self.object_or_404(request, object_id)

        def act(data: dict[str, Any]) -> HttpResponse:
            audit.record(
                actor=actor_of(request), action="chain_root.export", target=root, reason=data["reason"],
                address=address_of(request),
            )  # fmt: skip
            contents = json.dumps(chain_export.of_root(root), indent=1).encode()
            return attachment(f"chain-root-{root.number}.json", contents)

        return pages.form_page(
            self,
            request,
            title=f"Export {root}",
            intro="Keep the file where nobody here can change it, such as with an auditor. It holds references and "
            "hashes, no contents. docs/moderate.md says how anybody checks it.",
            form=ReasonedForm(pages.data_of(request)),
            submit="Export",
            act=act,
            obj=root,
        )


@admin.register(ChainRootLine)
class ChainRootLineAdmin(Endless, Sealing, ReadOnlyAdmin):
    """Where each chain stood when a root was made."""

    ordering = ("-id",)
    list_display = ("root", "case", "number", "hash_text")
    list_select_related = ("root", "case__category")
    search_fields = ("case__reference",)
    search_help_text = "Case reference"
    fields = ("root", "case", "number", "hash_text")

    @display(description="Hash")
    def hash_text(self, line: ChainRootLine) -> str:
        """Of the chain's last event then."""
        return bytes(line.hash).hex()


def _run() -> dict[str, Any]:
    """The last run, in words for people."""
    known = chain_runs.state()
    done, total = known["done"], known["total"]
    at = clock.from_ms(known["at"])
    words = {
        "never": "Not verified yet since this was last started.",
        "asked": "Waits for a worker.",
        "running": f"{done:,} of {total:,} events.",
        "lost": "The last run did not come to its end. Start it again.",
        "done": f"{total:,} events on {at:%Y-%m-%d %H:%M} UTC: "
        + (f"{known['count']:,} findings." if known["count"] else "all is well."),
    }
    return {
        "state": known["state"],
        "percent": 100 if known["state"] == "done" else (100 * done // total if total else 0),
        "words": words[known["state"]],
        "is_done": known["state"] not in ("asked", "running"),
        "findings": known["findings"],
    }
