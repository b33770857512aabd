"""Stripe's objects, as plain dictionaries, and what they say in our terms. Pure functions."""

from collections.abc import Mapping, Sequence
from typing import Any

from billing.payments.seam import (
    Account,
    Bill,
    Disputed,
    DisputeState,
    Facts,
    Kept,
    Pointer,
    Refunded,
    RefundState,
    Standing,
)
from billing.payments.stripe_amounts import from_stripe, to_stripe
from newapi.kernel import clock

# Metadata: our reference, and whether we charged by ourselves.
ORDER = "top_up_order"
CHARGED_BY_US = "automatic"
# As many rows as Stripe gives of a list at once.
REFUNDS_MAX = 100
_REFUNDS = {
    "succeeded": RefundState.DONE,
    "failed": RefundState.FAILED,
    "canceled": RefundState.FAILED,
}
# What merely warns takes no money.
_DISPUTES = {
    "needs_response": DisputeState.OPEN,
    "under_review": DisputeState.OPEN,
    "lost": DisputeState.LOST,
    "won": DisputeState.WON,
}


def session_for(bill: Bill) -> dict[str, Any]:
    """What a Checkout Session is asked with. The same for the same bill, as an idempotency key demands."""
    metadata = {ORDER: bill.reference}
    price = {
        "currency": bill.currency.lower(),
        "unit_amount": to_stripe(bill.amount_minor, bill.currency),
        "product_data": {"name": bill.title},
    }
    asked: dict[str, Any] = {
        "mode": "payment",
        "client_reference_id": bill.reference,
        "metadata": metadata,
        "line_items": [{"price_data": price, "quantity": 1}],
        "payment_intent_data": {"metadata": metadata},
        "success_url": bill.return_url,
        "cancel_url": bill.return_url,
        "expires_at": clock.to_ms(bill.expires_at) // 1000,
    }
    if bill.email:
        asked["customer_email"] = bill.email
    if bill.saves_method:
        asked["customer_creation"] = "always"
        asked["payment_intent_data"]["setup_future_usage"] = "off_session"
    return asked


def payment_for(bill: Bill, customer_reference: str, method_reference: str) -> dict[str, Any]:
    """What a PaymentIntent on a kept means of payment is asked with."""
    return {
        "amount": to_stripe(bill.amount_minor, bill.currency),
        "currency": bill.currency.lower(),
        "customer": customer_reference,
        "payment_method": method_reference,
        "off_session": True,
        "confirm": True,
        "description": bill.title,
        "metadata": {ORDER: bill.reference, CHARGED_BY_US: "yes"},
    }


def pointer_of(kind: str, about: Mapping[str, Any]) -> Pointer | None:
    """Which order an event's object is about; None for kinds of events that say nothing of orders."""
    family = kind.partition(".")[0]
    reference = (about.get("metadata") or {}).get(ORDER, "")
    if kind.startswith("checkout.session."):
        return Pointer(
            reference=about.get("client_reference_id") or reference,
            session=about["id"],
            payment=_id_of(about.get("payment_intent")),
            says_paid=about.get("payment_status") == "paid",
        )
    if family == "payment_intent":
        return Pointer(reference=reference, payment=about["id"], says_paid=kind == "payment_intent.succeeded")
    if family in ("charge", "refund"):
        payment = _id_of(about.get("payment_intent"))
        went_back = family == "refund" or kind.startswith(("charge.refund", "charge.dispute"))
        # A charge without a payment intent was not made by us.
        return Pointer(reference=reference, payment=payment, went_back=went_back) if payment else None
    return None


def facts_of(
    account: Account,
    session: Mapping[str, Any],
    payment: Mapping[str, Any],
    charge: Mapping[str, Any],
    refunds: Sequence[Mapping[str, Any]],
    disputes: Sequence[Mapping[str, Any]],
) -> Facts | None:
    """What all of them say together; None when they carry no reference of ours."""
    reference = session.get("client_reference_id") or (payment.get("metadata") or {}).get(ORDER)
    if not reference:
        return None
    currency = str(session.get("currency") or payment["currency"]).upper()
    _check_lists(charge, refunds, disputes)
    standing = _standing_of_session(session, payment) if session else _standing_of_payment(payment)
    # What we charged by ourselves has no session; it goes by the payment's name from the start.
    by_us = (payment.get("metadata") or {}).get(CHARGED_BY_US)
    paid_minor = None
    if standing == Standing.PAID:
        told = session["amount_total"] if session else payment["amount_received"]
        paid_minor = from_stripe(told, currency)
    return Facts(
        provider_id=account.provider_id,
        reference=reference,
        standing=standing,
        currency=currency,
        session_reference=session.get("id", "") or (payment["id"] if by_us else ""),
        payment_reference=payment.get("id", "") if standing == Standing.PAID else "",
        paid_minor=paid_minor,
        refunded_minor=from_stripe(charge.get("amount_refunded") or 0, currency),
        refunds=tuple(refunded(refund, currency) for refund in refunds),
        disputes=tuple(_disputed(found, currency) for found in disputes if found["status"] in _DISPUTES),
        kept=_kept(payment) if standing == Standing.PAID else None,
        why=_why(payment) if standing == Standing.FAILED else "",
    )


def _check_lists(
    charge: Mapping[str, Any], refunds: Sequence[Mapping[str, Any]], disputes: Sequence[Mapping[str, Any]]
) -> None:
    """Raise ValueError when the charge knows of more than is listed: the lists are behind, and will tell it later.

    Booked by its sum now, it would be booked once more under its name then.
    """
    listed = sum(refund["amount"] for refund in refunds if _REFUNDS.get(refund["status"]) != RefundState.FAILED)
    is_whole = len(refunds) < REFUNDS_MAX
    if (is_whole and listed < (charge.get("amount_refunded") or 0)) or (charge.get("disputed") and not disputes):
        raise ValueError("the lists are behind")


def refunded(refund: Mapping[str, Any], currency: str) -> Refunded:
    """A refund. Raises ValueError when it is in another currency."""
    if str(refund["currency"]).upper() != currency:
        raise ValueError("another currency")
    return Refunded(
        reference=refund["id"],
        amount_minor=from_stripe(refund["amount"], currency),
        state=_REFUNDS.get(refund["status"], RefundState.PENDING),
        ours=(refund.get("metadata") or {}).get("money_back", ""),
        why=refund.get("failure_reason") or "",
    )


def _disputed(dispute: Mapping[str, Any], currency: str) -> Disputed:
    if str(dispute["currency"]).upper() != currency:
        raise ValueError("another currency")
    state = _DISPUTES[dispute["status"]]
    return Disputed(dispute["id"], from_stripe(dispute["amount"], currency), state, why=dispute.get("reason") or "")


def _standing_of_session(session: Mapping[str, Any], payment: Mapping[str, Any]) -> Standing:
    if session["payment_status"] == "paid":
        return Standing.PAID
    if session["status"] == "expired":
        return Standing.EXPIRED
    if session["status"] == "complete":
        failed = payment.get("status") in ("requires_payment_method", "canceled")
        return Standing.FAILED if failed else Standing.UNDERWAY
    return Standing.WAITING


def _standing_of_payment(payment: Mapping[str, Any]) -> Standing:
    status = payment["status"]
    if status == "succeeded":
        return Standing.PAID
    if status == "processing":
        return Standing.UNDERWAY
    # On a checkout page people may try another card; nobody is there when we charge by ourselves.
    if status == "canceled" or (payment.get("metadata") or {}).get(CHARGED_BY_US):
        return Standing.FAILED
    return Standing.WAITING


def _kept(payment: Mapping[str, Any]) -> Kept | None:
    customer, method = payment.get("customer"), payment.get("payment_method")
    if not customer or not method or payment.get("setup_future_usage") != "off_session":
        return None
    card = (method.get("card") or {}) if isinstance(method, dict) else {}
    kind = method.get("type", "") if isinstance(method, dict) else ""
    text = f"{card.get('brand', '')} •••• {card.get('last4', '')}" if card else str(kind)
    return Kept(_id_of(customer), _id_of(method), text)


def _why(payment: Mapping[str, Any]) -> str:
    error = payment.get("last_payment_error") or {}
    return str(error.get("message") or "The payment was not completed.")[:300]


def _id_of(found: Any) -> str:
    return found["id"] if isinstance(found, dict) else found or ""
