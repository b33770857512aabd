"""The bonus on a top-up: booked with it, taken back with it."""

from contextlib import suppress

from django.db import transaction

from accounts.models import Organisation, User
from billing.models import Grant, LedgerAccount, LedgerTransaction, Promotion, TopUpOrder
from billing.services import promotion_rules as rules
from billing.services import wallets
from billing.services.promotion_rules import PromotionRefused
from billing.services.promotions.using import require, terms_of, use
from newapi.kernel import money

Kind = Promotion.Kind


def for_top_ups(organisation: Organisation) -> list[Promotion]:
    """The bonuses on top-ups that an organisation would get now, the largest first."""
    running = Promotion.objects.filter(rules.in_force(), kind=Kind.TOP_UP, currency=organisation.currency)
    found = []
    for promotion in running.order_by("-bonus_percent", "pk"):
        with suppress(PromotionRefused):
            found.append(require(promotion=promotion, organisation=organisation, nano=1))
    return found


@transaction.atomic
def apply_to_top_up(*, order: TopUpOrder) -> LedgerTransaction | None:
    """Book the bonus of an order that has just been credited, in the same transaction; once, however often it is asked.

    None when no promotion was chosen, or its bonus on so little is nothing. It is judged by this moment, not by when
    the order was made. Raises BillingRefusal: PromotionRefused when it gives nothing any more, or WalletFrozen.
    """
    promotion = order.promotion
    if promotion is None:
        return None
    bonus_nano = money.divide_half_even(_paid_nano(order) * promotion.bonus_percent, 100)
    booked = LedgerTransaction.objects.filter(idempotency_key=_key(order)).first()
    if booked is not None or not bonus_nano:
        return booked
    require(promotion=promotion, organisation=order.organisation, nano=bonus_nano, kind=Kind.TOP_UP)
    booked = wallets.credit(
        organisation=order.organisation,
        amount_nano=bonus_nano,
        kind=LedgerTransaction.Kind.GRANT,
        idempotency_key=_key(order),
        actor=None,
        reason=f"{promotion.bonus_percent} % on top-up {order.reference}",
        terms=terms_of(promotion),
    )
    use(promotion=promotion, organisation=order.organisation, nano=bonus_nano, booked=booked)
    return booked


@transaction.atomic
def take_back_bonus(
    *, order: TopUpOrder, returned_nano: int, once: str, actor: User | None, reason: str
) -> LedgerTransaction | None:
    """Take back the bonus on what of an order goes back, as far as it is unspent; None when nothing is left of it.

    once: names the refund or dispute, so that each takes once. A frozen wallet keeps it.
    """
    bonus = Grant.objects.filter(transaction__idempotency_key=_key(order)).first()
    if order.promotion is None or bonus is None:
        return None
    nano = money.divide_half_even(returned_nano * order.promotion.bonus_percent, 100)
    if not nano or wallets.open(organisation=order.organisation).frozen_at is not None:
        return None
    return wallets.take_back(
        organisation=order.organisation,
        amount_nano=nano,
        kind=LedgerTransaction.Kind.CLAWBACK,
        idempotency_key=f"{_key(order)}:{once}",
        actor=actor,
        reason=reason,
        grant=bonus,
    )


@transaction.atomic
def give_back_bonus(*, order: TopUpOrder, once: str, actor: User | None, reason: str) -> LedgerTransaction | None:
    """Undo what take_back_bonus took under the same `once`, as when a dispute was won; None when it took nothing.

    Raises BillingRefusal, such as WalletFrozen.
    """
    taken = LedgerTransaction.objects.filter(idempotency_key=f"{_key(order)}:{once}").first()
    return None if taken is None else wallets.reverse(booked=taken, actor=actor, reason=reason)


def _key(order: TopUpOrder) -> str:
    return f"promotion:{order.promotion_id}:{order.reference}"


def _paid_nano(order: TopUpOrder) -> int:
    """What came in for an order, by its transaction. Raises ValueError when it was not credited."""
    if order.transaction is None:
        raise ValueError("a bonus is booked after what it is a part of")
    paid = order.transaction.transfers.filter(debit_account__kind=LedgerAccount.Kind.CLEARING)
    return sum(paid.values_list("amount_nano", flat=True))
