"""Money that comes in, goes out and is given back; and the prices that it is charged by."""

from collections.abc import Callable
from datetime import timedelta

from accounts.models import AuditEvent
from billing.models import LedgerTransaction, PriceVersion
from billing.services import expiry, prices, wallets
from billing.services.publishing import publish_missed
from billing.services.wallets import Terms
from channels.services import catalogue
from newapi.kernel import clock
from newapi.kernel.meters import bank, keys
from newapi.kernel.money import NANO
from tests.billing import books
from tests.trials.flow import Flow

Kind = LedgerTransaction.Kind


class _Booked(Flow):
    """Flows that change Acme's balance by a known amount, under a known key of the ledger."""

    change_nano = 0

    def prepare(self, key: str) -> None:
        self.before_nano = self.world.balance_nano

    def ledger_key(self, key: str) -> str:
        return key

    def check(self, key: str) -> None:
        assert LedgerTransaction.objects.filter(idempotency_key=self.ledger_key(key)).count() == 1
        assert self.world.balance_nano - self.before_nano == self.change_nano
        assert bank.till_state(self.world.acme.pk).available_nano == self.world.balance_nano


class Credit(_Booked):
    """A payment is credited, and the till hears of it."""

    change_nano = 3 * NANO

    def act(self, key: str) -> object:
        return wallets.credit(
            organisation=self.world.acme,
            amount_nano=self.change_nano,
            kind=Kind.TOP_UP,
            idempotency_key=key,
            actor=None,
            reason="Paid",
        )


class Debit(_Booked):
    """An adjustment takes money out."""

    change_nano = -NANO // 7

    def act(self, key: str) -> object:
        return wallets.debit(
            organisation=self.world.acme,
            amount_nano=-self.change_nano,
            idempotency_key=key,
            actor=None,
            reason="Out",
        )


class Reverse(_Booked):
    """A credit is undone."""

    change_nano = -5 * NANO

    def prepare(self, key: str) -> None:
        self.paid = wallets.credit(
            organisation=self.world.acme,
            amount_nano=-self.change_nano,
            kind=Kind.TOP_UP,
            idempotency_key=f"paid:{key}",
            actor=None,
            reason="Paid",
        )
        super().prepare(key)

    def ledger_key(self, key: str) -> str:
        return f"reversal:{self.paid.pk}"

    def act(self, key: str) -> object:
        return wallets.reverse(booked=self.paid, actor=None, reason="Charged back")


class TakeBack(_Booked):
    """A bank takes back more than there is: the rest is owed."""

    def prepare(self, key: str) -> None:
        super().prepare(key)
        self.owed_nano = books.wallet_of(self.world.acme).owed_nano

    def act(self, key: str) -> object:
        return wallets.take_back(
            organisation=self.world.acme,
            amount_nano=self.before_nano + NANO,
            kind=Kind.DISPUTE,
            idempotency_key=key,
            actor=None,
            reason="Disputed",
            may_owe=True,
        )

    def check(self, key: str) -> None:
        assert LedgerTransaction.objects.filter(idempotency_key=key).count() == 1
        wallet = books.wallet_of(self.world.acme)
        assert (wallet.balance_nano, wallet.owed_nano) == (0, self.owed_nano + NANO)
        # There is to be something to take next time.
        wallets.credit(
            organisation=self.world.acme,
            amount_nano=5 * NANO + wallet.owed_nano,
            kind=Kind.TOP_UP,
            idempotency_key=f"again:{key}",
            actor=None,
            reason="Paid",
        )


class Expire(_Booked):
    """A grant ends, and what is left of it goes."""

    def prepare(self, key: str) -> None:
        super().prepare(key)
        with clock.shifted(-3600):
            given = wallets.credit(
                organisation=self.world.acme,
                amount_nano=4 * NANO,
                kind=Kind.GRANT,
                idempotency_key=f"given:{key}",
                actor=None,
                reason="Given",
                terms=Terms(expires_at=clock.now() + timedelta(minutes=30)),
            )
        self.grant = given.grant

    def act(self, key: str) -> object:
        return expiry.sweep()

    def ledger_key(self, key: str) -> str:
        return f"expiry:{self.grant.pk}:1"


class Limit(Flow):
    """A credit limit is set."""

    def prepare(self, key: str) -> None:
        self.limit_nano = books.wallet_of(self.world.acme).credit_limit_nano + NANO

    def act(self, key: str) -> object:
        wallet = books.wallet_of(self.world.acme)
        return wallets.set_credit_limit(
            wallet=wallet, credit_limit_nano=self.limit_nano, actor=self.world.root, reason="Contract"
        )

    def check(self, key: str) -> None:
        assert books.wallet_of(self.world.acme).credit_limit_nano == self.limit_nano
        assert bank.till_state(self.world.acme.pk).available_nano == self.world.balance_nano + self.limit_nano


class Notify(Flow):
    """Redis was away when money came in; the job tells the till."""

    def prepare(self, key: str) -> None:
        tell: Callable[..., None] = bank.publish_funds
        bank.publish_funds = _unreachable
        try:
            wallets.credit(
                organisation=self.world.acme,
                amount_nano=NANO,
                kind=Kind.TOP_UP,
                idempotency_key=key,
                actor=None,
                reason="Paid",
            )
        finally:
            bank.publish_funds = tell
        wallet = books.wallet_of(self.world.acme)
        assert wallet.version_published < wallet.version

    def act(self, key: str) -> object:
        return publish_missed()

    def check(self, key: str) -> None:
        wallet = books.wallet_of(self.world.acme)
        assert wallet.version_published == wallet.version
        assert bank.till_state(self.world.acme.pk).available_nano == wallet.balance_nano


def _unreachable(*told: object) -> None:
    raise OSError("Redis is away")


class Publish(Flow):
    """A price is published: all of it, with its catalogue version and its record, or nothing."""

    def prepare(self, key: str) -> None:
        self.versions = PriceVersion.objects.count()
        self.records = AuditEvent.objects.filter(action="price.publish").count()

    def act(self, key: str) -> object:
        # A price has no key to be repeated under: who got no answer looks first.
        if PriceVersion.objects.count() > self.versions:
            return None
        return prices.publish(
            model=self.world.model,
            currency="USD",
            price_group=f"group-{key}",
            actor=self.world.root,
            reason="Trial",
            input_nano=2 * NANO,
            output_nano=8 * NANO,
        )

    def check(self, key: str) -> None:
        assert PriceVersion.objects.count() == self.versions + 1
        assert AuditEvent.objects.filter(action="price.publish").count() == self.records + 1
        catalogue.publish_missed()
        for shard in range(keys.SHARDS):
            assert int(self.world.redis.get(keys.catalogue(shard))) == catalogue.current_version()


FLOWS: dict[str, type[Flow]] = {
    "credit": Credit,
    "debit": Debit,
    "reverse": Reverse,
    "take back": TakeBack,
    "expire grants": Expire,
    "credit limit": Limit,
    "notify": Notify,
    "price publish": Publish,
}
