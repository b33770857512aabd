"""What one person asks for and another decides on: approved or rejected, with a reason."""

from typing import Any

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from unfold.decorators import action
from unfold.enums import ActionVariant

from accounts.admin import pages
from accounts.admin.base import ReadOnlyAdmin
from accounts.admin.reasons import ReasonedForm
from accounts.admin.requests import actor_of, address_of

WAITING = "waiting"


class SecondPersonAdmin(ReadOnlyAdmin):
    """Of models with `state` and `requested_by`. The services decide; here it is only asked and said."""

    actions_detail = ("approve", "reject")
    # Said when it was approved.
    approved_text = "Approved."

    def question(self, obj: Any) -> tuple[str, str]:
        """What is asked for in a line, and all that whoever decides has to know."""
        raise NotImplementedError

    def decide(self, obj: Any, *, is_approved: bool, **told: Any) -> Any:
        """Have the service decide, told actor, reason and address. Returns the object. Raises ValidationError."""
        raise NotImplementedError

    def has_decide_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Who may approve and reject what others ask for."""
        return request.user.has_perm(f"{self.opts.app_label}.change_{self.opts.model_name}")

    def get_actions_detail(self, request: HttpRequest, object_id: Any) -> list[Any]:
        """Only what waits can be decided, and not by who asked for it."""
        found = self.get_object(request, object_id)
        if found is None or found.state != WAITING or found.requested_by_id == request.user.pk:
            return []
        return list(super().get_actions_detail(request, object_id))

    @action(description="Approve", icon="check", permissions=["decide"], variant=ActionVariant.PRIMARY)
    def approve(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Let it happen."""
        return self._decide(request, object_id, "Approve", self.approved_text, is_approved=True)

    @action(description="Reject", icon="block", permissions=["decide"], variant=ActionVariant.DANGER)
    def reject(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Let it lapse."""
        return self._decide(request, object_id, "Reject", "Rejected. Nothing was booked.", is_approved=False)

    def _decide(self, request: HttpRequest, object_id: str, verb: str, said: str, *, is_approved: bool) -> HttpResponse:
        asked = self.object_or_404(request, object_id)
        if not self.has_view_permission(request, asked) or not self.has_decide_permission(request):
            raise PermissionDenied
        title, intro = self.question(asked)

        def act(data: dict[str, Any]) -> HttpResponse:
            told = {"actor": actor_of(request), "reason": data["reason"], "address": address_of(request)}
            return pages.done(request, said, self.decide(asked, is_approved=is_approved, **told))

        return pages.form_page(
            self,
            request,
            title=f"{verb}: {title}",
            intro=intro,
            form=ReasonedForm(pages.data_of(request)),
            submit=verb,
            act=act,
            obj=asked,
            is_danger=not is_approved,
        )
