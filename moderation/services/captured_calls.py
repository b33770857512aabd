"""Calls that were captured under a grant: sealed for their row, read on record, erased when their time is over."""

import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from django.db import IntegrityError, transaction
from django.db.models import QuerySet

from accounts.models import APIKey, Organisation, User
from moderation import permissions
from moderation.errors import IllegalMove
from moderation.models import CapturedCall, DataAccessGrant, DataRead
from moderation.services import acts, conflicts, data_access, sealed
from newapi.kernel import clock, secrets

# Of a request, and of an answer, in bytes; what is beyond is cut and said so.
TEXT_BYTES_MAX = 262_144
# For how long captured calls may be read when no more are captured.
READABLE = timedelta(days=30)
PURGE_LIMIT = 500


@dataclass(frozen=True, slots=True)
class Read:
    """What one call asked and answered, in memory only."""

    request: str
    answer: str


@transaction.atomic
def capture(
    *, organisation: Organisation, api_key: APIKey, trace_id: UUID, at: datetime, request: str, answer: str
) -> CapturedCall | None:
    """Keep one call, sealed, if a grant is in force for it and has room. None when there is none; again is harmless."""
    grant = data_access.in_force(organisation=organisation, api_key=api_key)
    if grant is None:
        return None
    # So that of many at once no more than calls_max are kept, and none beside a revocation, which erases what it sees;
    # on SQLite the transaction is the lock.
    standing = DataAccessGrant.objects.select_for_update(of=("self",)).filter(pk=grant.pk, revoked_at=None)
    if not list(standing) or CapturedCall.objects.filter(grant=grant).count() >= grant.calls_max:
        return None
    kept = [_cut(request), _cut(answer)]
    try:
        with transaction.atomic():
            return CapturedCall.objects.create(
                grant=grant,
                trace_id=trace_id,
                at=at,
                sealed_request=secrets.seal(kept[0], bound_to=f"captured:{trace_id}:request"),
                sealed_answer=secrets.seal(kept[1], bound_to=f"captured:{trace_id}:answer"),
                digest=_digest(*kept),
                is_cut=kept != [request, answer],
            )
    except IntegrityError:  # captured before
        return None


@transaction.atomic
def read(*, call: CapturedCall, actor: User, reason: str) -> Read:
    """What a captured call asked and answered; the read is on record, and the organisation sees that it was taken.

    Raises NotPermitted, IllegalMove when it was erased or may not be read any more.
    """
    acts.require_reason(reason)
    grant = DataAccessGrant.objects.select_related("organisation", "case__category").get(pk=call.grant_id)
    conflicts.clear(actor, permissions.READ_CAPTURED, grant.organisation, grant.case)
    if grant.case is not None and not sealed.may_read(user=actor, case=grant.case):
        raise acts.refused(grant.case, actor, "Its case is sealed. Ask a colleague to let you read it.")
    call = CapturedCall.objects.select_for_update(of=("self",)).get(pk=call.pk)
    if call.purged_at is not None or grant.revoked_at is not None or clock.now() >= grant.ends_at + READABLE:
        raise IllegalMove("It may not be read any more.")
    request = secrets.unseal(call.sealed_request, bound_to=f"captured:{call.trace_id}:request")
    answer = secrets.unseal(call.sealed_answer, bound_to=f"captured:{call.trace_id}:answer")
    if _digest(request, answer) != bytes(call.digest):
        raise IllegalMove("It is not what was captured: its hash is another.")
    DataRead.objects.create(call=call, actor=actor, at=clock.now(), reason=reason[:500])
    data_access.tell(grant, actor, "read", reason, None)
    return Read(request, answer)


def reads_told_to(organisation: Organisation) -> QuerySet[DataRead]:
    """The reads that an organisation may know of: all but those of which the law forbids to tell."""
    reads = DataRead.objects.filter(call__grant__organisation=organisation, call__grant__is_secret=False)
    return reads.select_related("call__grant")


@transaction.atomic
def erase(*, calls: QuerySet[CapturedCall], actor: User | None, reason: str) -> int:
    """Erase the contents of captured calls, such as those that a demand of deletion names (GW-37). How many were."""
    acts.require_reason(reason)
    grants = list(DataAccessGrant.objects.filter(calls__in=calls.filter(purged_at=None)).distinct())
    count = data_access.erase(calls)
    for grant in grants:
        data_access.tell(grant, actor, "erase", reason, None)
    return count


def purge_past(*, limit: int = PURGE_LIMIT) -> int:
    """Erase captured calls that may not be read any more. Returns how many."""
    over = CapturedCall.objects.filter(purged_at=None, grant__ends_at__lte=clock.now() - READABLE)
    some = list(over.order_by("pk").values_list("pk", flat=True)[:limit])
    return erase(calls=CapturedCall.objects.filter(pk__in=some), actor=None, reason="Its time is up.") if some else 0


def _cut(text: str) -> str:
    return text.encode()[:TEXT_BYTES_MAX].decode(errors="ignore")


def _digest(request: str, answer: str) -> bytes:
    """Over both, with the length of the first, so that none of the one passes for the other's."""
    first = request.encode()
    return hashlib.sha256(len(first).to_bytes(8) + first + answer.encode()).digest()
