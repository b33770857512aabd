"""Stripe: Checkout Sessions to pay, PaymentIntents to charge again, events as hints, by its own library."""

import json
from collections.abc import Callable, Mapping
from typing import Any, TypeVar
from urllib.parse import urlsplit

import stripe

from billing.payments import outbound, stripe_amounts, stripe_facts
from billing.payments.refusals import BadNews, Declined, NotConfigured, ProviderAway, ProviderRefused
from billing.payments.seam import (
    CONNECT_TIMEOUT_S,
    READ_TIMEOUT_S,
    Bill,
    Facts,
    News,
    Opened,
    PaymentSeam,
    Pointer,
    Refunded,
)

# Nothing about our machine and our other calls is to be told along.
stripe.enable_telemetry = False

T = TypeVar("T")
TOLERANCE_S = 300
# How names of PaymentIntents begin.
_PAYMENT = "pi_"
_WHOLE = ["latest_charge", "payment_method"]
# Asking again helps. What is not here was understood and will not be.
_AWAY = (stripe.APIConnectionError, stripe.RateLimitError)


class Stripe(PaymentSeam):
    """Everything that changes something carries our reference as its idempotency key."""

    keeps_methods = True
    closes_sessions = True
    refunds_once = True

    def check_amount(self, amount_minor: int) -> None:
        """Some currencies are counted otherwise there, and not every amount can be said."""
        stripe_amounts.to_stripe(amount_minor, self.account.currency)

    def read_news(self, body: bytes, headers: Mapping[str, str]) -> News:
        """An event, signed under one of our webhook secrets within five minutes. Raises NotConfigured, BadNews."""
        keys = [key for key in self.account.webhook_secrets if key.strip()]
        if not keys:
            raise NotConfigured
        if not any(_is_signed(body, headers.get("stripe-signature", ""), key) for key in keys):
            raise BadNews("The signature is missing, wrong or too old.")
        try:
            event = json.loads(body)
            name, kind = event["id"], event["type"]
        except (ValueError, KeyError, TypeError, RecursionError):
            raise BadNews("This is no event.") from None
        if event.get("object") != "event" or not isinstance(name, str) or not isinstance(kind, str):
            raise BadNews("This is no event.")
        return News(event_id=name, kind=kind, payload=event)

    def pointer_of(self, kind: str, payload: Mapping[str, Any]) -> Pointer | None:
        """Sessions, payments, charges, refunds and disputes are about orders; nothing else is."""
        try:
            return stripe_facts.pointer_of(kind, payload["data"]["object"])
        except (KeyError, TypeError, AttributeError):
            raise BadNews("The event is not what Stripe's documentation says.") from None

    def open(self, bill: Bill) -> Opened:
        """A Checkout Session. Asked again under the same reference it is the same one."""
        return self._do(
            lambda client: client.v1.checkout.sessions.create(
                stripe_facts.session_for(bill),  # type: ignore[arg-type]
                {"idempotency_key": bill.reference},
            ),
            _opened,
        )

    def look(self, pointer: Pointer) -> Facts | None:
        """The session or the payment, with what went back of it."""
        session: Mapping[str, Any] = {}
        payment: Mapping[str, Any] = {}
        if pointer.session and not pointer.session.startswith(_PAYMENT):
            expand = ["payment_intent", *(f"payment_intent.{name}" for name in _WHOLE)]
            session = self._do(
                lambda client: client.v1.checkout.sessions.retrieve(pointer.session, {"expand": expand}), _as_it_is
            )
            payment = session.get("payment_intent") or {}
        name = pointer.payment or (pointer.session if not session else "")
        if name and not payment:
            payment = self._do(lambda client: client.v1.payment_intents.retrieve(name, {"expand": _WHOLE}), _as_it_is)
        if not session and not payment:
            return None
        return self._facts(session, payment, went_back=pointer.went_back)

    def refund(self, *, pointer: Pointer, reference: str, amount_minor: int) -> Refunded:
        """A refund of the payment, which carries our reference both as idempotency key and as metadata."""
        asked = {
            "payment_intent": pointer.payment,
            "amount": stripe_amounts.to_stripe(amount_minor, self.account.currency),
            "metadata": {"money_back": reference},
        }
        return self._do(
            lambda client: client.v1.refunds.create(asked, {"idempotency_key": reference}),  # type: ignore[arg-type]
            lambda refund: stripe_facts.refunded(refund, self.account.currency),
        )

    def charge(self, bill: Bill, *, customer_reference: str, method_reference: str) -> Facts:
        """A PaymentIntent, off session and confirmed at once. Raises Declined when the bank does not pay."""
        asked = stripe_facts.payment_for(bill, customer_reference, method_reference)
        options = {"idempotency_key": bill.reference}
        payment = self._do(lambda client: client.v1.payment_intents.create(asked, options), _as_it_is)  # type: ignore[arg-type]
        facts = self._facts({}, payment, went_back=False)
        if facts is None:
            raise ProviderAway("The provider's answer is not what its documentation says.")
        return facts

    def _facts(self, session: Mapping[str, Any], payment: Mapping[str, Any], *, went_back: bool) -> Facts | None:
        charge = payment.get("latest_charge")
        charge = charge if isinstance(charge, dict) else {}
        asked = {"payment_intent": payment.get("id", ""), "limit": stripe_facts.REFUNDS_MAX}
        refunds, disputes = [], []
        if charge.get("amount_refunded") or went_back:
            refunds = self._do(lambda client: client.v1.refunds.list(asked), _rows)  # type: ignore[arg-type]
        if charge.get("disputed") or went_back:
            disputes = self._do(lambda client: client.v1.disputes.list(asked), _rows)  # type: ignore[arg-type]
        try:
            return stripe_facts.facts_of(self.account, session, payment, charge, refunds, disputes)
        except (KeyError, TypeError, ValueError):
            raise ProviderAway("The provider's answer is not what its documentation says.") from None

    def _do(self, ask: Callable[[stripe.StripeClient], Any], read: Callable[[dict[str, Any]], T]) -> T:
        """One exchange. Raises Declined, ProviderAway, ProviderRefused."""
        if not self.account.secret.strip():
            raise ProviderRefused("The secret of our account at the provider is missing.")
        outbound.check(self.account.base_url)
        with outbound.session() as own:
            limits = (CONNECT_TIMEOUT_S, READ_TIMEOUT_S)
            client = stripe.StripeClient(
                self.account.secret,
                base_addresses={"api": self.account.base_url},
                http_client=stripe.RequestsClient(timeout=limits, session=own),
                max_network_retries=0,
            )
            try:
                return read(ask(client).to_dict())
            except stripe.StripeError as error:
                raise _trouble(error) from None
            except (KeyError, TypeError, ValueError):
                raise ProviderAway("The provider's answer is not what its documentation says.") from None


def _trouble(error: stripe.StripeError) -> Exception:
    """Which of ours it is. Stripe's own words are for its merchants; those about the key are left out."""
    status = error.http_status or 0
    if isinstance(error, stripe.CardError):
        return Declined(error.user_message or "The means of payment was declined.", code=error.code or "")
    if isinstance(error, stripe.AuthenticationError | stripe.PermissionError):
        # A key is replaced soon; what waits for it must not fail for good.
        return ProviderAway("The provider does not accept the secret of our account.")
    # 409: the same request is on its way already.
    if isinstance(error, _AWAY) or status >= 500 or status in (0, 409, 429):
        return ProviderAway(f"The provider was out of reach or broken (status {status})." if status else "No answer.")
    return ProviderRefused(f"The provider refused: {(error.user_message or 'no reason given')[:200]}")


def _is_signed(body: bytes, header: str, secret: str) -> bool:
    try:
        return stripe.WebhookSignature.verify_header(body, header, secret, TOLERANCE_S)
    except (stripe.SignatureVerificationError, ValueError):
        return False


def _opened(session: dict[str, Any]) -> Opened:
    """Raises ValueError when there is no page to go to."""
    page = urlsplit(session["url"] if isinstance(session["url"], str) else "")
    if page.scheme not in ("https", "http") or not page.netloc or not isinstance(session["id"], str):
        raise ValueError("no page to pay at")
    return Opened(session["url"], session["id"])


def _as_it_is(found: dict[str, Any]) -> dict[str, Any]:
    return found


def _rows(found: dict[str, Any]) -> list[dict[str, Any]]:
    return list(found["data"])
