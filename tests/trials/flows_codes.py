"""Redemption codes: made, redeemed, voided."""

from billing.models import CodeBatch, LedgerTransaction, Redemption, RedemptionCode
from billing.services import codes
from newapi.kernel.money import NANO
from tests.billing import books, vouchers
from tests.trials.flow import Flow


class Redeem(Flow):
    """A code becomes a grant."""

    def prepare(self, key: str) -> None:
        self.raw = vouchers.code(name=key)
        self.before_nano = self.world.balance_nano

    def act(self, key: str) -> object:
        try:
            return codes.redeem(raw=self.raw, organisation=self.world.acme, user=None)
        except codes.CodeRefused:
            # What somebody is told who redeems it a second time.
            assert Redemption.objects.filter(code=vouchers.row(self.raw)).exists()
            return None

    def check(self, key: str) -> None:
        row = vouchers.row(self.raw)
        [redemption] = Redemption.objects.filter(code=row)
        assert (row.uses, redemption.organisation) == (1, self.world.acme)
        assert self.world.balance_nano - self.before_nano == redemption.grant.remaining_nano == 5 * NANO


class Make(Flow):
    """A batch of sold codes is made by a job, in chunks."""

    count = 12_000

    def prepare(self, key: str) -> None:
        self.batch = vouchers.ordered(self.count if key == "whole" else 5_003, name=key, **vouchers.SOLD)

    def act(self, key: str) -> object:
        return codes.make_waiting()

    def check(self, key: str) -> None:
        self.batch.refresh_from_db()
        assert (self.batch.state, self.batch.made) == (CodeBatch.State.READY, self.batch.count)
        numbers = RedemptionCode.objects.filter(batch=self.batch).order_by("number").values_list("number", flat=True)
        assert list(numbers) == list(range(self.batch.count))


class Void(Flow):
    """A batch of sold codes, one of them redeemed, is voided and what is unspent of it taken back."""

    def prepare(self, key: str) -> None:
        self.owed_nano = books.in_account(None, "codes")
        self.batch, issued = vouchers.issued(3, name=key, **vouchers.SOLD)
        self.before_nano = self.world.balance_nano
        self.redemption = codes.redeem(raw=issued[0], organisation=self.world.acme, user=None)

    def act(self, key: str) -> object:
        if CodeBatch.objects.get(pk=self.batch.pk).state != CodeBatch.State.VOIDED:
            codes.void(batch=self.batch, takes_back=True, actor=self.world.root, reason="Leaked")
        return codes.finish_voids()

    def check(self, key: str) -> None:
        assert not RedemptionCode.objects.filter(batch=self.batch, voided_at=None).exists()
        assert self.world.balance_nano == self.before_nano
        claw_backs = LedgerTransaction.objects.filter(idempotency_key=f"clawback:{self.redemption.pk}")
        assert claw_backs.count() == 1
        assert books.in_account(None, "codes") == self.owed_nano, "nothing is owed for what nobody can redeem"


FLOWS: dict[str, type[Flow]] = {"redeem": Redeem, "make codes": Make, "void codes": Void}
