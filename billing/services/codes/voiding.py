"""Voiding: from that moment on nothing is redeemed, and what is unspent is taken back if that is wanted.

What is left to do for a batch is done by billing.services.codes.void_job.
"""

from datetime import timedelta

from django.db import transaction
from django.db.models import QuerySet

from accounts.models import Notice, User
from accounts.services import audit, notices
from billing.errors import BillingRefusal
from billing.models import CodeBatch, LedgerTransaction, Redemption, RedemptionCode
from billing.services import wallets
from billing.services.codes import books
from newapi.kernel import clock, money

State = CodeBatch.State
# Codes of one batch are voided in background; one code is voided at once, with at most so many redemptions.
CLAWED_AT_ONCE_MAX = 100
CLAW_BACK = "code_batch.claw_back"


@transaction.atomic
def void(
    *, batch: CodeBatch, takes_back: bool, actor: User | None, reason: str, address: str | None = None
) -> CodeBatch:
    """Refuse all its codes from now on, and take back what is unspent of them if that is wanted.

    Raises BillingRefusal when it was voided before.
    """
    before = CodeBatch.objects.values_list("state", flat=True).get(pk=batch.pk)
    now = clock.now()
    changed = (
        CodeBatch.objects.filter(pk=batch.pk)
        .exclude(state=State.VOIDED)
        .update(state=State.VOIDED, voided_at=now, voided_by=actor, sealed_seed="", making_until=now)
    )
    if not changed:
        raise BillingRefusal("It was voided before.")
    batch.refresh_from_db()
    changes = {"state": [before, State.VOIDED.value]}
    audit.record(actor=actor, action="code_batch.void", target=batch, reason=reason, changes=changes, address=address)
    if takes_back:
        claw_back(batch=batch, actor=actor, reason=reason, address=address)
    return batch


@transaction.atomic
def claw_back(*, batch: CodeBatch, actor: User | None, reason: str, address: str | None = None) -> None:
    """Have a job take back what is unspent of a voided batch. Raises BillingRefusal when it is not voided."""
    if not CodeBatch.objects.filter(pk=batch.pk, state=State.VOIDED).update(making_until=clock.now()):
        raise BillingRefusal("Only what a voided batch brought in is taken back.")
    # The record of who wanted it and why is what the job goes by.
    audit.record(actor=actor, action=CLAW_BACK, target=batch, reason=reason, address=address)


@transaction.atomic
def void_code(
    *, code: RedemptionCode, takes_back: bool, actor: User | None, reason: str, address: str | None = None
) -> int:
    """Refuse one code from now on, and take back what is unspent of it. Returns what was taken back, in nano.

    Raises BillingRefusal when it is void already, its batch is not out, or it was redeemed too often.
    """
    # A microsecond that no batch is voided at (the clock counts milliseconds) tells the two apart in a sum.
    moment = clock.now() + timedelta(microseconds=1)
    # Written though it stays as it is: what is owed for a batch is settled by one at a time.
    is_out = CodeBatch.objects.filter(pk=code.batch_id, state=State.OUT).update(state=State.OUT)
    if not is_out or not RedemptionCode.objects.filter(pk=code.pk, voided_at=None).update(voided_at=moment):
        raise BillingRefusal("It is void already, or its batch is not out.")
    code.refresh_from_db()
    batch = code.batch
    if books.is_sold(batch) and not books.is_broken_off(batch):
        left_nano = (batch.uses_per_code - code.uses) * batch.value_nano
        books.release(batch=batch, key=f"code_void:{code.pk}", nano=left_nano, actor=actor, reason=reason)
    changes = {"voided_at": [None, moment]}
    audit.record(
        actor=actor, action="redemption_code.void", target=code, reason=reason, changes=changes, address=address
    )
    if not takes_back:
        return 0
    redemptions = list(with_a_rest(code.redemptions.all())[: CLAWED_AT_ONCE_MAX + 1])
    if len(redemptions) > CLAWED_AT_ONCE_MAX:
        raise BillingRefusal(f"It was redeemed more than {CLAWED_AT_ONCE_MAX} times: void its batch instead.")
    return sum(take_back(redemption, batch, actor, reason) or 0 for redemption in redemptions)


def with_a_rest(redemptions: QuerySet[Redemption]) -> QuerySet[Redemption]:
    """Those whose money is not all spent, in order."""
    found = redemptions.filter(grant__remaining_nano__gt=0).select_related("grant", "organisation", "code")
    return found.order_by("pk")


@transaction.atomic
def take_back(redemption: Redemption, batch: CodeBatch, actor: User | None, reason: str) -> int | None:
    """Take back what is unspent of one redemption, once. Returns how much, or None when the wallet is frozen."""
    organisation = redemption.organisation
    if wallets.open(organisation=organisation).frozen_at is not None:
        return None
    booked = wallets.take_back(
        organisation=organisation,
        amount_nano=batch.value_nano,
        kind=LedgerTransaction.Kind.CLAWBACK,
        idempotency_key=f"clawback:{redemption.pk}",
        actor=actor,
        reason=reason,
        grant=redemption.grant,
        source=books.source_of(batch),
    )
    if booked is None:
        return 0
    taken_nano = sum(booked.transfers.values_list("amount_nano", flat=True))
    if books.is_sold(batch):
        key = f"clawback_paid:{redemption.pk}"
        books.release(batch=batch, key=key, nano=taken_nano, actor=actor, reason=reason)
    notices.post(
        once=f"codes.clawback:{redemption.pk}",
        kind="codes.clawback",
        title=f"{money.display(taken_nano, batch.currency)} of a redemption code was taken back",
        body=f"The code {redemption.code} was voided after it was redeemed. What was not spent of it is no longer "
        "in the balance; what was spent stays paid.",
        audience=Notice.Audience.BILLING,
        level=Notice.Level.WARNING,
        organisation=organisation,
    )
    return taken_nano
