"""An EPay of our own: signed redirects, signed GETs as news, queries, refunds. Misbehaves on demand."""

import copy
import hashlib
import itertools
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from tests.payments.fake_server import FakeServer

PID, KEY = "1001", "epay_canary_key_987654"
Trade = dict[str, Any]


def signed(parameters: dict[str, str], key: str = KEY) -> str:
    """A query string with its signature, by the protocol's own words."""
    names = sorted(name for name in parameters if parameters[name] != "")
    text = "&".join(f"{name}={parameters[name]}" for name in names) + key
    return urlencode({**parameters, "sign": hashlib.md5(text.encode()).hexdigest(), "sign_type": "MD5"})


class FakeEPay(FakeServer):
    def __init__(self) -> None:
        super().__init__()
        self.trades: dict[str, Trade] = {}
        self.shown: dict[str, Trade] | None = None
        self.tells_refunds = True
        self._numbers = itertools.count(20260001)

    # ---- what the payer does

    def visit(self, url: str) -> Trade:
        """Follow the redirect. A wrong signature or a foreign account is turned away."""
        parts = urlsplit(url)
        asked = dict(parse_qsl(parts.query))
        assert parts.path == "/submit.php", parts.path
        assert asked["pid"] == PID and asked["sign_type"] == "MD5"
        said = {name: value for name, value in asked.items() if name not in ("sign", "sign_type")}
        assert signed(said).split("sign=")[1].split("&")[0] == asked["sign"], "EPay refuses the signature"
        trade = {**said, "trade_no": str(next(self._numbers)), "type": "alipay", "status": 0, "back": Decimal(0)}
        return self.trades.setdefault(asked["out_trade_no"], trade)

    def pay(self, reference: str, *, money: str | None = None) -> str:
        """Pay, or pay something else; gives the notification's query string."""
        trade = self.trades[reference]
        trade.update(status=1, money=money or trade["money"])
        return self.notify(reference)

    def refund_there(self, reference: str, money: str) -> None:
        """Somebody refunds on EPay's own pages, of which nobody is notified."""
        self.trades[reference]["back"] += Decimal(money)

    def notify(self, reference: str, *, key: str = KEY, **other: str) -> str:
        """A notification, whatever is true."""
        trade = self.trades[reference]
        names = ("trade_no", "out_trade_no", "type", "name", "money")
        said = {"pid": PID, **{name: str(trade[name]) for name in names}, "trade_status": "TRADE_SUCCESS"}
        return signed({**said, **other}, key)

    def remember(self) -> dict[str, Trade]:
        """Every trade as it is now; put into `shown`, questions are answered as of that moment."""
        return copy.deepcopy(self.trades)

    # ---- the interface

    def respond(self, method: str, path: str, query: Any, form: Any, headers: Any) -> dict[str, Any]:
        asked = dict(query)
        if path != "/api.php" or asked.get("pid") != PID or asked.get("key") != KEY:
            return {"code": -3, "msg": "pid or key is wrong"}
        trades = self.trades if self.shown is None else self.shown
        trade = trades.get(asked["out_trade_no"])
        if trade is None:
            return {"code": -1, "msg": "no such order"}
        return self._refund(trade, asked) if asked["act"] == "refund" else self._told(trade)

    def _told(self, trade: Trade) -> dict[str, Any]:
        names = ("trade_no", "out_trade_no", "type", "name", "money", "status")
        told = {"code": 1, "msg": "ok", "pid": int(PID), **{name: trade[name] for name in names}}
        return {**told, "refundmoney": str(trade["back"])} if self.tells_refunds else told

    def _refund(self, trade: Trade, asked: dict[str, str]) -> dict[str, Any]:
        """Each asking refunds anew: there is no idempotency key."""
        if trade["status"] != 1 or trade["back"] + Decimal(asked["money"]) > Decimal(trade["money"]):
            return {"code": -1, "msg": "more than was paid"}
        trade["back"] += Decimal(asked["money"])
        return {"code": 1, "msg": "ok"}
