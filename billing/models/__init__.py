"""How much: prices, wallets, the ledger, usage and its rollups."""

from billing.models.ledger import LedgerAccount, LedgerTransaction, LedgerTransfer
from billing.models.posting import PostingFault, VerifierRun
from billing.models.price import PriceVersion
from billing.models.purge import UsagePurge
from billing.models.rollup import Rollup15m, RollupDay, RollupDirty, RollupHour, RollupMonth
from billing.models.usage import UsageEvent
from billing.models.wallet import Wallet

__all__ = [
    "LedgerAccount",
    "LedgerTransaction",
    "LedgerTransfer",
    "PostingFault",
    "PriceVersion",
    "Rollup15m",
    "RollupDay",
    "RollupDirty",
    "RollupHour",
    "RollupMonth",
    "UsageEvent",
    "UsagePurge",
    "VerifierRun",
    "Wallet",
]
