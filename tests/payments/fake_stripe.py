"""A Stripe of our own: Checkout Sessions, PaymentIntents, refunds, disputes, signed events. Keeps state, misbehaves.

People act by its methods (`pay`, `dispute`, …), each of which leaves an event behind; a test delivers those as it
likes: twice, late, in any order. `serve` lets its answers lag behind, as a replica's would.
"""

import copy
import hashlib
import hmac
import itertools
import json
import time
from typing import Any

from newapi.kernel import clock
from tests.payments.fake_server import FakeServer, Wrong

SECRET = "sk_test_canary_1234567890"
WEBHOOK_SECRET = "whsec_canary_abcdef"
Thing = dict[str, Any]


class FakeStripe(FakeServer):
    def __init__(self) -> None:
        super().__init__()
        self.things: dict[str, Thing] = {}
        self.shown: dict[str, Thing] | None = None
        self.answered: dict[str, tuple[str, Thing]] = {}
        self.decline_next = ""
        self.customers = itertools.count(1)
        self._numbers = itertools.count(1)

    # ---- what people and banks do; each gives the event that tells of it

    def session_of(self, reference: str) -> Thing:
        return next(thing for thing in self.things.values() if thing.get("client_reference_id") == reference)

    def created(self, reference: str) -> Thing:
        session = self.session_of(reference)
        intent = self._intent_of(session)
        return self._event("payment_intent.created", intent)

    def pay(self, reference: str, *, amount: int | None = None, currency: str | None = None) -> Thing:
        """Pay at once, by card; or something else than was asked."""
        session = self.session_of(reference)
        session["status"] = "complete"
        self._paid(session, amount, currency)
        return self._event("checkout.session.completed", session)

    def complete_unpaid(self, reference: str) -> Thing:
        """Order a bank transfer, which takes days."""
        session = self.session_of(reference)
        session["status"] = "complete"
        self._intent_of(session)["status"] = "processing"
        return self._event("checkout.session.completed", session)

    def arrive(self, reference: str) -> Thing:
        """The bank transfer arrives."""
        session = self.session_of(reference)
        self._paid(session, None, None)
        return self._event("checkout.session.async_payment_succeeded", session)

    def bounce(self, reference: str) -> Thing:
        """The bank transfer does not."""
        session = self.session_of(reference)
        intent = self._intent_of(session)
        intent.update(status="requires_payment_method", last_payment_error={"message": "The bank refused."})
        return self._event("checkout.session.async_payment_failed", session)

    def expire(self, reference: str) -> Thing:
        session = self.session_of(reference)
        session["status"] = "expired"
        return self._event("checkout.session.expired", session)

    def refund_there(self, payment: str, amount: int, status: str = "succeeded", **metadata: str) -> Thing:
        """Somebody refunds on Stripe's own pages."""
        refund = self._refund(payment, amount, status, metadata)
        return self._event("refund.created", refund)

    def change_refund(self, refund_id: str, status: str) -> Thing:
        refund = self.things[refund_id]
        if status == "failed" and refund["status"] != "failed":
            self._charge(refund["payment_intent"])["amount_refunded"] -= refund["amount"]
            refund["failure_reason"] = "lost_or_stolen_card"
        refund["status"] = status
        return self._event("refund.updated", refund)

    def dispute(self, payment: str, amount: int, status: str = "needs_response") -> Thing:
        intent = self.things[payment]
        self._charge(payment)["disputed"] = True
        dispute = self._make(
            "dp", "dispute", payment_intent=payment, amount=amount, currency=intent["currency"], status=status,
            reason="fraudulent",
        )  # fmt: skip
        return self._event("charge.dispute.created", dispute)

    def decide(self, dispute_id: str, status: str) -> Thing:
        self.things[dispute_id]["status"] = status
        return self._event("charge.dispute.closed", self.things[dispute_id])

    def payment_of(self, reference: str) -> str:
        return self.session_of(reference)["payment_intent"]

    # ---- telling us

    def sign(
        self, event: Thing | bytes, *, secret: str = WEBHOOK_SECRET, age_s: int = 0
    ) -> tuple[bytes, dict[str, str]]:
        """The body and the header of one delivery. Bytes are sent as they are."""
        body = event if isinstance(event, bytes) else json.dumps(event).encode()
        at = int(time.time()) - age_s
        signature = hmac.new(secret.encode(), b"%d." % at + body, hashlib.sha256).hexdigest()
        return body, {"stripe-signature": f"t={at},v1={signature}"}

    def again(self, event: Thing) -> Thing:
        """The same news under another name, as happens when a webhook is set up twice."""
        return {**copy.deepcopy(event), "id": f"evt_{next(self._numbers)}"}

    def remember(self) -> dict[str, Thing]:
        """Everything as it is now, for `serve`."""
        return copy.deepcopy(self.things)

    def serve(self, moment: dict[str, Thing] | None) -> None:
        """Answer questions as of that moment; None: as it is."""
        self.shown = moment

    # ---- the interface

    def respond(self, method: str, path: str, query: Any, form: Any, headers: Any) -> Thing:
        if headers.get("Authorization") != f"Bearer {SECRET}":
            raise Wrong(401, {"error": {"message": "Invalid API Key provided", "type": "invalid_request_error"}})
        assert "X-Stripe-Client-Telemetry" not in headers
        if method == "POST":
            return self._once(path, _nested(form), headers["Idempotency-Key"])
        asked = dict(query)
        expand = [value for name, value in query if name.startswith("expand")]
        *_, kind, name = path.split("/")
        if name in ("refunds", "disputes"):
            wanted = {"refunds": "refund", "disputes": "dispute"}[name]
            rows = [
                thing
                for thing in self._seen().values()
                if thing["object"] == wanted and thing["payment_intent"] == asked["payment_intent"]
            ]
            return {"object": "list", "data": rows, "has_more": False, "url": path}
        found = self._seen().get(name)
        if found is None:
            raise Wrong(404, {"error": {"message": f"No such {kind}", "type": "invalid_request_error"}})
        return self._expanded(found, expand)

    def _once(self, path: str, asked: Thing, key: str) -> Thing:
        said = json.dumps([path, asked], sort_keys=True)
        if key in self.answered:
            before, answer = self.answered[key]
            if before != said:
                raise Wrong(400, {"error": {"message": "Keys for idempotent requests", "type": "idempotency_error"}})
            return answer
        makers = {
            "/v1/checkout/sessions": self._new_session,
            "/v1/payment_intents": self._new_payment,
            "/v1/refunds": self._new_refund,
        }
        answer = copy.deepcopy(makers[path](asked))
        self.answered[key] = (said, answer)
        return answer

    def _new_session(self, asked: Thing) -> Thing:
        assert asked["mode"] == "payment"
        price = asked["line_items"][0]["price_data"]
        seconds_left = int(asked["expires_at"]) - clock.now_ms() / 1000
        assert 30 * 60 <= seconds_left <= 24 * 3600, "Stripe refuses such an expiry"
        customer = f"cus_{next(self.customers)}" if asked.get("customer_creation") == "always" else None
        intent = self._make(
            "pi", "payment_intent", amount=int(price["unit_amount"]), currency=price["currency"], amount_received=0,
            status="requires_payment_method", metadata=asked["payment_intent_data"]["metadata"], latest_charge=None,
            customer=customer, payment_method=None,
            setup_future_usage=asked["payment_intent_data"].get("setup_future_usage"),
        )  # fmt: skip
        session = self._make(
            "cs", "checkout.session", client_reference_id=asked["client_reference_id"], metadata=asked["metadata"],
            amount_total=int(price["unit_amount"]), currency=price["currency"], status="open",
            payment_status="unpaid", payment_intent=intent["id"], success_url=asked["success_url"],
            customer_email=asked.get("customer_email"),
        )  # fmt: skip
        session["url"] = f"https://checkout.stripe.test/c/{session['id']}"
        return session

    def _new_payment(self, asked: Thing) -> Thing:
        intent = self._make(
            "pi", "payment_intent", amount=int(asked["amount"]), currency=asked["currency"], amount_received=0,
            status="processing", metadata=asked["metadata"], latest_charge=None, customer=asked["customer"],
            payment_method=asked["payment_method"], setup_future_usage=None,
        )  # fmt: skip
        if self.decline_next:
            code, self.decline_next = self.decline_next, ""
            intent["status"] = "requires_payment_method"
            error = {"type": "card_error", "code": "card_declined", "decline_code": code}
            raise Wrong(402, {"error": {**error, "message": f"Your card was declined: {code}."}})
        if not asked["payment_method"].endswith("slow"):
            self._receive(intent, intent["amount"])
        return intent

    def _new_refund(self, asked: Thing) -> Thing:
        payment, amount = asked["payment_intent"], int(asked["amount"])
        left = self.things[payment]["amount_received"] - self._charge(payment)["amount_refunded"]
        if amount > left:
            raise Wrong(400, {"error": {"message": "Refund is greater than charge", "type": "invalid_request_error"}})
        return self._refund(payment, amount, self.refund_status, asked["metadata"])

    refund_status = "succeeded"

    def _refund(self, payment: str, amount: int, status: str, metadata: Thing) -> Thing:
        self._charge(payment)["amount_refunded"] += amount
        currency = self.things[payment]["currency"]
        return self._make(
            "re", "refund", payment_intent=payment, amount=amount, currency=currency, status=status, metadata=metadata,
            failure_reason=None,
        )  # fmt: skip

    def _paid(self, session: Thing, amount: int | None, currency: str | None) -> None:
        session["payment_status"] = "paid"
        session["amount_total"] = session["amount_total"] if amount is None else amount
        session["currency"] = currency or session["currency"]
        intent = self._intent_of(session)
        intent["currency"] = session["currency"]
        method = self._make("pm", "payment_method", type="card", card={"brand": "visa", "last4": "4242"})
        intent["payment_method"] = method["id"]
        self._receive(intent, session["amount_total"])

    def _receive(self, intent: Thing, amount: int) -> None:
        charge = self._make("ch", "charge", payment_intent=intent["id"], amount_refunded=0, disputed=False)
        intent.update(status="succeeded", amount_received=amount, latest_charge=charge["id"])

    def _make(self, prefix: str, kind: str, **fields: Any) -> Thing:
        thing = {"id": f"{prefix}_{next(self._numbers)}", "object": kind, **fields}
        self.things[thing["id"]] = thing
        return thing

    def _event(self, kind: str, about: Thing) -> Thing:
        data = {"object": copy.deepcopy(about)}
        return {"id": f"evt_{next(self._numbers)}", "object": "event", "type": kind, "data": data}

    def _intent_of(self, session: Thing) -> Thing:
        return self.things[session["payment_intent"]]

    def _charge(self, payment: str) -> Thing:
        return self.things[self.things[payment]["latest_charge"]]

    def _seen(self) -> dict[str, Thing]:
        return self.things if self.shown is None else self.shown

    def _expanded(self, thing: Thing, paths: list[str]) -> Thing:
        thing = dict(thing)
        for name in {path.partition(".")[0] for path in paths}:
            inner = [path.partition(".")[2] for path in paths if path.startswith(f"{name}.")]
            if thing.get(name) in self._seen():
                thing[name] = self._expanded(self._seen()[thing[name]], inner)
        return thing


def _nested(form: list[tuple[str, str]]) -> Thing:
    """Stripe's brackets: `a[b]=1` and `a[0][b]=1` as dictionaries, whole numbers as keys of lists."""
    found: Thing = {}
    for name, value in form:
        *path, last = name.replace("]", "").split("[")
        at: Any = found
        for part in path:
            at = at.setdefault(int(part) if part.isdigit() else part, {})
        at[int(last) if last.isdigit() else last] = value
    return found
