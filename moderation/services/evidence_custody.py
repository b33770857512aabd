"""The custody log: who did what with a piece of evidence. Appended to here and nowhere else."""

from accounts.models import User
from moderation.models import CustodyEntry, Evidence
from newapi.kernel import clock

REASON_LENGTH_MAX = 500


def write(
    *, evidence: Evidence, act: CustodyEntry.Act, actor: User | None, reason: str = "", address: str | None = None
) -> CustodyEntry:
    """Append an entry. A job has no actor."""
    return CustodyEntry.objects.create(
        evidence=evidence,
        at=clock.now(),
        actor=actor,
        act=act,
        reason=reason[:REASON_LENGTH_MAX],
        address=address or None,
    )
