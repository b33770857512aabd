"""Who moves a case from where to where: each state, each act and each role against a table written out by hand."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from django.db import transaction

from accounts.models import AuditEvent, Organisation, User
from moderation import permissions
from moderation.errors import CaseError, IllegalMove, NotPermitted
from moderation.models import Case, CaseEvent, Conflict
from moderation.models.policy import Level
from moderation.services import cases, moves
from moderation.services.moves import Act
from tests import cast
from tests.moderation import desk

pytestmark = pytest.mark.django_db

State = Case.State
TRIAGE = frozenset({"intake", "reviewer", "senior", "lead", "superuser"})
REVIEW = frozenset({"reviewer", "senior", "lead", "superuser"})
APPROVE = REOPEN = frozenset({"lead", "superuser"})
APPEAL = frozenset({"senior", "lead", "superuser"})
DECIDE = {
    "L1": frozenset({"lead", "superuser"}),
    "L2": frozenset({"senior", "lead", "superuser"}),
    "L3": REVIEW,
    "L4": REVIEW,
}
NEW, TRIAGED, IN_REVIEW, AWAITING = State.NEW, State.TRIAGED, State.IN_REVIEW, State.AWAITING_USER
PROPOSED, HELD, DECIDED, REMEDIATION = State.PROPOSED, State.HELD, State.DECIDED, State.REMEDIATION
NO_VIOLATION, CLOSED, MERGED = State.NO_VIOLATION, State.CLOSED, State.MERGED

# Written out by hand, not read from the table that it checks: from, to, act, and who may.
ALLOWED: dict[tuple[str, str, Act], object] = {
    (NEW, TRIAGED, Act.MOVE): TRIAGE,
    (TRIAGED, IN_REVIEW, Act.MOVE): REVIEW,
    (IN_REVIEW, TRIAGED, Act.MOVE): REVIEW,
    (DECIDED, CLOSED, Act.MOVE): REVIEW,
    (DECIDED, IN_REVIEW, Act.MOVE): REOPEN,
    (REMEDIATION, IN_REVIEW, Act.MOVE): REOPEN,
    (CLOSED, IN_REVIEW, Act.MOVE): REOPEN,
    (NO_VIOLATION, IN_REVIEW, Act.MOVE): REOPEN,
    (IN_REVIEW, AWAITING, Act.ASK): REVIEW,
    (AWAITING, IN_REVIEW, Act.ASK): REVIEW,
    (REMEDIATION, DECIDED, Act.ASK): REVIEW,
    (IN_REVIEW, PROPOSED, Act.DECIDE): REVIEW,
    (PROPOSED, IN_REVIEW, Act.DECIDE): REVIEW,
    (PROPOSED, HELD, Act.DECIDE): DECIDE,
    (PROPOSED, DECIDED, Act.DECIDE): DECIDE,
    (PROPOSED, REMEDIATION, Act.DECIDE): DECIDE,
    (PROPOSED, NO_VIOLATION, Act.DECIDE): DECIDE,
    (HELD, IN_REVIEW, Act.DECIDE): APPROVE,
    (HELD, DECIDED, Act.DECIDE): APPROVE,
    (HELD, REMEDIATION, Act.DECIDE): APPROVE,
    (HELD, NO_VIOLATION, Act.DECIDE): APPROVE,
    **{(state, MERGED, Act.MERGE): TRIAGE for state in (NEW, TRIAGED, IN_REVIEW, AWAITING)},
    **{(state, NO_VIOLATION, Act.APPEAL): APPEAL for state in (DECIDED, REMEDIATION, CLOSED)},
    (CLOSED, DECIDED, Act.APPEAL): APPEAL,
    (REMEDIATION, DECIDED, Act.APPEAL): APPEAL,
}
# What a job makes although it may nothing: an answer came in, or a remedy did not.
BY_JOBS = {(AWAITING, IN_REVIEW, Act.ASK), (REMEDIATION, DECIDED, Act.ASK), (REMEDIATION, IN_REVIEW, Act.MOVE)}
EVERY = [(before, after, act) for before in State for after in State for act in Act]
ROLES = ("intake", "reviewer", "senior", "lead", "auditor", "superuser", "owner", "job")


class _Undo(Exception):
    """Ends a try."""


@contextmanager
def tried() -> Iterator[None]:
    """Undo what the block has done to the database."""
    try:
        with transaction.atomic():
            yield
            raise _Undo
    except _Undo:
        pass


def actor_of(role: str, owner: User) -> User | None:
    """Somebody of a role; the accused organisation's owner, who is a stranger to the desk; or a job."""
    if role == "job":
        return None
    if role == "owner":
        return owner
    if role == "superuser":
        return cast.person("sam", is_staff=True, is_superuser=True)
    return desk.worker("pat", role)


def may(role: str, move: tuple[str, str, Act], level: str) -> bool:
    """What the table above says."""
    if role == "job":
        return move in BY_JOBS
    allowed = ALLOWED.get(move, frozenset())
    return role in (allowed[level] if isinstance(allowed, dict) else allowed)


@pytest.fixture
def case(acme: Organisation) -> Case:
    """A new case."""
    return desk.case_of(acme)


def put(case: Case, before: str, level: str, other: Case) -> Case:
    """The case as if it had come to a state; the way there is what other tests walk."""
    Case.objects.filter(pk=case.pk).update(state=before, level=level, merged_into=other if before == MERGED else None)
    return Case.objects.select_related("category", "organisation").get(pk=case.pk)


def try_to(case: Case, move: tuple[str, str, Act], actor: User | None, other: Case) -> CaseError | None:
    """Make a move. Returns the refusal."""
    values = {"merged_into": other} if move[1] == MERGED else {}
    try:
        with transaction.atomic():
            cases.move(case=case, to=move[1], act=move[2], actor=actor, reason="Tried", **values)
    except CaseError as refusal:
        return refusal
    return None


@pytest.mark.parametrize("level", Level)
@pytest.mark.parametrize("role", ROLES)
def test_each_role_makes_the_moves_of_the_table_and_every_other_is_refused_and_logged(
    acme: Organisation, ada: User, case: Case, role: str, level: str, caplog: pytest.LogCaptureFixture
) -> None:
    actor, other = actor_of(role, ada), desk.case_of(acme)
    for move in ALLOWED:
        with tried():
            now = put(case, move[0], level, other)
            count = (CaseEvent.objects.count(), AuditEvent.objects.count())
            caplog.clear()
            refusal = try_to(now, move, actor, other)
            if may(role, move, level):
                assert refusal is None, (move, refusal)
                assert Case.objects.get(pk=case.pk).state == move[1]
                assert CaseEvent.objects.filter(case=case, kind="state", actor=actor, after=move[1]).exists()
                continue
            assert isinstance(refusal, NotPermitted), (move, refusal)
            assert case.reference in caplog.text
            assert Case.objects.get(pk=case.pk).state == move[0]
            assert (CaseEvent.objects.count(), AuditEvent.objects.count()) == count


def test_what_is_in_no_table_is_refused_to_the_superuser_too_and_logged(
    acme: Organisation, case: Case, root: User, caplog: pytest.LogCaptureFixture
) -> None:
    other = desk.case_of(acme)
    unknown = [move for move in EVERY if move not in ALLOWED]
    assert len(unknown) == 11 * 11 * 5 - len(ALLOWED)
    for move in unknown:
        with tried():
            now = put(case, move[0], "L3", other)
            caplog.clear()
            assert isinstance(try_to(now, move, root, other), IllegalMove), move
            assert case.reference in caplog.text
            assert Case.objects.get(pk=case.pk).state == move[0]


@pytest.mark.parametrize("role", ["lead", "superuser", "reviewer", "intake", "auditor"])
def test_a_page_offers_by_hand_just_what_the_table_lets_that_person_do(
    acme: Organisation, ada: User, case: Case, role: str
) -> None:
    actor, other = actor_of(role, ada), desk.case_of(acme)
    assert actor is not None
    for before in State:
        with tried():
            now = put(case, before, "L3", other)
            offered = set(moves.open_to(case=now, user=actor))
            assert offered == {to for to in State if may(role, (before, to, Act.MOVE), "L3")}


@pytest.mark.parametrize("who", ["reporter", "member", "himself", "declared", "other login"])
def test_whom_a_case_concerns_moves_it_nowhere_not_even_as_superuser(acme: Organisation, who: str, case: Case) -> None:
    actor = cast.person("sam", is_staff=True, is_superuser=True)
    if who == "member":
        cast.member(acme, actor)
    elif who == "himself":
        cast.member(acme, actor)
        Case.objects.filter(pk=case.pk).update(user=actor)
    elif who == "declared":
        Conflict.objects.create(user=actor, organisation=acme, reason="My sister works there")
    elif who == "other login":
        twin = cast.person("twin")
        cast.member(acme, twin)
        Conflict.objects.create(user=twin, same_person=actor, reason="Declared")
    elif who == "reporter":
        desk.reported(case, by=actor)
    case.refresh_from_db()
    with pytest.raises(NotPermitted, match="may not work on this case"):
        desk.move(case, actor, State.TRIAGED)
    assert Case.objects.get(pk=case.pk).state == State.NEW


def test_permissions_named_by_the_table_exist() -> None:
    named = {code for acts in moves.MOVES.values() for needed in acts.values() for code in needed.values()}
    known = {value for value in vars(permissions).values() if isinstance(value, str)}
    assert named <= known
