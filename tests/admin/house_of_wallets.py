"""What a wallet leaves for people to see: a booking that waits, a grant for one model with its purse, an alert."""

from accounts.models import Organisation, User
from billing.models import LedgerTransaction
from billing.services import adjustments, alerts, wallets
from billing.services.grants import Terms
from channels.models import Model
from newapi.kernel import ids
from newapi.kernel.money import NANO

REASON = "Because the house needs one"


def fill(*, organisation: Organisation, user: User, model: Model, name: str = "house-of-wallets") -> None:
    """A row each. `name`: another one for each wallet."""
    wallets.credit(
        organisation=organisation,
        amount_nano=NANO,
        kind=LedgerTransaction.Kind.GRANT,
        idempotency_key=name,
        actor=None,
        reason=REASON,
        terms=Terms(model=model),
    )
    adjustments.request(
        wallet=wallets.open(organisation=organisation),
        direction="in",
        kind="adjustment",
        purpose="internal_settlement",
        amount_nano=5000 * NANO,
        terms=Terms(),
        once=ids.uuid7(),
        actor=user,
        reason=REASON,
    )
    alerts.set_thresholds(organisation=organisation, thresholds_nano=[50 * NANO], actor=user, reason=REASON)
