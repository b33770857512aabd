"""How approvals stand, judged by the clock: as a condition, and as a filter of their list."""

from typing import Any

from django.db.models import Q, QuerySet
from django.http import HttpRequest
from unfold.contrib.filters.admin import DropdownFilter

from moderation.models import Approval
from newapi.kernel import clock

_State = Approval.State


def standings() -> dict[str | None, Q]:
    """How an approval may stand at this moment, as a condition."""
    now = clock.now()
    approved, over = Q(state=_State.APPROVED), Q(ends_at__lte=now)
    return {
        "requested": Q(state=_State.REQUESTED),
        "in_force": approved & Q(starts_at__lte=now) & ~over,
        "to_come": approved & Q(starts_at__gt=now),
        "ended": approved & over,
        "refused": Q(state=_State.REFUSED),
        "revoked": Q(state=_State.REVOKED),
    }


class StateFilter(DropdownFilter):
    """As the list shows it: judged by the clock."""

    title = "state"
    parameter_name = "standing"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """The choices."""
        words = ("Requested", "In force", "To come", "Ended", "Refused", "Revoked")
        return [(word.lower().replace(" ", "_"), word) for word in words]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Approval]) -> QuerySet[Approval]:
        """Only approvals in that state."""
        wanted = standings()
        return queryset.filter(wanted[self.value()]) if self.value() in wanted else queryset
