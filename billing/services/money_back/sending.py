"""Asking providers for refunds, in the background: once each, whatever crashes between asking and noting."""

import logging
from datetime import timedelta

from django.db import transaction
from django.db.models import F, Sum

from billing.errors import BillingRefusal
from billing.models import MoneyBack, TopUpOrder
from billing.payments import runs, turns
from billing.payments.looking import facts_of, pointer_to
from billing.payments.refusals import ProviderAway, ProviderRefused
from billing.payments.registry import SEAMS, seam_of
from billing.payments.seam import Refunded, RefundState
from billing.services.money_back import booking
from newapi.kernel import clock
from newapi.kernel.secrets import SealBroken

log = logging.getLogger(__name__)

State = MoneyBack.State
TRIES_MAX = 12
PAUSE_S = 30
PAUSE_S_MAX = 3600
# A provider that cannot tell two askings apart is left time to finish the first one before it is looked at.
PAUSE_UNSAFE_S = 300
# When the provider has taken it and is not done, it is asked for again.
LOOK_AFTER = timedelta(hours=1)


def send_asked(*, limit: int = 50) -> int:
    """Ask for the refunds whose turn it is. Returns how many the provider took. Each is bounded in time."""
    due = MoneyBack.objects.filter(state=State.ASKED, next_try_at__lte=clock.now()).order_by("tries", "next_try_at")
    rows = due.select_related("order__provider", "order__organisation", "transaction")[:limit]
    return runs.each(list(rows), _send, what="asking for the refund")


def _send(row: MoneyBack) -> bool:
    if row.tries >= TRIES_MAX:
        return _stop(row, "It was asked for too often without an end.")
    if not _claim(row):
        return False
    is_last = row.tries + 1 >= TRIES_MAX
    try:
        refunded = _ask(row)
    except ProviderAway as error:
        log.warning("refund %s not answered: %s", row.reference, error)
        return _stop(row, str(error)) if is_last else False
    except (ProviderRefused, SealBroken, ValueError) as error:
        said = str(error) if isinstance(error, ProviderRefused) else "The provider's settings are broken."
        return _failed(row, said)
    except Exception as error:
        log.exception("refund %s breaks the exchange with its provider", row.reference)
        return _stop(row, runs.in_words(error)) if is_last else False
    if refunded is None:
        return _stop(row, "The provider does not tell whether it went back.")
    return _answered(row, refunded)


def _claim(row: MoneyBack) -> bool:
    first_s = PAUSE_S if SEAMS[row.order.provider.protocol].refunds_once else PAUSE_UNSAFE_S
    pause = timedelta(seconds=min(first_s * 2**row.tries, PAUSE_S_MAX))
    mine = MoneyBack.objects.filter(pk=row.pk, state=State.ASKED, tries=row.tries, next_try_at=row.next_try_at)
    return bool(mine.update(tries=F("tries") + 1, next_try_at=clock.now() + pause))


def _ask(row: MoneyBack) -> Refunded | None:
    """Ask for it; None when nobody can tell whether an earlier asking succeeded."""
    seam = seam_of(row.order.provider)
    if row.tries and not seam.refunds_once:
        went_back = _has_gone(row)
        if went_back is None:
            return None
        if went_back:
            return Refunded(row.reference, row.amount_minor, RefundState.DONE, ours=row.reference)
    return seam.refund(pointer=pointer_to(row.order), reference=row.reference, amount_minor=row.amount_minor)


def _has_gone(row: MoneyBack) -> bool | None:
    """Whether an earlier asking succeeded, by what the provider says went back in all; None when that does not tell."""
    facts = facts_of(row.order, went_back=True)
    if facts is None or not facts.tells_refunds:
        return None
    others = MoneyBack.objects.filter(order=row.order, kind=MoneyBack.Kind.REFUND, state=State.DONE)
    others_minor = others.aggregate(sum=Sum("amount_minor"))["sum"] or 0
    return {others_minor: False, others_minor + row.amount_minor: True}.get(facts.refunded_minor)


def _answered(row: MoneyBack, refunded: Refunded) -> bool:
    if refunded.state == RefundState.FAILED:
        return _failed(row, refunded.why or "The provider says that it failed.")
    return _taken(row, refunded)


@transaction.atomic
def _taken(row: MoneyBack, refunded: Refunded) -> bool:
    order = turns.order_in_turn(row.order_id)
    is_done = refunded.state == RefundState.DONE
    MoneyBack.objects.filter(pk=row.pk, state=State.ASKED).update(
        state=State.DONE if is_done else State.ASKED, provider_reference=refunded.reference, next_try_at=None
    )
    if is_done:
        note_refunded(order)
    else:
        TopUpOrder.objects.filter(pk=order.pk).update(poll_at=clock.now() + LOOK_AFTER)
    return True


def _failed(row: MoneyBack, why: str) -> bool:
    """Give the wallet its money again; a frozen one, that takes none, when a person says that it did not go back."""
    try:
        return _undo(row, why)
    except BillingRefusal as refusal:
        return _stop(row, f"{why} {' '.join(refusal.messages)}")


@transaction.atomic
def _undo(row: MoneyBack, why: str) -> bool:
    turns.order_in_turn(row.order_id)
    # Its news may have come before the answer, and have said that it went back.
    if MoneyBack.objects.filter(pk=row.pk, state=State.ASKED).exists():
        booking.undo(row, state=State.FAILED, why=why)
        booking.warn(row, "failed", "it failed, and the wallet has the money again")
    return False


@transaction.atomic
def _stop(row: MoneyBack, why: str) -> bool:
    """Nobody knows: a person looks at the provider's own pages, and says it."""
    if MoneyBack.objects.filter(pk=row.pk, state=State.ASKED).update(next_try_at=None, why=why[:300]):
        row.why = why[:300]
        booking.warn(row, "unknown", "look at the provider whether it went back, and say so")
    return False


def note_refunded(order: TopUpOrder, at_least_minor: int = 0) -> None:
    """Raise the order's count of what was refunded; it never falls."""
    done = MoneyBack.objects.filter(order=order, kind=MoneyBack.Kind.REFUND, state=State.DONE)
    done_minor = max(at_least_minor, done.aggregate(sum=Sum("amount_minor"))["sum"] or 0)
    TopUpOrder.objects.filter(pk=order.pk, refunded_minor__lt=done_minor).update(refunded_minor=done_minor)
    order.refunded_minor = max(order.refunded_minor, done_minor)
