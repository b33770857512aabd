"""A machine that does to money whatever hypothesis thinks of, and keeps its own books beside it."""

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from typing import Any, ClassVar, TypeVar

import pytest
from django.db import transaction
from django.test import TestCase
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from billing.errors import BillingRefusal, IdempotencyConflict, WalletFrozen
from billing.models import Grant, LedgerTransaction, Purse, Redemption
from billing.services import codes, rollups, verifier, wallets
from billing.services.wallets import Terms
from newapi.kernel import clock
from newapi.kernel.meters import bank
from newapi.kernel.money import NANO
from tests.billing import books, calls
from tests.trials.grounds import Grounds
from tests.trials.money_model import Book, Entry, Lot

T = TypeVar("T")
Kind = LedgerTransaction.Kind
PICKS = st.integers(0, 1000)
AMOUNTS = st.one_of(st.integers(1, 1000), st.integers(1, 60).map(lambda units: units * NANO), st.integers(1, 10**11))
IN = [kind for kind in wallets.SOURCES if kind != Kind.REDEMPTION]
OUT = [Kind.REFUND, Kind.DISPUTE, Kind.RERATING]
# When a grant ends, from when it was made; and by how much the clock moves. Holds last a minute.
ENDS_S = st.sampled_from([None, None, 20, 45, 90, 86_400])
WAITS_S = st.sampled_from([10, 30, 50])
VERIFIED_EACH = 7


class Money(RuleBasedStateMachine):
    """Money in, money out, ends, freezes, repeats and reversals. What calls do is in tests/trials/machine_calls.py."""

    grounds: ClassVar[Grounds]

    def __init__(self) -> None:
        super().__init__()
        self.stack = ExitStack()
        self.stack.enter_context(_rolled_back())
        self.acme, self.line = self.grounds.acme, self.grounds.line
        self.book = Book()
        self.entries: dict[str, tuple[LedgerTransaction, Entry]] = {}
        # What was asked for, to be asked again: the function and what it was given.
        self.asked: list[tuple[Callable[..., Any], dict[str, Any]]] = []
        # The purses that there may be: by their scope, once there is money in them.
        self.purses: dict[str, int] = {}
        self.redeemed: set[str] = set()
        self.number = 0

    @initialize()
    def begin(self) -> None:
        """An empty Redis, and the 100 that Acme begins with."""
        self.grounds.redis.flushdb()
        [opening] = Grant.objects.filter(wallet__organisation=self.acme)
        self.book.put_in(Lot(str(opening.transaction_id), opening.amount_nano, opening.remaining_nano))
        calls.warm(self.acme)

    def teardown(self) -> None:
        """Whatever was done, in the end everything is posted and right."""
        try:
            # What failed already is what is to be told.
            if sys.exc_info()[1] is None:
                self.end()
        finally:
            self.stack.close()

    def end(self) -> None:
        """The last things that are tried."""
        self.freeze(False)
        while rollups.roll_up():
            pass
        assert verifier.verify() == []
        books.assert_balanced(self.acme)
        assert books.used_in_rows(self.acme) == self.book.spent_nano

    # In and out

    @rule(
        kind=st.sampled_from(IN),
        nano=AMOUNTS,
        category=st.sampled_from(Grant.Category.values),
        priority=st.sampled_from([0, 50, 100]),
        ends_s=ENDS_S,
        scope=st.sampled_from(["any", "any", "project", "model", "both"]),
    )
    def credit(self, kind: str, nano: int, category: str, priority: int, ends_s: int | None, scope: str) -> None:
        ends_at = None if ends_s is None else clock.now() + timedelta(seconds=ends_s)
        project = self.line.api_key.project if scope in ("project", "both") else None
        model = self.line.model if scope in ("model", "both") else None
        terms = Terms(category=category, priority=priority, expires_at=ends_at, project=project, model=model)
        booked = self.ask(wallets.credit, kind=Kind(kind), amount_nano=nano, reason="In", terms=terms)
        if booked is None:
            return
        if scope != "any":
            self.purses[scope] = booked.grant.purse_id
        is_paid = category == Grant.Category.PAID
        ends_ms = None if ends_at is None else clock.to_ms(ends_at)
        lot = Lot(str(booked.pk), nano, nano, is_paid, priority, ends_ms, self.purses.get(scope))
        self.entries[str(booked.pk)] = booked, self.book.put_in(lot)

    @rule(pick=PICKS)
    def redeem(self, pick: int) -> None:
        """A code, perhaps one that was redeemed before."""
        raw = self.grounds.codes[pick % len(self.grounds.codes)]

        def try_it() -> Redemption:
            return self.told(lambda: codes.redeem(raw=raw, organisation=self.acme, user=None))

        if self.book.is_frozen:
            self.refused(try_it, WalletFrozen)
        elif raw in self.redeemed:
            self.refused(try_it, codes.CodeRefused)
        else:
            booked = try_it().transaction
            self.redeemed.add(raw)
            self.entries[str(booked.pk)] = booked, self.book.put_in(Lot(str(booked.pk), 5 * NANO, 5 * NANO, False))

    @rule(nano=AMOUNTS)
    def debit(self, nano: int) -> None:
        if not self.book.is_frozen and not self.book.can_take(nano):
            self.refused(lambda: self.ask(wallets.debit, amount_nano=nano, reason="Out"))
        elif booked := self.ask(wallets.debit, amount_nano=nano, reason="Out"):
            self.entries[str(booked.pk)] = booked, self.book.take_out(str(booked.pk), nano)

    @rule(kind=st.sampled_from(OUT), nano=AMOUNTS, pick=PICKS, may_owe=st.booleans())
    def take_back(self, kind: str, nano: int, pick: int, may_owe: bool) -> None:
        """A refund, or what a bank takes; from the grant that it was, first."""
        lot = self.pick_lot(pick)
        fields = {"kind": Kind(kind), "amount_nano": nano, "reason": "Back", "grant": self.grant_of(lot)}
        if may_owe:
            booked = self.told(lambda: wallets.take_back(**self.fields(), **fields, may_owe=True))
        elif not self.book.is_frozen and not self.book.can_take(nano, first=lot.name):
            return self.refused(lambda: self.ask(wallets.take_back, **fields))
        else:
            booked = self.ask(wallets.take_back, **fields)
        if booked is not None:
            self.entries[str(booked.pk)] = booked, self.book.take_out(str(booked.pk), nano, first=lot.name)
        return None

    @rule(nano=AMOUNTS, pick=PICKS)
    def claw_back(self, nano: int, pick: int) -> None:
        """What is left of a code that was voided: never more than that."""
        lot = self.pick_lot(pick)
        fields = {"kind": Kind.CLAWBACK, "amount_nano": nano, "reason": "Void", "grant": self.grant_of(lot)}
        if self.book.is_frozen:
            return self.refused(lambda: wallets.take_back(**self.fields(), **fields), WalletFrozen)
        booked = self.told(lambda: wallets.take_back(**self.fields(), **fields))
        taken_nano = min(nano, lot.left_nano)
        assert (booked is None) == (taken_nano == 0)
        if booked is not None:
            self.entries[str(booked.pk)] = booked, self.book.take_out(str(booked.pk), taken_nano, first=lot.name)
        return None

    @precondition(lambda self: self.entries)
    @rule(pick=PICKS)
    def reverse(self, pick: int) -> None:
        booked, entry = self.entries[sorted(self.entries)[pick % len(self.entries)]]

        def undo() -> LedgerTransaction:
            return self.told(lambda: wallets.reverse(booked=booked, actor=None, reason="Undo"))

        if self.book.is_frozen:
            return self.refused(undo, WalletFrozen)
        if entry.nano > 0 and not self.book.can_undo_in(entry):
            return self.refused(undo)
        reversal = undo()
        assert undo() == reversal, "once"
        del self.entries[str(booked.pk)]
        if entry.nano > 0:
            self.book.undo_in(entry)
        else:
            self.book.undo_out(entry, name=str(reversal.pk), now_ms=clock.now_ms())
        return None

    @rule(nano=st.sampled_from([0, 10 * NANO, 40 * NANO]))
    def limit(self, nano: int) -> None:
        def change() -> object:
            wallet = books.wallet_of(self.acme)
            return self.told(
                lambda: wallets.set_credit_limit(wallet=wallet, credit_limit_nano=nano, actor=None, reason="Contract")
            )

        if self.book.drawn_nano > nano:
            self.refused(change)
        else:
            change()
            self.book.limit_nano = nano

    @rule(is_frozen=st.sampled_from([True, False, False]))
    def freeze(self, is_frozen: bool) -> None:
        act = wallets.freeze if is_frozen else wallets.thaw
        self.told(lambda: act(organisation=self.acme, actor=None, reason="Standing"))
        self.book.is_frozen = is_frozen

    @precondition(lambda self: self.asked)
    @rule(pick=PICKS, more=st.integers(0, 2))
    def ask_again(self, pick: int, more: int) -> None:
        """The same under its key changes nothing; something else under it is refused."""
        act, fields = self.asked[pick % len(self.asked)]
        before = LedgerTransaction.objects.count()
        if more:
            self.refused(lambda: act(**{**fields, "amount_nano": fields["amount_nano"] + more}), IdempotencyConflict)
        else:
            self.told(lambda: act(**fields))
        assert LedgerTransaction.objects.count() == before

    # What must be true after each

    @invariant()
    def the_till_has_what_the_model_says(self) -> None:
        state = bank.till_state(self.acme.pk)
        assert state is not None
        assert state.available_nano == self.book.available_nano
        for purse in self.purses.values():
            pending_nano, left_nano = state.purses.get(purse, (0, 0))
            assert pending_nano == self.book.pending_nano(purse)
            assert left_nano - pending_nano == self.book.free_nano(purse) or self.book.is_frozen

    @invariant()
    def each_grant_has_left_what_the_model_says(self) -> None:
        rows = Grant.objects.filter(wallet__organisation=self.acme).values_list("transaction_id", "remaining_nano")
        left = {str(pk): nano for pk, nano in rows}
        assert left == {lot.name: lot.left_nano for lot in self.book.lots.values()}

    @invariant()
    def the_wallet_is_its_transfers_and_the_models(self) -> None:
        wallet = books.wallet_of(self.acme)
        found = (wallet.balance_nano, wallet.owed_nano, wallet.drawn_nano)
        assert found == (self.book.balance_nano, self.book.owed_nano, self.book.drawn_nano)
        purses = Purse.objects.filter(wallet=wallet)
        assert all(purse.funded_nano - purse.used_nano == self.book.left_nano(purse.pk) for purse in purses)

    @invariant()
    def nothing_is_found(self) -> None:
        self.number += 1
        if self.number % VERIFIED_EACH == 0:
            assert verifier.verify() == []
            wallet = books.wallet_of(self.acme)
            assert wallet.balance_nano == books.in_account(self.acme, "wallet")
            assert wallet.owed_nano == -books.in_account(self.acme, "receivable")
            assert books.waiting() == len(self.book.waiting)

    # How

    def pick_lot(self, pick: int) -> Lot:
        """One of those that there are."""
        return sorted(self.book.lots.values(), key=lambda lot: lot.number)[pick % len(self.book.lots)]

    def grant_of(self, lot: Lot) -> Grant:
        """As the product knows it."""
        return Grant.objects.get(transaction=lot.name)

    def fields(self) -> dict[str, Any]:
        """What every booking is given, under a key of its own."""
        self.number += 1
        return {"organisation": self.acme, "idempotency_key": f"rule-{self.number}", "actor": None}

    def ask(self, act: Callable[..., Any], **fields: Any) -> LedgerTransaction | None:
        """Ask for a booking, and remember it once it stands. None: it was refused, as it must be of a frozen wallet."""
        fields |= self.fields()
        if self.book.is_frozen:
            self.refused(lambda: act(**fields), WalletFrozen)
            return None
        booked: LedgerTransaction = self.told(lambda: act(**fields))
        self.asked.append((act, fields))
        return booked

    def refused(self, act: Callable[[], object], how: type[BillingRefusal] = BillingRefusal) -> None:
        """Ask for what must be refused, and change nothing."""
        with pytest.raises(how), transaction.atomic():
            act()

    def told(self, act: Callable[[], T]) -> T:
        """Do something, and then what it left to be done after its commit."""
        with TestCase.captureOnCommitCallbacks(execute=True):
            return act()


@contextmanager
def _rolled_back() -> Iterator[None]:
    """What is done in the block is undone in the end."""
    with transaction.atomic():
        try:
            yield
        finally:
            transaction.set_rollback(True)
