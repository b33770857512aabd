"""What a job does for batches as time goes by: forgotten seeds are erased, expired codes are no longer owed for."""

from datetime import timedelta

from django.db import transaction
from django.db.models import F, Sum

from accounts.models import Notice
from accounts.services import audit, notices
from billing.models import CodeBatch, RedemptionCode
from billing.services.codes import books, void_job
from newapi.kernel import clock

State = CodeBatch.State
FORGOTTEN_AFTER = timedelta(days=7)
BATCHES_A_RUN = 100


def tend() -> int:
    """All of it. Returns how many batches were changed."""
    return erase_forgotten() + settle_expired() + void_job.finish_voids()


def erase_forgotten() -> int:
    """Erase the seeds of batches that nobody downloaded in a week: their codes can never be known then."""
    due = CodeBatch.objects.filter(state=State.READY, created_at__lte=clock.now() - FORGOTTEN_AFTER)
    return sum(_erase(batch) for batch in due.order_by("pk")[:BATCHES_A_RUN])


def settle_expired() -> int:
    """Let what is owed for sold codes go when they have expired unredeemed."""
    due = CodeBatch.objects.filter(state=State.OUT, making_until__lte=clock.now())
    return sum(_break_off(batch) for batch in due.order_by("pk")[:BATCHES_A_RUN])


@transaction.atomic
def _erase(batch: CodeBatch) -> bool:
    now = clock.now()
    erased = CodeBatch.objects.filter(pk=batch.pk, state=State.READY).update(
        state=State.VOIDED, voided_at=now, sealed_seed="", making_until=now
    )
    if not erased:
        return False
    reason = f"Nobody downloaded the codes within {FORGOTTEN_AFTER.days} days"
    changes = {"state": [State.READY.value, State.VOIDED.value]}
    audit.record(actor=None, action="code_batch.erase", target=batch, reason=reason, changes=changes)
    notices.post(
        once=f"codes.forgotten:{batch.pk}",
        kind="codes.forgotten",
        title=f"The codes of “{batch.name[:100]}” were erased",
        body=f"{reason}, so what they follow from was erased and the batch is void. Make another one if it is wanted.",
        audience=Notice.Audience.OPERATORS,
        level=Notice.Level.WARNING,
        link=f"/admin/billing/codebatch/{batch.pk}/change/",
    )
    return True


@transaction.atomic
def _break_off(batch: CodeBatch) -> bool:
    due = CodeBatch.objects.filter(pk=batch.pk, state=State.OUT, making_until__lte=clock.now())
    if not due.update(making_until=None):
        return False
    standing = RedemptionCode.objects.filter(batch=batch, voided_at=None)
    left = standing.aggregate(left=Sum(batch.uses_per_code - F("uses")))["left"] or 0
    books.break_off(batch=batch, nano=int(left) * batch.value_nano)
    return True
