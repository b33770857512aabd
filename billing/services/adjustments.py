"""What people book by hand: into a wallet or out of it, for a stated purpose; large amounts wait for a second person.

A request is a row first. Up to settings.ADJUSTMENT_SECOND_PERSON_ABOVE it is posted in the same transaction; above
it, it waits until somebody other than the requester approves or rejects it. Each adjustment moves money once, under
the ledger key `adjustment:{pk}`.
"""

import uuid
from typing import Any

from django.conf import settings
from django.db import transaction
from django.urls import reverse

from accounts.models import Notice, User
from accounts.services import audit, notices
from billing.errors import BillingRefusal, IdempotencyConflict
from billing.models import Adjustment, Grant, LedgerTransaction, Purpose, Wallet
from billing.models.grant import PRIORITY_MAX
from billing.services import wallets
from billing.services.grants import Terms
from newapi.kernel import clock, money

Direction, State = Adjustment.Direction, Adjustment.State
Kind = LedgerTransaction.Kind
KINDS = {Direction.IN: (Kind.TOP_UP, Kind.GRANT, Kind.ADJUSTMENT), Direction.OUT: (Kind.ADJUSTMENT,)}

_WAY = {Direction.IN: "into the wallet of", Direction.OUT: "out of the wallet of"}


@transaction.atomic
def request(
    *,
    wallet: Wallet,
    direction: str,
    kind: str,
    purpose: str,
    amount_nano: int,
    terms: Terms,
    once: uuid.UUID,
    actor: User,
    reason: str,
    address: str | None = None,
) -> Adjustment:
    """Ask for an amount to be booked: posted at once, or waiting when it is above the limit.

    once: one for each page that was opened; the same again changes nothing and answers the row that stands.
    Raises BillingRefusal, and IdempotencyConflict when `once` was used for something else.
    """
    values = _values(wallet, direction, kind, purpose, amount_nano, terms)
    adjustment, is_new = Adjustment.objects.get_or_create(
        once=once, defaults={**values, "reason": reason[:500], "requested_by": actor}
    )
    if any(getattr(adjustment, name) != value for name, value in values.items()):
        raise IdempotencyConflict(str(once))
    if not is_new:
        return adjustment
    if needs_second_person(amount_nano):
        _wait(adjustment, address)
    else:
        _post(adjustment, actor=actor, address=address)
    return adjustment


def needs_second_person(amount_nano: int) -> bool:
    """Whether an amount is above what one person may book."""
    return amount_nano > settings.ADJUSTMENT_SECOND_PERSON_ABOVE * money.NANO


@transaction.atomic
def approve(*, adjustment: Adjustment, actor: User, reason: str, address: str | None = None) -> Adjustment:
    """Post what waits. Raises BillingRefusal, of its requester too; what cannot be booked now goes on waiting."""
    _claim(adjustment, actor, reason)
    if adjustment.expires_at is not None and adjustment.expires_at <= clock.now():
        raise BillingRefusal("The grant would have expired already. Reject it, and ask for one that lasts longer.")
    audit.record(actor=actor, action="adjustment.approve", target=adjustment, reason=reason, address=address)
    _post(adjustment, actor=actor, address=address)
    return adjustment


@transaction.atomic
def reject(*, adjustment: Adjustment, actor: User, reason: str, address: str | None = None) -> Adjustment:
    """Let what waits lapse; nothing is booked. Raises BillingRefusal, of its requester too."""
    _claim(adjustment, actor, reason)
    Adjustment.objects.filter(pk=adjustment.pk).update(state=State.REJECTED)
    adjustment.refresh_from_db()
    audit.record(actor=actor, action="adjustment.reject", target=adjustment, reason=reason, address=address)
    return adjustment


def terms_of(adjustment: Adjustment) -> Terms:
    """How its grant is to be."""
    return Terms(
        category=adjustment.category,
        priority=adjustment.priority,
        expires_at=adjustment.expires_at,
        project=adjustment.project,
        model=adjustment.model,
    )


def _values(wallet: Wallet, direction: str, kind: str, purpose: str, amount_nano: int, terms: Terms) -> dict[str, Any]:
    """What is asked for, checked. Raises BillingRefusal."""
    if wallet.currency != wallet.organisation.currency:
        raise BillingRefusal(f"The organisation's wallet is the one in {wallet.organisation.currency}.")
    if kind not in KINDS[Direction(direction)]:
        raise BillingRefusal(f"{Kind(kind).label} does not go {direction}.")
    if purpose not in Purpose.values:
        raise BillingRefusal({"purpose": "Say what the money is for."})
    if not 0 < amount_nano <= wallets.AMOUNT_NANO_MAX:
        raise BillingRefusal({"amount_nano": "An amount is more than zero and at most one billion."})
    if not 0 <= terms.priority <= PRIORITY_MAX:
        raise BillingRefusal({"priority": f"Between 0 and {PRIORITY_MAX}."})
    if terms.expires_at is not None and terms.expires_at <= clock.now():
        raise BillingRefusal({"expires_at": "This moment is over."})
    if terms.project is not None and terms.project.organisation_id != wallet.organisation_id:
        raise BillingRefusal({"project": "It belongs to another organisation."})
    given = Grant.Category.PROMOTIONAL if kind == Kind.GRANT else Grant.Category.PAID
    return {
        "wallet_id": wallet.pk,
        "direction": direction,
        "kind": kind,
        "purpose": purpose,
        "amount_nano": amount_nano,
        "category": terms.category or given,
        "priority": terms.priority,
        "expires_at": terms.expires_at,
        "project_id": terms.project.pk if terms.project else None,
        "model_id": terms.model.pk if terms.model else None,
    }


def _wait(adjustment: Adjustment, address: str | None) -> None:
    amount = money.display(adjustment.amount_nano, adjustment.wallet.currency)
    audit.record(
        actor=adjustment.requested_by,
        action="adjustment.request",
        target=adjustment,
        reason=adjustment.reason,
        changes={"amount_nano": [None, adjustment.amount_nano]},
        address=address,
    )
    notices.post(
        once=f"adjustment:{adjustment.pk}",
        kind="adjustment.waiting",
        title=f"{amount} {_WAY[Direction(adjustment.direction)]} {adjustment.organisation} waits for a second person",
        body=f"Asked for by {adjustment.requested_by}: {adjustment.reason}",
        link=reverse("admin:billing_adjustment_change", args=[adjustment.pk]),
        audience=Notice.Audience.OPERATORS,
    )


def _claim(adjustment: Adjustment, actor: User, reason: str) -> None:
    """Be the one who decides. Raises BillingRefusal."""
    adjustment.refresh_from_db()
    if actor.pk == adjustment.requested_by_id:
        raise BillingRefusal("You asked for it yourself. Somebody else has to decide.")
    waiting = Adjustment.objects.filter(pk=adjustment.pk, state=State.WAITING, decided_at=None)
    if not waiting.update(decided_by=actor, decided_at=clock.now(), decision_reason=reason[:500]):
        raise BillingRefusal("It has been decided already.")
    adjustment.refresh_from_db()


def _post(adjustment: Adjustment, *, actor: User, address: str | None) -> None:
    """Move the money and say so on the row, in the caller's transaction. Raises BillingRefusal."""
    common: dict[str, Any] = {
        "organisation": adjustment.organisation,
        "amount_nano": adjustment.amount_nano,
        "idempotency_key": f"adjustment:{adjustment.pk}",
        "actor": actor,
        "reason": adjustment.reason,
        "address": address,
    }
    if adjustment.direction == Direction.IN:
        booked = wallets.credit(kind=Kind(adjustment.kind), terms=terms_of(adjustment), **common)
    else:
        booked = wallets.debit(**common)
    Adjustment.objects.filter(pk=adjustment.pk, state=State.WAITING).update(state=State.POSTED, transaction=booked)
    adjustment.refresh_from_db()
