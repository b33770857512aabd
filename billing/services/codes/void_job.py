"""What a voided batch has left to do, by a job in bounded steps: its codes, what is owed for them, what comes back.

A redemption and a void meet at the code's row: whichever of them changes it first, the other sees it. So what a
void finds unredeemed is exactly what nobody can redeem any more.
"""

from datetime import datetime, timedelta
from time import monotonic

from django.db import transaction
from django.db.models import F, QuerySet, Sum

from accounts.models import AuditEvent
from billing.models import CodeBatch, RedemptionCode
from billing.services.codes import books
from billing.services.codes.voiding import CLAW_BACK, take_back, with_a_rest
from newapi.kernel import clock

State = CodeBatch.State
CHUNK_ROWS = 5_000
# Redemptions whose money is taken back before the lease is renewed.
CLAWED_A_LEASE = 100
LEASE = timedelta(seconds=60)
RUN_S_MAX = 10.0
# Money in a frozen wallet stays where it is; it is tried for again.
RETRY = timedelta(hours=1)


def finish_voids() -> int:
    """Do what voids have left to do, for RUN_S_MAX. Returns how many batches are done."""
    until = monotonic() + RUN_S_MAX
    done = 0
    while monotonic() < until and (batch := _claim()) is not None:
        done += _finish(batch, until)
    return done


def are_unfinished() -> bool:
    """Whether a void has something left to do that nobody does now."""
    return _due().exists()


def _due() -> QuerySet[CodeBatch]:
    return CodeBatch.objects.filter(state=State.VOIDED, making_until__lte=clock.now()).order_by("pk")


def _claim() -> CodeBatch | None:
    for pk in list(_due().values_list("pk", flat=True)[:20]):
        if _due().filter(pk=pk).update(making_until=clock.now() + LEASE):
            return CodeBatch.objects.get(pk=pk)
    return None


def _finish(batch: CodeBatch, until: float) -> bool:
    """False when the time was up, or somebody else has taken over."""
    # Whoever redeemed a code before it was voided has committed when its row can be voided here; so afterwards
    # every redemption is there to be found.
    start = 0
    while (first := _first_standing(batch, start)) is not None:
        if monotonic() > until or not _void_chunk(batch, first):
            return _leave(batch, clock.now())
        start = first + CHUNK_ROWS
    wanted = AuditEvent.objects.filter(
        action=CLAW_BACK, object_type=batch._meta.label_lower, object_id=str(batch.pk)
    ).first()
    if wanted is None:
        return _leave(batch, None)
    is_through, has_rest = _claw_back(batch, wanted, until)
    return _leave(batch, (clock.now() + RETRY if has_rest else None) if is_through else clock.now())


def _leave(batch: CodeBatch, look_again_at: datetime | None) -> bool:
    """Give the lease back, if it is still ours. True when everything is done."""
    ours = CodeBatch.objects.filter(pk=batch.pk, state=State.VOIDED, making_until=batch.making_until)
    return bool(ours.update(making_until=look_again_at)) and look_again_at is None


def _renew(batch: CodeBatch) -> bool:
    """Go on holding the lease, or find that it is lost."""
    until = clock.now() + LEASE
    ours = CodeBatch.objects.filter(pk=batch.pk, state=State.VOIDED, making_until=batch.making_until)
    if not ours.update(making_until=until):
        return False
    batch.making_until = until
    return True


def _first_standing(batch: CodeBatch, start: int) -> int | None:
    """The number of the first code from there on that is not void."""
    standing = RedemptionCode.objects.filter(batch=batch, number__gte=start, voided_at=None).order_by("number")
    return standing.values_list("number", flat=True).first()


@transaction.atomic
def _void_chunk(batch: CodeBatch, start: int) -> bool:
    """Void codes from a number on, the first of which stands, and owe no more for what is unredeemed of them.

    False when the lease is lost.
    """
    if not _renew(batch):
        return False
    codes = RedemptionCode.objects.filter(batch=batch, number__gte=start, number__lt=start + CHUNK_ROWS)
    changed = codes.filter(voided_at=None).update(voided_at=batch.voided_at)
    if changed and books.is_sold(batch) and not books.is_broken_off(batch):
        # Their rows are ours until the commit, so nobody uses them meanwhile.
        left = codes.filter(voided_at=batch.voided_at).aggregate(left=Sum(batch.uses_per_code - F("uses")))["left"]
        key = f"codes_void:{batch.pk}:{start}"
        reason = "Voided before they were redeemed"
        books.release(batch=batch, key=key, nano=int(left) * batch.value_nano, actor=batch.voided_by, reason=reason)
    return True


def _claw_back(batch: CodeBatch, wanted: AuditEvent, until: float) -> tuple[bool, bool]:
    """Take back from each redemption. Returns whether all were tried, and whether something has to wait."""
    after, has_rest = 0, False
    while monotonic() < until:
        redemptions = list(with_a_rest(batch.redemptions.filter(pk__gt=after))[:CLAWED_A_LEASE])
        if not redemptions:
            return True, has_rest
        if not _renew(batch):
            break
        for redemption in redemptions:
            has_rest |= take_back(redemption, batch, wanted.actor, wanted.reason) is None
        after = redemptions[-1].pk
    return False, has_rest
