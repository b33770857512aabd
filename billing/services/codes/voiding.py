"""Voiding: from that moment on nothing is redeemed; what is left of it is settled by a job, in bounded steps.

A redemption and a void meet at the code's row: whichever of them changes it first, the other sees it. So what a
void finds unredeemed is exactly what nobody can redeem any more.
"""

from datetime import datetime, timedelta
from time import monotonic

from django.db import transaction
from django.db.models import F, Q, QuerySet, Sum

from accounts.models import AuditEvent, Notice, User
from accounts.services import audit, notices
from billing.errors import BillingRefusal
from billing.models import CodeBatch, LedgerTransaction, Redemption, RedemptionCode
from billing.services import wallets
from billing.services.codes import books
from newapi.kernel import clock, money

State = CodeBatch.State
CHUNK_ROWS = 5_000
LEASE = timedelta(seconds=60)
RUN_S_MAX = 10.0
# Codes of one batch are voided in background; one code is voided at once, with at most so many redemptions.
CLAWED_AT_ONCE_MAX = 100
# Money in a frozen wallet stays where it is; it is tried for again.
RETRY = timedelta(hours=1)
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
    is_out = Q(batch__in=CodeBatch.objects.filter(pk=code.batch_id, state=State.OUT))
    if not RedemptionCode.objects.filter(is_out, pk=code.pk, voided_at=None).update(voided_at=moment):
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
    redemptions = list(_with_a_rest(code.redemptions.all())[: CLAWED_AT_ONCE_MAX + 1])
    if len(redemptions) > CLAWED_AT_ONCE_MAX:
        raise BillingRefusal(f"It was redeemed more than {CLAWED_AT_ONCE_MAX} times: void its batch instead.")
    return sum(_take_back(redemption, batch, actor, reason) or 0 for redemption in redemptions)


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
        redemptions = list(_with_a_rest(batch.redemptions.filter(pk__gt=after))[:CLAWED_AT_ONCE_MAX])
        if not redemptions:
            return True, has_rest
        if not _renew(batch):
            break
        for redemption in redemptions:
            has_rest |= _take_back(redemption, batch, wanted.actor, wanted.reason) is None
        after = redemptions[-1].pk
    return False, has_rest


def _with_a_rest(redemptions: QuerySet[Redemption]) -> QuerySet[Redemption]:
    """Those whose money is not all spent, in order."""
    found = redemptions.filter(grant__remaining_nano__gt=0).select_related("grant", "organisation", "code")
    return found.order_by("pk")


@transaction.atomic
def _take_back(redemption: Redemption, batch: CodeBatch, actor: User | None, reason: str) -> int | None:
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
