"""Who is there: the active people whom the roster has on a duty at a moment. Reads only."""

from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime

from accounts.models import User
from moderation import permissions
from moderation.models import Case, DutyShift
from newapi.kernel import clock


def on_duty(*, duty: str, at: datetime | None = None) -> list[User]:
    """The active people who are on a duty at a moment, now by default."""
    return _by_duty(at or clock.now())[duty]


class Present:
    """Who is there, and what each may see: asked once for each, for as long as one act or one round of a job takes."""

    def __init__(self) -> None:
        self._people: dict[str, list[User]] | None = None
        self._may_see: dict[tuple[int, bool], bool] = {}

    def on_duty(self, duty: str) -> list[User]:
        """As the function of that name, for the moment at which it was asked first."""
        if self._people is None:
            self._people = _by_duty(clock.now())
        return self._people[duty]

    def who_may_see(self, case: Case, people: Iterable[User]) -> list[User]:
        """Those of some people who may know what is in a case."""
        return [person for person in people if self._sees(person, case)]

    def _sees(self, person: User, case: Case) -> bool:
        key = person.pk, case.category.is_sealed
        if key not in self._may_see:
            self._may_see[key] = permissions.may_see(person, case)
        return self._may_see[key]


def _by_duty(moment: datetime) -> dict[str, list[User]]:
    """The people by duty, each once, in the order of their ids. One query."""
    shifts = DutyShift.objects.filter(starts_at__lte=moment, ends_at__gt=moment, user__is_active=True)
    found: dict[str, dict[int, User]] = defaultdict(dict)
    for shift in shifts.select_related("user").order_by("user", "pk"):
        found[shift.duty].setdefault(shift.user_id, shift.user)
    return defaultdict(list, {duty: list(people.values()) for duty, people in found.items()})
