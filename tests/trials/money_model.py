"""Money as plain numbers: what the product's answers are compared with. Knows nothing of the product."""

from dataclasses import dataclass, field
from typing import NamedTuple

Taken = dict[str, int]


@dataclass
class Lot:
    """Money of one origin. `purse`: whose calls alone may spend it; None: any. `ends_ms`: the first moment without."""

    name: str
    amount_nano: int
    left_nano: int
    is_paid: bool = True
    priority: int = 50
    ends_ms: int | None = None
    purse: int | None = None
    number: int = 0

    @property
    def turn(self) -> tuple[int, float, bool, int]:
        """Lower burns first."""
        return self.priority, float("inf") if self.ends_ms is None else self.ends_ms, self.is_paid, self.number


class Call(NamedTuple):
    """What one call holds, or came to."""

    nano: int
    purse: int | None
    at_ms: int


@dataclass
class Entry:
    """What one booking did: how much came in (or, negative, went out), what it paid of a debt, what it took of lots."""

    name: str
    nano: int
    repaid_nano: int = 0
    taken: Taken = field(default_factory=dict)


@dataclass
class Book:
    """One organisation's money, in nano."""

    lots: dict[str, Lot] = field(default_factory=dict)
    limit_nano: int = 0
    drawn_nano: int = 0
    owed_nano: int = 0
    # What was posted of calls that any money paid, and of all.
    used_nano: int = 0
    spent_nano: int = 0
    is_frozen: bool = False
    held: dict[str, Call] = field(default_factory=dict)
    waiting: list[Call] = field(default_factory=list)

    # What there is

    @property
    def pending(self) -> list[Call]:
        """All that is not posted yet."""
        return [*self.held.values(), *self.waiting]

    def left_nano(self, purse: int | None) -> int:
        """What remains in a purse, or for any call."""
        return sum(lot.left_nano for lot in self.lots.values() if lot.purse == purse)

    def pending_nano(self, purse: int | None) -> int:
        """What is pending on a purse, or on money for any call."""
        return sum(call.nano for call in self.pending if call.purse == purse)

    def purses(self) -> set[int]:
        """Every purse that ever was."""
        return {lot.purse for lot in self.lots.values() if lot.purse is not None}

    def free_nano(self, purse: int) -> int:
        """What a purse has for another call; negative: what the rest must bear of it."""
        return (0 if self.is_frozen else self.left_nano(purse)) - self.pending_nano(purse)

    @property
    def available_nano(self) -> int:
        """What the till has for any call."""
        beyond_nano = sum(max(0, -self.free_nano(purse)) for purse in self.purses())
        if self.is_frozen:
            return -self.used_nano - self.pending_nano(None) - beyond_nano
        worth_nano = self.left_nano(None) - self.drawn_nano + self.limit_nano - self.owed_nano
        return worth_nano - self.pending_nano(None) - beyond_nano

    def may_hold(self, nano: int, purse: int | None) -> bool:
        """Whether a call for so much is admitted."""
        free_nano = 0 if purse is None else max(0, self.free_nano(purse))
        return (max(self.available_nano, 0) + free_nano if free_nano else self.available_nano) >= nano

    @property
    def balance_nano(self) -> int:
        """What the books say: what remains, less what is drawn."""
        return sum(lot.left_nano for lot in self.lots.values()) - self.drawn_nano

    @property
    def room_nano(self) -> int:
        """What is left of the credit line."""
        return max(0, self.limit_nano - self.drawn_nano)

    # In and out

    def put_in(self, lot: Lot) -> Entry:
        """Money that any call may spend pays what is owed first, then what is drawn."""
        entry = Entry(lot.name, lot.amount_nano)
        if lot.purse is None:
            entry.repaid_nano, drawn_nano = self._pay(lot.amount_nano)
            lot.left_nano -= entry.repaid_nano + drawn_nano
        self._add(lot)
        return entry

    def can_take(self, nano: int, *, first: str | None = None) -> bool:
        """Whether so much can go out without a debt."""
        own_nano = self.lots[first].left_nano if first and self.lots[first].purse is not None else 0
        return own_nano + self.left_nano(None) + self.room_nano >= nano

    def take_out(self, name: str, nano: int, *, first: str | None = None) -> Entry:
        """Out of one lot, then the others in turn, then the credit line; the rest is owed."""
        entry = Entry(name, -nano)
        lacking_nano = self._take(nano, entry.taken, first=first)
        drawn_nano = min(lacking_nano, self.room_nano)
        self.drawn_nano += drawn_nano
        self.owed_nano += lacking_nano - drawn_nano
        return entry

    def can_undo_in(self, entry: Entry) -> bool:
        """Whether money that came in can go again."""
        return self.can_take(entry.nano - entry.repaid_nano, first=entry.name)

    def undo_in(self, entry: Entry) -> None:
        """Money that came in goes; the debt that it paid is owed again."""
        lacking_nano = self._take(entry.nano - entry.repaid_nano, {}, first=entry.name)
        self.drawn_nano += lacking_nano
        self.owed_nano += entry.repaid_nano

    def undo_out(self, entry: Entry, *, name: str, now_ms: int) -> None:
        """Money that went out comes back: to debts, then to where it was, as far as that has not ended."""
        nano = -entry.nano
        nano -= sum(self._pay(nano))
        for lot_name, taken_nano in reversed(entry.taken.items()):
            lot = self.lots[lot_name]
            if lot.ends_ms is None or lot.ends_ms > now_ms:
                back_nano = min(taken_nano, lot.amount_nano - lot.left_nano, nano)
                lot.left_nano += back_nano
                nano -= back_nano
        if nano:
            self._add(Lot(name, nano, nano))

    # Calls

    def settle(self, request: str, cost_nano: int) -> None:
        """A hold becomes its cost."""
        self.waiting.append(self.held.pop(request)._replace(nano=cost_nano))
        self.spent_nano += cost_nano

    def post(self, count: int) -> Entry | None:
        """So many entries, oldest first, come into the books: of each purse, then of money for any call."""
        batch, self.waiting = self.waiting[:count], self.waiting[count:]
        total_nano = sum(call.nano for call in batch)
        if not total_nano:
            return None
        entry = Entry("", -total_nano)
        lacking_nano = 0
        for purse in sorted({call.purse for call in batch} - {None}):
            asked_nano = sum(call.nano for call in batch if call.purse == purse)
            beyond_nano = self._burn(asked_nano, purse, entry.taken)
            self.used_nano += beyond_nano
            lacking_nano += self._burn(beyond_nano, None, entry.taken)
        general_nano = sum(call.nano for call in batch if call.purse is None)
        self.used_nano += general_nano
        lacking_nano += self._burn(general_nano, None, entry.taken)
        drawn_nano = min(lacking_nano, self.room_nano)
        self.drawn_nano += drawn_nano
        self.owed_nano += lacking_nano - drawn_nano
        return entry

    def expire(self, now_ms: int) -> int:
        """What has ended goes, but for what calls hold that began before. Returns how many lots gave something up."""
        ended = [lot for lot in self.lots.values() if lot.left_nano and lot.ends_ms is not None]
        ended = sorted((lot for lot in ended if lot.ends_ms <= now_ms), key=lambda lot: lot.turn)
        if self.is_frozen or not ended:
            return 0
        until_ms = max(lot.ends_ms for lot in ended)
        early = [call for call in self.pending if call.at_ms < until_ms]
        held = {purse: sum(call.nano for call in early if call.purse == purse) for purse in self.purses()}
        held[None] = sum(call.nano for call in early)
        gave = 0
        for lot in ended:
            stays_nano = min(lot.left_nano, held[lot.purse])
            held[lot.purse] -= stays_nano
            gave += lot.left_nano > stays_nano
            lot.left_nano = stays_nano
        return gave

    # How

    def _add(self, lot: Lot) -> None:
        lot.number = len(self.lots)
        self.lots[lot.name] = lot

    def _pay(self, nano: int) -> tuple[int, int]:
        owed_nano = min(nano, self.owed_nano)
        drawn_nano = min(nano - owed_nano, self.drawn_nano)
        self.owed_nano -= owed_nano
        self.drawn_nano -= drawn_nano
        return owed_nano, drawn_nano

    def _take(self, nano: int, taken: Taken, *, first: str | None) -> int:
        if first is not None:
            nano = self._empty(self.lots[first], nano, taken)
        return self._burn(nano, None, taken)

    def _burn(self, nano: int, purse: int | None, taken: Taken) -> int:
        for lot in sorted((lot for lot in self.lots.values() if lot.purse == purse), key=lambda lot: lot.turn):
            nano = self._empty(lot, nano, taken)
        return nano

    def _empty(self, lot: Lot, nano: int, taken: Taken) -> int:
        out_nano = min(nano, lot.left_nano)
        lot.left_nano -= out_nano
        if out_nano:
            taken[lot.name] = taken.get(lot.name, 0) + out_nano
        return nano - out_nano
