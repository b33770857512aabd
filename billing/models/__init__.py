"""How much: prices, wallets and their grants, the ledger, usage and its rollups, money in and money back."""

from billing.models.adjustment import Adjustment, BalanceAlert
from billing.models.agreement import RechargeAcceptance, RechargeAgreement
from billing.models.code import CodeBatch, Redemption, RedemptionCode
from billing.models.grant import Grant, GrantEntry, Purse
from billing.models.ledger import LedgerAccount, LedgerTransaction, LedgerTransfer
from billing.models.payment import AutoTopUp, MoneyBack, PaymentEvent, PaymentProvider, TopUpOrder
from billing.models.posting import PostingFault, VerifierRun
from billing.models.price import PriceVersion
from billing.models.promotion import Invitation, Promotion, PromotionUse
from billing.models.purge import UsagePurge
from billing.models.purpose import Purpose
from billing.models.rating import PriceImport, PriceImportRow, RatingDelta, Rerating
from billing.models.rollup import Rollup15m, RollupDay, RollupDirty, RollupHour, RollupMonth
from billing.models.usage import UsageEvent
from billing.models.wallet import Wallet

__all__ = [
    "Adjustment",
    "AutoTopUp",
    "BalanceAlert",
    "CodeBatch",
    "Grant",
    "GrantEntry",
    "Invitation",
    "LedgerAccount",
    "LedgerTransaction",
    "LedgerTransfer",
    "MoneyBack",
    "PaymentEvent",
    "PaymentProvider",
    "PostingFault",
    "PriceImport",
    "PriceImportRow",
    "PriceVersion",
    "Promotion",
    "PromotionUse",
    "Purpose",
    "Purse",
    "RatingDelta",
    "RechargeAcceptance",
    "RechargeAgreement",
    "Redemption",
    "RedemptionCode",
    "Rerating",
    "Rollup15m",
    "RollupDay",
    "RollupDirty",
    "RollupHour",
    "RollupMonth",
    "TopUpOrder",
    "UsageEvent",
    "UsagePurge",
    "VerifierRun",
    "Wallet",
]
