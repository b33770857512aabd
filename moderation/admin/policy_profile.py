"""The policy profile: which packs are switched on, and which source documents bind this deployment."""

from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from unfold.contrib.filters.admin import BooleanRadioFilter
from unfold.decorators import action, display

from accounts.admin import pages
from accounts.admin.base import ReadOnlyAdmin
from accounts.admin.reasons import ReasonedForm
from accounts.admin.requests import actor_of
from moderation import permissions
from moderation.admin.policy_forms import BindForm
from moderation.models import PolicyCategory, PolicyDocument, PolicyPack
from moderation.services import policy


@admin.register(PolicyPack)
class PolicyPackAdmin(ReadOnlyAdmin):
    """Sets of categories. The general one is always on."""

    list_display = ("name", "state", "categories")
    list_filter = (("is_on", BooleanRadioFilter),)
    search_fields = ("code",)
    search_help_text = "Code"
    fields = ("name", "state", "categories")
    actions_detail = ("switch",)

    @display(description="Pack")
    def name(self, pack: PolicyPack) -> str:
        """In words."""
        return pack.get_code_display()

    @display(description="State", label={"On": "success", "Off": None})
    def state(self, pack: PolicyPack) -> str:
        """Whether new cases may cite its categories."""
        return "On" if pack.is_on else "Off"

    @display(description="Categories")
    def categories(self, pack: PolicyPack) -> str:
        """How many there are in it that are not retired."""
        return str(PolicyCategory.objects.filter(pack=pack.code, is_retired=False).count())

    def has_switch_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Whoever may change packs."""
        return permissions.may(actor_of(request), permissions.SWITCH_PACK)

    def get_actions_detail(self, request: HttpRequest, object_id: Any) -> list[Any]:
        """Nothing to switch on the general pack."""
        pack = self.get_object(request, object_id)
        if pack is None or pack.code == PolicyPack.Code.GENERAL:
            return []
        return super().get_actions_detail(request, object_id)

    @action(description="Switch", icon="toggle_on", permissions=["switch"])
    def switch(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """On or off."""
        pack: PolicyPack = self.object_or_404(request, object_id)
        if not self.has_view_permission(request, pack):
            raise PermissionDenied
        verb = "off" if pack.is_on else "on"

        def act(data: dict[str, Any]) -> HttpResponse:
            policy.switch_pack(pack=pack, is_on=verb == "on", actor=actor_of(request), reason=data["reason"])
            return pages.done(request, f"“{pack}” is {verb}.", pack)

        return pages.form_page(
            self,
            request,
            title=f"Switch “{pack}” {verb}?",
            intro="New cases may cite the categories of packs that are on. Cases that run go on either way.",
            form=ReasonedForm(pages.data_of(request)),
            submit=f"Switch {verb}",
            act=act,
            obj=pack,
        )


@admin.register(PolicyDocument)
class PolicyDocumentAdmin(ReadOnlyAdmin):
    """The documents that the categories come from. Of those that bind, the strictest wins."""

    list_display = ("code", "title", "state", "appeal_days", "forbidden")
    list_filter = (("binds", BooleanRadioFilter),)
    search_fields = ("code", "title")
    search_help_text = "Code or title"
    fields = ("code", "title", "state", "appeal_days", "forbidden")
    actions_detail = ("bind",)

    def get_queryset(self, request: HttpRequest) -> Any:
        """With what it forbids."""
        return super().get_queryset(request).prefetch_related("forbids")

    @display(description="State", label={"Binds": "success", "Does not bind": None})
    def state(self, document: PolicyDocument) -> str:
        """Whether it counts here."""
        return "Binds" if document.binds else "Does not bind"

    @display(description="Forbids outright")
    def forbidden(self, document: PolicyDocument) -> str:
        """Categories that others would let be approved."""
        return ", ".join(category.code for category in document.forbids.all()) or "nothing beyond the categories"

    def has_bind_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Whoever may change documents."""
        return permissions.may(actor_of(request), permissions.SET_BINDING)

    @action(description="Set what binds", icon="gavel", permissions=["bind"])
    def bind(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Whether it binds, and how long decisions may be appealed."""
        document: PolicyDocument = self.object_or_404(request, object_id)
        if not self.has_view_permission(request, document):
            raise PermissionDenied

        def act(data: dict[str, Any]) -> HttpResponse:
            changed = policy.set_binding(document=document, **data, actor=actor_of(request))
            days = policy.appeal_days()
            message = (
                f"Written down. Decisions may now be appealed for {days} days." if changed else "It was so already."
            )
            return pages.done(request, message, document)

        return pages.form_page(
            self,
            request,
            title=f"What binds: {document}",
            intro=f"It forbids outright: {self.forbidden(document)}.",
            form=BindForm(pages.data_of(request), document=document),
            submit="Write down",
            act=act,
            obj=document,
        )
