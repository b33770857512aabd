"""What a statement consists of: a period, its opening, its lines and its closing."""

import uuid
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from billing.models import LedgerTransaction


class Step(StrEnum):
    """What usage is summed by."""

    DAY = "day"
    HOUR = "hour"


@dataclass(frozen=True, slots=True)
class Line:
    """One transaction, or a sum of `count` of them, which then has no `transaction`. Money is nano, positive in.

    `at`: when it was posted; of a sum, when its day or hour begins. `balance_nano`: after it; sums stand at the
    end of their day or hour. `reason` is what staff wrote, not for customers.
    """

    at: datetime
    kind: str
    nano: int
    balance_nano: int
    count: int = 1
    transaction: uuid.UUID | None = None
    reason: str = ""
    reference: str = ""

    @property
    def kind_text(self) -> str:
        """In words."""
        return str(LedgerTransaction.Kind(self.kind).label)


@dataclass(frozen=True, slots=True)
class Statement:
    """Everything posted in [since, until). Money is nano of `currency`.

    `is_summed`: there were so many postings that all are summed by kind, not only usage. `is_settled`: nothing
    can be posted in the period any more.
    """

    title: str
    currency: str
    since: datetime
    until: datetime
    opening_nano: int
    lines: tuple[Line, ...]
    is_summed: bool
    is_settled: bool

    @property
    def closing_nano(self) -> int:
        """The opening and all lines."""
        return self.opening_nano + sum(line.nano for line in self.lines)

    @property
    def in_nano(self) -> int:
        """What came in, line by line."""
        return sum(line.nano for line in self.lines if line.nano > 0)

    @property
    def out_nano(self) -> int:
        """What went out, as a positive amount."""
        return -sum(line.nano for line in self.lines if line.nano < 0)
