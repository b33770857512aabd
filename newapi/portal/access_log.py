"""Who has looked at calls of an organisation, as its people are told (DSH-05): by what right, how far, each read.

Never what the law forbids to tell, and no names: a read is the platform's.
"""

from dataclasses import dataclass

from django.db.models import Count, Q, QuerySet

from accounts.permissions import keys_visible_to
from moderation.models import DataAccessGrant, DataRead
from moderation.services import captured_calls, data_access
from newapi.kernel import clock
from newapi.portal.seats import Seat

GRANTS_MAX = 50


@dataclass(frozen=True, slots=True)
class GrantRow:
    """Leave to look at calls, how many it took, and where it stands in a word."""

    grant: DataAccessGrant
    calls: int
    state: str
    tone: str


def grants_for(seat: Seat) -> list[GrantRow]:
    """What was allowed, the newest first, GRANTS_MAX at most. Of single keys only to who may see these."""
    told = data_access.told_to(seat.organisation).filter(_concerns(seat))
    counted = told.annotate(calls_taken=Count("calls")).select_related("api_key")
    return [_row(grant) for grant in counted.order_by("-approved_at", "-pk")[:GRANTS_MAX]]


def reads_for(seat: Seat) -> QuerySet[DataRead]:
    """Each read of a call, the newest first."""
    return (
        captured_calls.reads_told_to(seat.organisation).filter(_concerns(seat, "call__grant__")).order_by("-at", "-pk")
    )


def _concerns(seat: Seat, grant: str = "") -> Q:
    """Grants of the whole organisation, and of keys that the person may see; `grant` leads to the grant."""
    return Q(**{f"{grant}api_key": None}) | Q(**{f"{grant}api_key__in": keys_visible_to(seat.membership)})


def _row(grant: DataAccessGrant) -> GrantRow:
    now = clock.now()
    if grant.revoked_at is not None:
        state, tone = "ended early", ""
    elif grant.ends_at <= now:
        state, tone = "over", ""
    else:
        state, tone = ("in force", "warn") if grant.starts_at <= now else ("to begin", "warn")
    return GrantRow(grant, grant.calls_taken, state, tone)  # type: ignore[attr-defined]
