"""Why a code is not redeemed: two answers, and not more."""

from billing.errors import BillingRefusal


class CodeMistyped(BillingRefusal):
    """The text is no code that could ever be. Anybody can know that without us, so it can be said."""

    def __init__(self) -> None:
        super().__init__("This is no complete code, or a symbol of it is mistyped. Check the code.")


class CodeRefused(BillingRefusal):
    """Unknown, used up, expired, not begun, voided, or not for this organisation: which of them is not said."""

    def __init__(self) -> None:
        super().__init__("This code cannot be redeemed here. Nothing was changed.")
