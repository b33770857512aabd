"""Refusals of the billing services. All are ValidationErrors, so that forms and commands can show them."""

from django.core.exceptions import ValidationError

from newapi.kernel import money


class BillingRefusal(ValidationError):
    """Base: nothing was changed."""


class IdempotencyConflict(BillingRefusal):
    """An idempotency key was used before, for something else."""

    def __init__(self, idempotency_key: str) -> None:
        super().__init__(f"The idempotency key {idempotency_key!r} was used before with other contents.")


class BalanceTooLow(BillingRefusal):
    """The change would take a wallet below its floor, the negative of its credit limit."""

    def __init__(self, *, needed_nano: int, spendable_nano: int, currency: str) -> None:
        self.needed_nano = needed_nano
        self.spendable_nano = spendable_nano
        super().__init__(
            f"{money.plain(needed_nano)} {currency} are needed; balance and credit limit "
            f"leave {money.plain(spendable_nano)} {currency}."
        )


class CurrencyFixed(BillingRefusal):
    """An organisation's wallet has been used, so its currency stays."""

    def __init__(self, currency: str) -> None:
        super().__init__({"currency": f"The wallet has been used, so the currency stays {currency}."})


class WalletFrozen(BillingRefusal):
    """The wallet is frozen: nothing comes in, goes out or expires until it is thawed (BIL-20)."""

    def __init__(self, organisation: object) -> None:
        super().__init__(f"The wallet of {organisation} is frozen. What is in it stays, and nothing can be booked.")
