"""The one table of a case's moves: from which state to which, and the permission that each needs at each level.

What is not in the table is refused to everyone. A move is made by the act that it belongs to: nobody decides, merges
or asks the organisation by moving a case.
"""

from collections.abc import Mapping
from enum import StrEnum

from accounts.models import User
from moderation import permissions
from moderation.models import Case
from moderation.models.policy import Level

_State = Case.State


class Act(StrEnum):
    """By what a case is moved."""

    MOVE = "move"  # by hand: cases.transition
    DECIDE = "decide"  # moderation.services.decisions
    ASK = "ask"  # moderation.services.demands
    MERGE = "merge"  # moderation.services.merging
    APPEAL = "appeal"  # moderation.services.decisions.override


Needed = Mapping[str, str]
"""Level → the permission that a move needs."""


def _all(permission: str) -> Needed:
    return dict.fromkeys(Level, permission)


_TRIAGE, _REVIEW = _all(permissions.TRIAGE), _all(permissions.REVIEW)
_REOPEN, _APPROVE, _APPEAL = _all(permissions.REOPEN), _all(permissions.APPROVE), _all(permissions.REVIEW_APPEAL)
DECIDE: Needed = {
    Level.L1: permissions.DECIDE_CRITICAL,
    Level.L2: permissions.DECIDE_SEVERE,
    Level.L3: permissions.DECIDE_MINOR,
    Level.L4: permissions.DECIDE_MINOR,
}

MOVES: Mapping[tuple[str, str], Mapping[Act, Needed]] = {
    (_State.NEW, _State.TRIAGED): {Act.MOVE: _TRIAGE},
    (_State.TRIAGED, _State.IN_REVIEW): {Act.MOVE: _REVIEW},
    (_State.IN_REVIEW, _State.TRIAGED): {Act.MOVE: _REVIEW},  # handed back to the queue
    (_State.IN_REVIEW, _State.AWAITING_USER): {Act.ASK: _REVIEW},
    (_State.AWAITING_USER, _State.IN_REVIEW): {Act.ASK: _REVIEW},
    (_State.IN_REVIEW, _State.PROPOSED): {Act.DECIDE: _REVIEW},
    (_State.PROPOSED, _State.IN_REVIEW): {Act.DECIDE: _REVIEW},  # sent back, or withdrawn
    (_State.PROPOSED, _State.HELD): {Act.DECIDE: DECIDE},
    (_State.PROPOSED, _State.DECIDED): {Act.DECIDE: DECIDE},
    (_State.PROPOSED, _State.REMEDIATION): {Act.DECIDE: DECIDE},
    (_State.PROPOSED, _State.NO_VIOLATION): {Act.DECIDE: DECIDE},
    (_State.HELD, _State.IN_REVIEW): {Act.DECIDE: _APPROVE},  # cancelled without a ruling
    (_State.HELD, _State.DECIDED): {Act.DECIDE: _APPROVE},
    (_State.HELD, _State.REMEDIATION): {Act.DECIDE: _APPROVE},
    (_State.HELD, _State.NO_VIOLATION): {Act.DECIDE: _APPROVE},
    (_State.REMEDIATION, _State.DECIDED): {Act.ASK: _REVIEW, Act.APPEAL: _APPEAL},  # done, or no longer asked
    (_State.DECIDED, _State.CLOSED): {Act.MOVE: _REVIEW},
    (_State.DECIDED, _State.IN_REVIEW): {Act.MOVE: _REOPEN},
    (_State.REMEDIATION, _State.IN_REVIEW): {Act.MOVE: _REOPEN},
    (_State.CLOSED, _State.IN_REVIEW): {Act.MOVE: _REOPEN},
    (_State.NO_VIOLATION, _State.IN_REVIEW): {Act.MOVE: _REOPEN},
    (_State.NEW, _State.MERGED): {Act.MERGE: _TRIAGE},
    (_State.TRIAGED, _State.MERGED): {Act.MERGE: _TRIAGE},
    (_State.IN_REVIEW, _State.MERGED): {Act.MERGE: _TRIAGE},
    (_State.AWAITING_USER, _State.MERGED): {Act.MERGE: _TRIAGE},
    # An appeal overturned what was decided, or changed it.
    (_State.DECIDED, _State.NO_VIOLATION): {Act.APPEAL: _APPEAL},
    (_State.REMEDIATION, _State.NO_VIOLATION): {Act.APPEAL: _APPEAL},
    (_State.CLOSED, _State.NO_VIOLATION): {Act.APPEAL: _APPEAL},
    (_State.CLOSED, _State.DECIDED): {Act.APPEAL: _APPEAL},
}

# What a case is, how grave and about whom, is said in these; what is proposed or held is sent back first.
IN_WORK = (_State.NEW, _State.TRIAGED, _State.IN_REVIEW, _State.AWAITING_USER)
# Moves that a job of the platform makes: an answer came in, what was asked was done.
BY_THE_PLATFORM = frozenset(
    {
        (_State.AWAITING_USER, _State.IN_REVIEW, Act.ASK),
        (_State.REMEDIATION, _State.DECIDED, Act.ASK),
        (_State.REMEDIATION, _State.IN_REVIEW, Act.MOVE),
    }
)
# Reaching one of these, the case has been resolved.
RESOLVED = frozenset({_State.DECIDED, _State.REMEDIATION, _State.NO_VIOLATION, _State.CLOSED, _State.MERGED})
# Reaching one of these, nothing is left to do.
FINAL = frozenset({_State.NO_VIOLATION, _State.CLOSED, _State.MERGED})


def permission_for(*, case: Case, to: str, act: Act = Act.MOVE) -> str | None:
    """The permission that moving a case to a state by an act needs, or None when there is no such move."""
    needed = MOVES.get((case.state, to), {}).get(act)
    return None if needed is None else needed[case.level]


def open_to(*, case: Case, user: User) -> list[Case.State]:
    """The states to which a person may move a case by hand now: what its page offers as buttons."""
    if not permissions.may_see(user, case):
        return []
    needed = {state: permission_for(case=case, to=state) for state in Case.State}
    return [state for state, permission in needed.items() if permission and permissions.may(user, permission)]
