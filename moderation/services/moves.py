"""The one table of a case's moves: from which state to which, and the permission that each needs at each level.

What is not in the table is refused to everyone.
"""

from collections.abc import Mapping

from accounts.models import User
from moderation import permissions
from moderation.models import Case
from moderation.models.policy import Level

_State = Case.State

_TRIAGE: Mapping[str, str] = dict.fromkeys(Level, permissions.TRIAGE)
_REVIEW: Mapping[str, str] = dict.fromkeys(Level, permissions.REVIEW)
_DECIDE: Mapping[str, str] = {
    Level.L1: permissions.DECIDE_CRITICAL,
    Level.L2: permissions.DECIDE_SEVERE,
    Level.L3: permissions.DECIDE_MINOR,
    Level.L4: permissions.DECIDE_MINOR,
}

MOVES: Mapping[tuple[str, str], Mapping[str, str]] = {
    (_State.NEW, _State.TRIAGED): _TRIAGE,
    (_State.TRIAGED, _State.IN_REVIEW): _REVIEW,
    (_State.IN_REVIEW, _State.TRIAGED): _REVIEW,  # handed back to the queue
    (_State.IN_REVIEW, _State.DECIDED): _DECIDE,
    (_State.IN_REVIEW, _State.NO_VIOLATION): _DECIDE,
    (_State.DECIDED, _State.CLOSED): _REVIEW,
}

# Reaching one of these, the case has been resolved.
RESOLVED = frozenset({_State.DECIDED, _State.NO_VIOLATION, _State.CLOSED})
# Reaching one of these, nothing is left to do.
FINAL = frozenset({_State.NO_VIOLATION, _State.CLOSED})


def permission_for(*, case: Case, to: str) -> str | None:
    """The permission that moving a case to a state needs, or None when there is no such move."""
    needed = MOVES.get((case.state, to))
    return None if needed is None else needed[case.level]


def open_to(*, case: Case, user: User) -> list[Case.State]:
    """The states to which a person may move a case now: what its page offers as buttons."""
    if not permissions.may_see(user, case):
        return []
    needed = {state: permission_for(case=case, to=state) for state in Case.State}
    return [state for state, permission in needed.items() if permission and permissions.may(user, permission)]
