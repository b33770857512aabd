"""The admin of prices, wallets, the ledger, usage and its sums. Money is looked at here; it moves by services."""

from billing.admin import (
    checks,
    headroom,
    imports,
    invitations,
    ledger,
    panels,
    prices,
    promotions,
    purges,
    rollups,
    usage,
    wallets,
)

__all__ = [
    "checks",
    "headroom",
    "imports",
    "invitations",
    "ledger",
    "panels",
    "prices",
    "promotions",
    "purges",
    "rollups",
    "usage",
    "wallets",
]
