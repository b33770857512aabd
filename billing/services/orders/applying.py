"""What a provider says of an order, applied. The only place in which payment moves an order's state.

Facts may come late, twice, out of order, or from a copy of the provider's database that lags behind. States only go
forward: paid beats expired and failed, refunds only grow, a dispute that was won stays won.
"""

from datetime import timedelta

from django.db import transaction
from django.urls import reverse

from accounts.models import Notice
from accounts.services import notices
from billing.errors import BillingRefusal, WalletFrozen
from billing.models import LedgerTransaction, TopUpOrder
from billing.payments import minor, turns
from billing.payments.seam import Facts, Standing
from billing.services import kept_methods, money_back, promotions, wallets
from newapi.kernel import clock

State = TopUpOrder.State
# A later one is never left for an earlier one.
_RANK = {State.CREATED: 0, State.OPEN: 1, State.EXPIRED: 2, State.FAILED: 3, State.MISMATCH: 4, State.CREDITED: 5}
_ENDS = {Standing.EXPIRED: State.EXPIRED, Standing.FAILED: State.FAILED}
FIRST_LOOK_BACK = timedelta(days=1)


@transaction.atomic
def apply(*, order: TopUpOrder, facts: Facts) -> TopUpOrder:
    """Take note of what the provider says of an order. Again is harmless. Returns the order as it stands then.

    Credits what was paid, once, when provider, currency and amount are as ordered; otherwise the order becomes a
    MISMATCH, operators are told, and nothing is credited; so too when the wallet does not take it. Raises
    BillingRefusal when what went back of it cannot be booked.
    """
    order = turns.order_in_turn(order.pk)
    if facts.provider_id != order.provider_id:
        if facts.standing == Standing.PAID and order.state != State.CREDITED:
            _mismatch(order, "It was paid at another provider than it was ordered at.")
        return order
    if facts.session_reference and not order.session_reference:
        _update(order, session_reference=facts.session_reference)
    if facts.standing == Standing.PAID:
        _paid(order, facts)
    elif end := _ENDS.get(facts.standing):
        _end(order, end, facts.why)
    money_back.hear(order=order, facts=facts)
    return order


@transaction.atomic
def credit(order: TopUpOrder, *, paid_minor: int, payment_reference: str) -> None:
    """Bring what was paid into the wallet, once per payment, with the promotion's bonus, less what went back before.

    `order` is one that turns.order_in_turn gave in this transaction. Raises BillingRefusal.
    """
    booked = wallets.credit(
        organisation=order.organisation,
        amount_nano=minor.to_nano(paid_minor, order.currency),
        kind=LedgerTransaction.Kind.TOP_UP,
        idempotency_key=f"topup:{order.provider.slug}:{payment_reference}",
        actor=None,
        reason=f"Top-up {order.reference}, payment {payment_reference} at {order.provider.name}",
    )
    _update(
        order,
        state=State.CREDITED,
        why="",
        payment_reference=payment_reference,
        paid_minor=paid_minor,
        transaction=booked,
        credited_at=clock.now(),
        # Refunds and disputes are asked for too, in case that their news is lost.
        poll_at=clock.now() + FIRST_LOOK_BACK,
        polls=0,
    )
    _give_bonus(order)
    money_back.book_what_went_before(order=order)
    amount = minor.display(paid_minor, order.currency)
    _tell(order, "credited", f"A top-up of {amount} was paid and credited", level=Notice.Level.INFO)


@transaction.atomic
def set_aside(*, order: TopUpOrder, why: str) -> None:
    """Leave an order to a person: it was charged and cannot be booked, or nobody knows whether it was charged.

    It does not fail, because after a failure another order would charge anew.
    """
    order = turns.order_in_turn(order.pk)
    if order.state == State.CREATED:
        _update(order, state=State.MISMATCH, why=why[:300], poll_at=None)
        warn(order, "mismatch", f"waits for a person: {why}")


def _paid(order: TopUpOrder, facts: Facts) -> None:
    if order.state == State.CREDITED:
        if facts.payment_reference != order.payment_reference:
            warn(order, f"twice:{facts.payment_reference}", "was paid twice; give the second payment back")
        return
    why = _objection(order, facts) or _credit(order, facts)
    if why:
        _mismatch(order, why, facts)


def _credit(order: TopUpOrder, facts: Facts) -> str:
    """Credit what was paid as ordered, and keep the means of payment. Returns why not, when the wallet refuses it."""
    try:
        with transaction.atomic():
            credit(order, paid_minor=order.amount_minor, payment_reference=facts.payment_reference)
    except WalletFrozen:
        return "It was paid, but the wallet is frozen."
    except BillingRefusal as refusal:
        return f"It was paid, but cannot be credited: {' '.join(refusal.messages)}"
    if order.saves_method and facts.kept:
        kept_methods.keep(
            order=order,
            customer_reference=facts.kept.customer_reference,
            method_reference=facts.kept.method_reference,
            method_text=facts.kept.text,
        )
    return ""


def _objection(order: TopUpOrder, facts: Facts) -> str:
    """Why a payment is not the one that was ordered; empty when it is."""
    if facts.currency != order.currency:
        return f"It was paid in {facts.currency} and ordered in {order.currency}."
    if order.currency != order.organisation.currency:
        return f"It was paid in {order.currency}; the wallet is in {order.organisation.currency} by now."
    if facts.paid_minor != order.amount_minor:
        paid, ordered = (minor.display(one or 0, order.currency) for one in (facts.paid_minor, order.amount_minor))
        return f"{paid} were paid and {ordered} were ordered."
    if order.state in (State.HELD, State.REJECTED):
        return f"It was paid although it was not released ({order.get_state_display().lower()})."
    if _is_taken(order, facts.payment_reference):
        return "The payment's name is missing, or belongs to another order."
    return ""


def _is_taken(order: TopUpOrder, payment_reference: str) -> bool:
    """Whether another order of its provider has that payment; two providers may name theirs alike."""
    others = TopUpOrder.objects.filter(provider=order.provider_id, payment_reference=payment_reference)
    others = others.exclude(pk=order.pk)
    return not payment_reference or others.exists()


def _mismatch(order: TopUpOrder, why: str, facts: Facts | None = None) -> None:
    """Keep what was paid where a person sees it. What is not in the order's currency cannot be accepted later."""
    known: dict[str, object] = {}
    if facts is not None and not _is_taken(order, facts.payment_reference):
        known["payment_reference"] = facts.payment_reference
        known["paid_minor"] = facts.paid_minor if facts.currency == order.currency else None
    _update(order, state=State.MISMATCH, why=why[:300], poll_at=None, **known)
    warn(order, "mismatch", f"was paid otherwise than ordered: {why}")


def _end(order: TopUpOrder, end: State, why: str) -> None:
    rank = _RANK.get(State(order.state))
    if rank is not None and rank < _RANK[end]:
        _update(order, state=end, why=why[:300], poll_at=None)


def _update(order: TopUpOrder, **values: object) -> None:
    """Write columns, provided that the state is still the one that was read in turn."""
    changed = TopUpOrder.objects.filter(pk=order.pk, state=order.state).update(**values)
    assert changed == 1, "an order was changed out of turn"
    for name, value in values.items():
        setattr(order, name, value)


def _give_bonus(order: TopUpOrder) -> None:
    """A bonus that cannot be given any more does not keep the payment from being credited."""
    if order.promotion is None:
        return
    try:
        with transaction.atomic():
            promotions.apply_to_top_up(order=order)
    except BillingRefusal as refusal:
        _tell(order, "no_bonus", "A top-up came without its bonus", body=" ".join(refusal.messages))


def _tell(
    order: TopUpOrder, once: str, title: str, *, body: str = "", level: Notice.Level = Notice.Level.WARNING
) -> None:
    notices.post(
        once=f"top_up:{order.pk}:{once}",
        kind=f"top_up.{once}",
        title=title,
        body=body,
        level=level,
        audience=Notice.Audience.BILLING,
        organisation=order.organisation,
        link=reverse("portal:top_up_order", args=[order.organisation.slug, order.reference]),
    )


def warn(order: TopUpOrder, once: str, what: str, *, body: str = "") -> None:
    """Tell the operators, once."""
    notices.post(
        once=f"top_up:{order.pk}:{once}"[:200],
        kind=f"top_up.{once.partition(':')[0]}",
        title=f"The top-up {order.reference} of {order.organisation} {what}",
        body=body,
        level=Notice.Level.DANGER,
        audience=Notice.Audience.OPERATORS,
        link=reverse("admin:billing_topuporder_change", args=[order.pk]),
    )
