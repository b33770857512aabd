"""The admin of prices, wallets, the ledger, usage and its sums. Money is looked at here; it moves by services."""

from billing.admin import checks, headroom, ledger, panels, prices, purges, rollups, usage, wallets

__all__ = ["checks", "headroom", "ledger", "panels", "prices", "purges", "rollups", "usage", "wallets"]
