"""A top-up from the request to the ledger and back: everything that happened to an order, in the order of time."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Model
from django.http import HttpRequest

from accounts.admin.pages import object_url
from accounts.models import AuditEvent
from billing.models import LedgerTransaction, MoneyBack, PaymentEvent, TopUpOrder
from billing.payments import minor
from newapi.kernel import money

State = TopUpOrder.State
STATE_TONES = {
    State.HELD: "warning",
    State.REJECTED: "danger",
    State.CREATED: "info",
    State.OPEN: "info",
    State.EXPIRED: None,
    State.FAILED: "danger",
    State.MISMATCH: "danger",
    State.CREDITED: "success",
}
EVENT_TONES = {
    PaymentEvent.State.WAITING: "info",
    PaymentEvent.State.DONE: "success",
    PaymentEvent.State.REVIEW: "danger",
}
BACK_TONES = {
    MoneyBack.State.ASKED: "info",
    MoneyBack.State.DONE: "warning",
    MoneyBack.State.FAILED: "danger",
    MoneyBack.State.WON: "success",
}
# As many acts on one order, and as many events of it, as its page shows: the newest.
EVENTS_MAX = 100


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that happened. `url` leads to its own page, for those who may see that; `lines` say more."""

    at: datetime
    what: str
    tone: str = "info"
    detail: str = ""
    url: str = ""
    lines: tuple[str, ...] = ()


def steps_of(request: HttpRequest, order: TopUpOrder) -> list[Step]:
    """Everything that is known of an order, oldest first."""
    found = [
        *_ordered(order),
        *_acts(order),
        *_events(request, order),
        *_credit(request, order),
        *_back(request, order),
    ]
    return sorted(found, key=lambda step: step.at)


def _ordered(order: TopUpOrder) -> Iterator[Step]:
    amount = minor.display(order.amount_minor, order.currency)
    who = "automatically" if order.kind == TopUpOrder.Kind.AUTOMATIC else f"by {order.user}"
    lines = [f"Purpose: {order.get_purpose_display()}"]
    if order.promotion:
        lines.append(f"Promotion: {order.promotion}, {order.promotion.bonus_percent} % more")
    if order.session_reference:
        lines.append(f"At the provider: {order.session_reference}")
    yield Step(order.created_at, "Ordered", detail=f"{amount} at {order.provider}, {who}", lines=tuple(lines))
    if order.agreement:
        words = f"Version {order.agreement.agreement.version}, by {order.agreement.user}"
        yield Step(order.agreement.at, "Recharge agreement accepted", "success", words)
    if order.state == State.EXPIRED:
        yield Step(order.expires_at, "Expired", "danger", order.why)


def _acts(order: TopUpOrder) -> Iterator[Step]:
    """What people did to it, as the audit record has it."""
    acts = AuditEvent.objects.filter(object_type=order._meta.label_lower, object_id=str(order.pk))
    for event in acts.select_related("actor").order_by("-pk")[:EVENTS_MAX]:
        verb = event.action.rpartition(".")[2].replace("_", " ").capitalize()
        yield Step(event.at, verb, "warning", f"by {event.actor or 'the platform'}: {event.reason}")


def _events(request: HttpRequest, order: TopUpOrder) -> Iterator[Step]:
    for event in order.events.order_by("-id")[:EVENTS_MAX]:
        state = f"{event.get_state_display()}{f': {event.error}' if event.error else ''}"
        yield Step(
            event.received_at,
            f"News: {event.kind}",
            EVENT_TONES[PaymentEvent.State(event.state)],
            state,
            url=_url(request, event),
            lines=(event.event_id,),
        )


def _credit(request: HttpRequest, order: TopUpOrder) -> Iterator[Step]:
    if order.transaction is None or order.credited_at is None:
        return
    paid = minor.display(order.paid_minor or order.amount_minor, order.currency)
    named = f" as {order.payment_reference}" if order.payment_reference else ""
    yield Step(
        order.credited_at,
        "Paid and credited",
        "success",
        f"{paid}{named}",
        url=_url(request, order.transaction),
        lines=_transfers(order.transaction),
    )


def _back(request: HttpRequest, order: TopUpOrder) -> Iterator[Step]:
    rows = order.money_back.select_related("requested_by", "transaction", "undone").order_by("pk")
    for back in rows:
        amount = minor.display(back.amount_minor, order.currency)
        ground = f", {back.get_ground_display().lower()}" if back.ground else ""
        state = f"{back.get_state_display()}{f': {back.why}' if back.why else ''}"
        lines = _transfers(back.transaction) if back.transaction else ()
        yield Step(
            back.created_at,
            f"{back.get_kind_display()}: {amount}",
            BACK_TONES[MoneyBack.State(back.state)] or "info",
            f"{state}{ground}",
            url=_url(request, back),
            lines=lines,
        )
        if back.undone:
            yield Step(
                back.undone.booked_at,
                "Given back to the wallet",
                "success",
                url=_url(request, back.undone),
                lines=_transfers(back.undone),
            )


def _transfers(booked: LedgerTransaction) -> tuple[str, ...]:
    """The ledger's lines of a transaction."""
    rows: Any = booked.transfers.select_related("debit_account__organisation", "credit_account__organisation")
    return tuple(
        f"{row.debit_account} → {row.credit_account}: {money.display(row.amount_nano, row.debit_account.currency)}"
        for row in rows.order_by("pk")[:EVENTS_MAX]
    )


def _url(request: HttpRequest, obj: Model) -> str:
    """Its page, for those who may see it."""
    may = request.user.has_perm(f"{obj._meta.app_label}.view_{obj._meta.model_name}")
    return object_url(obj) if may else ""
