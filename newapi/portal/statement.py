"""The months of an organisation's statement."""

from dataclasses import dataclass
from datetime import UTC, date, datetime

from django.http import Http404, HttpRequest

from accounts.models import Organisation
from billing import reports, statements
from billing.statement_lines import Statement, Step
from newapi.kernel import clock

# Ten years; what is older is on paper.
MONTHS_MAX = 120


@dataclass(frozen=True, slots=True)
class Month:
    """A calendar month in UTC."""

    first: date

    @property
    def next(self) -> "Month":
        """The month after it."""
        return Month(date(self.first.year + self.first.month // 12, self.first.month % 12 + 1, 1))

    @property
    def since(self) -> datetime:
        """Its first moment."""
        return reports.midnight(self.first)

    @property
    def until(self) -> datetime:
        """The first moment after it."""
        return self.next.since

    @property
    def value(self) -> str:
        """As in addresses: `2026-11`."""
        return f"{self.first:%Y-%m}"

    @property
    def words(self) -> str:
        """As people read it: `November 2026`."""
        return f"{self.first:%B %Y}"


def months_of(organisation: Organisation) -> list[Month]:
    """From that of the first posting to this one, the newest first; this one alone when nothing was posted yet."""
    now = clock.now()
    first = statements.first_posting(statements.wallet_accounts(organisation)) or now
    month, found = Month(first.astimezone(UTC).date().replace(day=1)), []
    while month.since <= now:
        found.append(month)
        month = month.next
    return found[::-1][:MONTHS_MAX]


def chosen_month(request: HttpRequest, months: list[Month]) -> Month:
    """The month named in `?month=`, or the newest when none is named. Raises Http404 for one that is not there."""
    wanted = request.GET.get("month", "")
    found = next((month for month in months if month.value == wanted), None)
    if wanted and found is None:
        raise Http404("There is no statement of this month.")
    return found or months[0]


def chosen_step(request: HttpRequest) -> Step:
    """By hour with `?by=hour`, else by day."""
    return Step.HOUR if request.GET.get("by") == Step.HOUR else Step.DAY


def read(organisation: Organisation, month: Month, step: Step) -> Statement:
    """The organisation's statement of a month."""
    return statements.of_wallet(organisation=organisation, since=month.since, until=month.until, step=step)
