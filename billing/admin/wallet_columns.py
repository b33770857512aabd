"""What lists and pages of wallets show of each: amounts in the wallet's currency, and whether it is frozen."""

from django.db.models import F
from unfold.decorators import display

from billing.models import Wallet
from newapi.kernel import money


class WalletColumns:
    """Read from the wallet's running totals."""

    @display(description="Balance", ordering=F("funded_nano") - F("used_nano") + F("owed_nano"))
    def balance(self, wallet: Wallet) -> str:
        """What is posted; open holds are not in it."""
        return money.display(wallet.balance_nano, wallet.currency)

    @display(description="Credit limit", ordering="credit_limit_nano")
    def credit_limit(self, wallet: Wallet) -> str:
        """How far below zero it may go."""
        return money.display(wallet.credit_limit_nano, wallet.currency)

    @display(description="Used of the credit limit", ordering="drawn_nano")
    def drawn(self, wallet: Wallet) -> str:
        """What was spent beyond the grants."""
        return money.display(wallet.drawn_nano, wallet.currency)

    @display(description="State", label={"Open": "success", "Frozen": "danger"}, ordering="frozen_at")
    def standing(self, wallet: Wallet) -> str:
        """Frozen: nothing comes in, goes out, is spent or expires."""
        return "Frozen" if wallet.frozen_at else "Open"

    @display(description="Brought in", ordering="funded_nano")
    def funded(self, wallet: Wallet) -> str:
        """Top-ups, grants and adjustments."""
        return money.display(wallet.funded_nano, wallet.currency)

    @display(description="Used", ordering="used_nano")
    def used(self, wallet: Wallet) -> str:
        """Usage so far."""
        return money.display(wallet.used_nano, wallet.currency)

    @display(description="Owed", ordering="owed_nano")
    def owed(self, wallet: Wallet) -> str:
        """Usage beyond the balance, booked as a receivable."""
        return money.display(wallet.owed_nano, wallet.currency)
