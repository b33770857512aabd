"""Money that people decide about: adjustments by two persons, invitations that are accepted."""

import uuid

from accounts.models import AuditEvent
from billing.models import Adjustment, Invitation, LedgerTransaction, Purpose
from billing.services import adjustments, invitations
from billing.services.wallets import Terms
from newapi.kernel.money import NANO
from tests import cast
from tests.billing import books, offers
from tests.trials.flow import Flow

LARGE_NANO = 50_000 * NANO


class Approve(Flow):
    """A large adjustment waits for a second person, who approves it."""

    def prepare(self, key: str) -> None:
        self.before_nano = self.world.balance_nano
        self.asked = adjustments.request(
            wallet=books.wallet_of(self.world.acme),
            direction=Adjustment.Direction.IN,
            kind=LedgerTransaction.Kind.ADJUSTMENT,
            purpose=Purpose.CLIENT,
            amount_nano=LARGE_NANO,
            terms=Terms(),
            once=uuid.uuid4(),
            actor=self.world.root,
            reason=key,
        )
        assert self.asked.state == Adjustment.State.WAITING

    def act(self, key: str) -> object:
        if Adjustment.objects.get(pk=self.asked.pk).state == Adjustment.State.POSTED:
            return None
        return adjustments.approve(adjustment=self.asked, actor=self.world.olga, reason="Seen")

    def check(self, key: str) -> None:
        self.asked.refresh_from_db()
        assert (self.asked.state, self.asked.decided_by) == (Adjustment.State.POSTED, self.world.olga)
        assert self.world.balance_nano - self.before_nano == LARGE_NANO
        events = AuditEvent.objects.filter(action="adjustment.approve", object_id=str(self.asked.pk))
        assert events.count() == 1


class Accept(Flow):
    """An invitation is accepted, and both sides gain."""

    def prepare(self, key: str) -> None:
        self.promotion = offers.running("invitation", times_per_organisation=1_000)
        self.invitation = invitations.send(
            promotion=self.promotion,
            inviter=self.world.acme,
            invited_by=self.world.root,
            email=f"owner-{key}@example.com",
            purpose=Purpose.CLIENT,
            reason="Trial",
        )
        self.invitee = cast.organisation(f"new-{key}", owner=cast.person(f"owner-{key}"), funds_nano=0)
        self.before_nano = self.world.balance_nano

    def act(self, key: str) -> object:
        self.invitation.refresh_from_db()
        if self.invitation.state == Invitation.State.ACCEPTED:
            return None
        return invitations.accept(
            invitation=self.invitation, organisation=self.invitee, actor=self.world.root, reason="They are here"
        )

    def check(self, key: str) -> None:
        self.invitation.refresh_from_db()
        assert (self.invitation.state, self.invitation.invitee) == (Invitation.State.ACCEPTED, self.invitee)
        assert self.world.balance_nano - self.before_nano == self.promotion.inviter_nano
        assert books.wallet_of(self.invitee).balance_nano == self.promotion.invitee_nano
        self.promotion.refresh_from_db()
        assert self.promotion.given_nano == self.promotion.inviter_nano + self.promotion.invitee_nano


FLOWS: dict[str, type[Flow]] = {"adjustment approve": Approve, "invitation accept": Accept}
