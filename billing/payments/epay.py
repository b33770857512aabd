"""The EPay protocol: a signed redirect to pay, a signed GET as news, and a query that tells what is true.

Signatures are MD5 of the sorted parameters with the key behind them, without time and without a nonce. So nothing is
believed because of a signature alone: money is credited by what the order query says.
"""

import hashlib
import hmac
import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl, urlencode

from billing.payments import minor, outbound
from billing.payments.refusals import BadNews, NotConfigured, ProviderAway, ProviderRefused
from billing.payments.seam import (
    Bill,
    Facts,
    News,
    Opened,
    PaymentSeam,
    Pointer,
    Refunded,
    RefundState,
    Standing,
)

_UNSIGNED = ("sign", "sign_type")
_PAID = "TRADE_SUCCESS"
_PARAMETERS_MAX = 40


class EPay(PaymentSeam):
    """EPay asks once more by its own means: the query. It has no idempotency key, no sessions and no kept methods."""

    answer = "success"

    def check_amount(self, amount_minor: int) -> None:
        """Any amount can be written as decimal text."""

    def read_news(self, body: bytes, headers: Mapping[str, str]) -> News:
        """The query string of a notification. Raises NotConfigured, BadNews."""
        keys = [key for key in (self.account.secret, *self.account.webhook_secrets) if key.strip()]
        if not keys or not self.account.account:
            raise NotConfigured
        said = _parameters(body)
        given = said.get("sign", "").lower()
        # Every key is tried in constant time, whichever is the right one.
        if not any([hmac.compare_digest(sign(said, key).encode(), given.encode()) for key in keys]):
            raise BadNews("The signature is not right.")
        if said.get("pid") != self.account.account:
            raise BadNews("The notification is for another account.")
        name = said.get("trade_no") or said.get("out_trade_no")
        if not name or not said.get("out_trade_no"):
            raise BadNews("The notification names no order.")
        payload = {key: value for key, value in said.items() if key != "sign"}
        status = said.get("trade_status", "")
        return News(event_id=f"{name}:{status}", kind=status or "notify", payload=payload)

    def pointer_of(self, kind: str, payload: Mapping[str, Any]) -> Pointer | None:
        """Payments only; the protocol notifies of nothing else."""
        if kind != _PAID:
            return None
        return Pointer(reference=str(payload["out_trade_no"]), payment=str(payload.get("trade_no", "")), says_paid=True)

    def open(self, bill: Bill) -> Opened:
        """A signed address to go to; nothing is asked over the network. Which way to pay is chosen there."""
        asked = {
            "pid": self.account.account,
            "out_trade_no": bill.reference,
            "notify_url": bill.notify_url,
            "return_url": bill.return_url,
            "name": bill.title,
            "money": minor.plain(bill.amount_minor, bill.currency),
        }
        signed = {**asked, "sign": sign(asked, self._key()), "sign_type": "MD5"}
        return Opened(f"{self.account.base_url}/submit.php?{urlencode(signed)}", bill.reference)

    def look(self, pointer: Pointer) -> Facts | None:
        """Ask by our own reference. An order that EPay does not know is one that nobody has gone to pay yet."""
        if not pointer.reference:
            return None
        said = self._ask("order", {"out_trade_no": pointer.reference})
        if str(said.get("code")) != "1":
            return self._facts(pointer.reference, Standing.WAITING, why=str(said.get("msg", ""))[:200])
        return self._read(pointer.reference, said)

    def refund(self, *, pointer: Pointer, reference: str, amount_minor: int) -> Refunded:
        """Ask once. When the answer is lost, only the query can tell whether it happened."""
        asked = {
            "out_trade_no": pointer.reference,
            "trade_no": pointer.payment,
            "money": minor.plain(amount_minor, self.account.currency),
        }
        said = self._ask("refund", asked)
        if str(said.get("code")) != "1":
            raise ProviderRefused(f"The provider refused: {str(said.get('msg', 'it gave no reason'))[:200]}")
        return Refunded(reference, amount_minor, RefundState.DONE, ours=reference)

    def charge(self, bill: Bill, *, customer_reference: str, method_reference: str) -> Facts:
        """EPay keeps no means of payment."""
        raise ProviderRefused("EPay cannot charge a kept means of payment.")

    def _read(self, reference: str, said: Mapping[str, Any]) -> Facts:
        if str(said.get("out_trade_no")) != reference or str(said.get("pid", self.account.account)) != (
            self.account.account
        ):
            raise ProviderAway("The provider told of another order than it was asked for.")
        if str(said.get("status")) not in ("1", "2"):
            return self._facts(reference, Standing.WAITING)
        try:
            paid_minor = minor.parse(str(said["money"]), self.account.currency)
            back = said.get("refundmoney")
            # Status 2 is said of what went back as a whole.
            fallback_minor = paid_minor if str(said["status"]) == "2" else 0
            back_minor = minor.parse(str(back), self.account.currency) if back else fallback_minor
            if not 0 <= back_minor <= paid_minor:
                raise ValueError("more went back than was paid")
            payment = str(said["trade_no"])
        except (KeyError, ValueError):
            raise ProviderAway("The provider's answer is not what its documentation says.") from None
        return self._facts(
            reference,
            Standing.PAID,
            payment_reference=payment,
            paid_minor=paid_minor,
            refunded_minor=back_minor,
            tells_refunds=back not in (None, "") or str(said["status"]) == "2",
        )

    def _facts(self, reference: str, standing: Standing, **more: Any) -> Facts:
        return Facts(
            provider_id=self.account.provider_id,
            reference=reference,
            standing=standing,
            currency=self.account.currency,
            session_reference=reference,
            **more,
        )

    def _ask(self, act: str, more: Mapping[str, str]) -> Mapping[str, Any]:
        query = {"act": act, "pid": self.account.account, "key": self._key(), **more}
        try:
            said = json.loads(outbound.get(f"{self.account.base_url}/api.php", query=query), parse_float=str)
        except ValueError:
            raise ProviderAway("The provider's answer is no JSON.") from None
        if not isinstance(said, dict):
            raise ProviderAway("The provider's answer is not what its documentation says.")
        return said

    def _key(self) -> str:
        if not self.account.secret.strip():
            raise ProviderRefused("The secret of our account at the provider is missing.")
        return self.account.secret


def sign(parameters: Mapping[str, str], key: str) -> str:
    """MD5, in small hexadecimal letters, of `a=1&b=2…key`: sorted, without empty values, not URL-encoded."""
    said = "&".join(f"{name}={value}" for name, value in sorted(parameters.items()) if value and name not in _UNSIGNED)
    return hashlib.md5(f"{said}{key}".encode(), usedforsecurity=False).hexdigest()


def _parameters(body: bytes) -> dict[str, str]:
    """Each parameter once. Raises BadNews."""
    try:
        pairs = parse_qsl(
            body.decode("ascii"),
            keep_blank_values=True,
            strict_parsing=True,
            max_num_fields=_PARAMETERS_MAX,
            errors="strict",
        )
    except ValueError:
        raise BadNews("This is no notification.") from None
    said = dict(pairs)
    # Said twice, a parameter could be signed in one meaning and read in the other.
    if len(said) != len(pairs):
        raise BadNews("A parameter is given twice.")
    return said
