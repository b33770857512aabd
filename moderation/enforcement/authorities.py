"""The measure that goes beyond the platform: what an authority must be told."""

from datetime import timedelta

from accounts.models import User
from moderation.enforcement.base import Measure
from moderation.models import AuthorityReport, EnforcementAction
from moderation.models.policy import Level
from newapi.kernel import clock

# Ours, as the sources name none: what cannot wait is submitted on the day.
REPORT_WITHIN = timedelta(hours=24)


class AuthorityReporting(Measure):
    """A report becomes due; two persons prepare and approve it (MOD-15, MOD-26)."""

    kind = EnforcementAction.Kind.AUTHORITY_REPORT
    mildest = mildest_at_first = Level.L2

    def begin(self, action: EnforcementAction, *, actor: User | None, reason: str) -> None:
        """Make the report due, once for a case."""
        super().begin(action, actor=actor, reason=reason)
        AuthorityReport.objects.get_or_create(
            case=action.case, is_test=False, defaults={"due_at": clock.now() + REPORT_WITHIN}
        )

    def end(self, action: EnforcementAction, *, actor: User | None, reason: str) -> None:
        """Drop a report that is still due; one that was submitted stays."""
        due = AuthorityReport.objects.filter(case=action.case, state__in=AuthorityReport.OPEN_STATES)
        due.update(state=AuthorityReport.State.NOT_REQUIRED, end_reason=reason[:500])
