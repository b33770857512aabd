"""The seam to payment providers: what we ask of each, and the plain values that go to and fro. No database here.

A provider's adapter is a subclass of PaymentSeam, chosen by the provider's protocol in billing.payments.registry. All
amounts are in minor units as ISO 4217 counts them (billing.payments.minor); an adapter converts where its provider
counts otherwise. Whatever goes over the network is bounded in time and raises ProviderAway or ProviderRefused, whose
words are for people and hold no secret.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

CONNECT_TIMEOUT_S = 5
READ_TIMEOUT_S = 20


@dataclass(frozen=True, slots=True)
class Account:
    """Our account at a provider, its secrets opened and out of the way of every repr."""

    provider_id: int
    name: str
    base_url: str
    account: str
    currency: str
    secret: str = field(repr=False)
    webhook_secrets: tuple[str, ...] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Bill:
    """What is to be paid. The same reference asked again means the same payment."""

    reference: str
    amount_minor: int
    currency: str
    title: str
    return_url: str
    notify_url: str
    expires_at: datetime
    email: str = ""
    saves_method: bool = False


@dataclass(frozen=True, slots=True)
class Opened:
    """Where to pay, and the provider's name of it."""

    pay_url: str
    session_reference: str


@dataclass(frozen=True, slots=True)
class News:
    """A verified webhook. `event_id` is the provider's, the same for each repetition."""

    event_id: str
    kind: str
    payload: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Pointer:
    """What an order goes by: our reference, the provider's session, its payment; what is not known is empty.

    says_paid: the news claims that it was paid. went_back: something of it may have gone back, so look there too.
    """

    reference: str = ""
    session: str = ""
    payment: str = ""
    says_paid: bool = False
    went_back: bool = False


class Standing(StrEnum):
    """What the provider says of a payment."""

    WAITING = "waiting"  # nobody has paid yet
    UNDERWAY = "underway"  # somebody has, but the money has not arrived
    PAID = "paid"
    EXPIRED = "expired"  # nobody can pay any more
    FAILED = "failed"


class RefundState(StrEnum):
    """What the provider says of a refund."""

    PENDING = "pending"
    DONE = "done"
    FAILED = "failed"


class DisputeState(StrEnum):
    """What the provider says of a dispute. The money is gone while it is open."""

    OPEN = "open"
    LOST = "lost"
    WON = "won"


@dataclass(frozen=True, slots=True)
class Refunded:
    """A refund as the provider knows it. `ours`: what we called it, empty when it was given there."""

    reference: str
    amount_minor: int
    state: RefundState
    ours: str = ""
    why: str = ""


@dataclass(frozen=True, slots=True)
class Disputed:
    """A dispute as the provider knows it."""

    reference: str
    amount_minor: int
    state: DisputeState
    why: str = ""


@dataclass(frozen=True, slots=True)
class Kept:
    """A means of payment that may be charged later, in the provider's names; of no use without our secret."""

    customer_reference: str
    method_reference: str
    text: str = ""


@dataclass(frozen=True, slots=True)
class Facts:
    """What the provider says of an order at this moment. Read again, it may say more, never less."""

    provider_id: int
    reference: str
    standing: Standing
    currency: str
    session_reference: str = ""
    payment_reference: str = ""
    paid_minor: int | None = None
    # Cumulative, of which `refunds` is the list where the provider has one.
    refunded_minor: int = 0
    # Whether `refunded_minor` was told at all, or is merely not known.
    tells_refunds: bool = True
    refunds: tuple[Refunded, ...] = ()
    disputes: tuple[Disputed, ...] = ()
    kept: Kept | None = None
    why: str = ""


class PaymentSeam(ABC):
    """A provider's adapter. Makes no decisions: those are billing.services.orders' and money_back's."""

    # What a webhook that was kept is answered with.
    answer = "ok"
    # Whether a means of payment can be kept and charged later.
    keeps_methods = False
    # Whether a payment can no longer be made once the provider says that it expired.
    closes_sessions = False
    # Whether a refund that is asked again under our reference happens once.
    refunds_once = False

    def __init__(self, account: Account) -> None:
        self.account = account

    @abstractmethod
    def check_amount(self, amount_minor: int) -> None:
        """Raise ValueError, in words for people, for an amount that the provider cannot take."""

    @abstractmethod
    def read_news(self, body: bytes, headers: Mapping[str, str]) -> News:
        """Verify a webhook and read it. `headers` by lower-case name. Raises NotConfigured, BadNews."""

    @abstractmethod
    def pointer_of(self, kind: str, payload: Mapping[str, Any]) -> Pointer | None:
        """Which order news is about; None when it asks nothing of us. Raises BadNews when it makes no sense."""

    @abstractmethod
    def open(self, bill: Bill) -> Opened:
        """Make a place to pay, once per reference. Raises ProviderAway, ProviderRefused."""

    @abstractmethod
    def look(self, pointer: Pointer) -> Facts | None:
        """Ask how an order stands; None when it is none of ours. Raises ProviderAway, ProviderRefused."""

    @abstractmethod
    def refund(self, *, pointer: Pointer, reference: str, amount_minor: int) -> Refunded:
        """Give money of a payment back, under our reference. Raises ProviderAway, ProviderRefused."""

    @abstractmethod
    def charge(self, bill: Bill, *, customer_reference: str, method_reference: str) -> Facts:
        """Charge a kept means of payment, once per reference. Raises Declined, ProviderAway, ProviderRefused."""
