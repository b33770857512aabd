"""Money as plain numbers in dictionaries: what the product's answers are compared with. Knows nothing of it."""

from dataclasses import dataclass, field


@dataclass
class Book:
    """One organisation's money, in nano."""

    funds_nano: int = 0
    limit_nano: int = 0
    spent_nano: int = 0
    # Open holds by request, and what is settled and not yet posted, oldest first.
    held: dict[str, int] = field(default_factory=dict)
    waiting: list[int] = field(default_factory=list)
    posted_nano: int = 0

    @property
    def available_nano(self) -> int:
        """What the till has to give."""
        return self.funds_nano + self.limit_nano - self.spent_nano - sum(self.held.values())

    @property
    def worth_nano(self) -> int:
        """What the books say is there, less what is owed."""
        return self.funds_nano - self.posted_nano

    @property
    def spendable_nano(self) -> int:
        """What an adjustment could take out: what is not posted yet does not count."""
        return max(self.worth_nano, -self.limit_nano) + self.limit_nano

    def settle(self, request: str, cost_nano: int) -> None:
        """A hold becomes its cost."""
        del self.held[request]
        self.spent_nano += cost_nano
        self.waiting.append(cost_nano)

    def post(self, count: int) -> None:
        """So many entries, oldest first, come into the books."""
        self.posted_nano += sum(self.waiting[:count])
        del self.waiting[:count]
