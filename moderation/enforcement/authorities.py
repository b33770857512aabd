"""The measure that goes beyond the platform: what an authority must be told."""

from accounts.models import User
from moderation.enforcement.base import Measure
from moderation.models import AuthorityReport, EnforcementAction
from moderation.models.policy import Level
from moderation.services import authority


class AuthorityReporting(Measure):
    """A report becomes due; two persons prepare and approve it (MOD-15, MOD-26)."""

    kind = EnforcementAction.Kind.AUTHORITY_REPORT
    mildest = mildest_at_first = Level.L2

    def begin(self, action: EnforcementAction, *, actor: User | None, reason: str) -> None:
        """Make the report due, once for a case."""
        super().begin(action, actor=actor, reason=reason)
        authority.make_due(case=action.case, actor=None, reason=reason)

    def end(self, action: EnforcementAction, *, actor: User | None, reason: str) -> None:
        """Drop a report that nobody has begun to prepare; any other is its approver's to drop."""
        due = AuthorityReport.objects.filter(case=action.case, state=AuthorityReport.State.DUE, prepared_by=None)
        due.update(state=AuthorityReport.State.NOT_REQUIRED, end_reason=reason[:500])
