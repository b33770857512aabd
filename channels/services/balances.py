"""What providers say is left of our money with them. Kept exactly, as they said it; a failure keeps the last word."""

import json
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Context, Decimal, InvalidOperation
from typing import Any
from urllib.parse import urlsplit

from django.db.models import F, Q

from channels.models import Channel
from channels.services import exchange
from channels.services.exchange import NoAnswer
from newapi.kernel import clock
from newapi.kernel.money import NANO

log = logging.getLogger(__name__)

# No reading begins later than this in a run.
RUN_S_MAX = 120
NANO_MAX = 2**63 - 1
# Enough digits that sums of what JSON can say are exact, and rounded once.
_EXACT = Context(prec=100, rounding=ROUND_HALF_EVEN)


@dataclass(frozen=True, slots=True)
class Balance:
    """What is left, in nano-units of a currency."""

    nano: int
    currency: str


@dataclass(frozen=True, slots=True)
class Source:
    """Where a provider tells, and how to read it. `read` may raise anything that wrong JSON can cause."""

    url: Callable[[str], str]
    read: Callable[[Any], Balance]


def read(*, channel: Channel) -> Balance:
    """Ask a channel's provider with its first active key, and keep the answer. Raises NoAnswer with the reason."""
    source = SOURCES.get(channel.balance_source)
    if source is None:
        raise NoAnswer("the provider does not tell balances, or none is chosen as the source.", was_asked=False)
    asked_at = clock.now()
    secret = exchange.secret_of(exchange.first_key(channel))
    headers = {"Authorization": f"Bearer {secret}", "Accept": "application/json"}
    answer = exchange.send(channel, source.url(channel.base_url.rstrip("/")), headers=headers)
    if answer.status != 200:
        raise NoAnswer(f"the provider answered with status {answer.status}.")
    try:
        balance = source.read(json.loads(answer.body, parse_float=Decimal, parse_int=Decimal))
    except (ValueError, KeyError, IndexError, TypeError, ArithmeticError):
        raise NoAnswer("the provider's answer is not what its documentation says.") from None
    # An answer that was overtaken by a newer one is dropped.
    older = Q(balance_at=None) | Q(balance_at__lte=asked_at)
    Channel.objects.filter(older, pk=channel.pk, balance_source=channel.balance_source).update(
        balance_nano=balance.nano, balance_currency=balance.currency, balance_at=asked_at
    )
    return balance


def read_all(*, limit: int = 100) -> int:
    """Read the balances of enabled channels, the oldest first. Returns how many were read."""
    deadline = time.monotonic() + RUN_S_MAX
    channels = Channel.objects.filter(status=Channel.Status.ENABLED).exclude(balance_source=Channel.BalanceSource.NONE)
    done = 0
    for channel in channels.order_by(F("balance_at").asc(nulls_first=True), "pk")[:limit]:
        if time.monotonic() > deadline:
            break
        try:
            read(channel=channel)
            done += 1
        except NoAnswer as error:
            log.warning("balance of channel %s not read: %s", channel.pk, error)
    return done


def _nano(amount: Any) -> int:
    """The nano-units of a decimal text or number; what lies beyond nine decimals is rounded half-even."""
    if not isinstance(amount, str | Decimal):
        raise ValueError("not an amount")
    try:
        value = Decimal(amount)
    except InvalidOperation:
        raise ValueError("not a number") from None
    if not value.is_finite() or value.adjusted() > 12:
        raise ValueError("not an amount")
    nano = int(_EXACT.multiply(value, Decimal(NANO)).to_integral_value(ROUND_HALF_EVEN, _EXACT))
    if abs(nano) > NANO_MAX:
        raise ValueError("not an amount")
    return nano


def _currency(text: Any) -> str:
    if not isinstance(text, str) or len(text) != 3 or not text.isascii() or not text.isalpha():
        raise ValueError("not a currency")
    return text.upper()


def _read_deepseek(answer: Any) -> Balance:
    """{"balance_infos": [{"currency": "CNY", "total_balance": "110.00"}, …]}: the first with money, or the first."""
    found = [Balance(_nano(info["total_balance"]), _currency(info["currency"])) for info in answer["balance_infos"]]
    return next((balance for balance in found if balance.nano > 0), found[0])


def _read_openrouter(answer: Any) -> Balance:
    """{"data": {"total_credits": 1.5, "total_usage": 0.3}}, in US dollars."""
    credits, usage = answer["data"]["total_credits"], answer["data"]["total_usage"]
    if not isinstance(credits, Decimal) or not isinstance(usage, Decimal):
        raise ValueError("not a number")
    return Balance(_nano(_EXACT.subtract(credits, usage)), "USD")


def _origin(base_url: str) -> str:
    parts = urlsplit(base_url)
    return f"{parts.scheme}://{parts.netloc}"


SOURCES: dict[str, Source] = {
    Channel.BalanceSource.DEEPSEEK: Source(lambda base_url: f"{_origin(base_url)}/user/balance", _read_deepseek),
    Channel.BalanceSource.OPENROUTER: Source(lambda base_url: f"{base_url}/credits", _read_openrouter),
}
