"""Sealed child-safety cases: for everybody without a grant of their own they do not exist, superusers included."""

import pytest

from accounts.models import AuditEvent, Organisation, User
from moderation import selectors
from moderation.errors import NotPermitted
from moderation.models import Case, CaseEvent, Restriction
from moderation.services import cases, decisions, moves, restrictions
from tests import cast
from tests.moderation import desk

pytestmark = pytest.mark.django_db

CANARY = "the-canary-of-a-sealed-reason"


@pytest.fixture
def sealed(acme: Organisation) -> Case:
    """A sealed case, opened by a job."""
    return desk.case_of(acme, "CS-CSAM")


def test_who_sees_which_cases(acme: Organisation, sealed: Case, root: User, lea: User, kim: User, ada: User) -> None:
    plain = desk.case_of(acme)
    gone = cast.person("gone", is_staff=True, is_superuser=True, is_active=False)
    seen = {user.name: set(selectors.cases_visible_to(user)) for user in (root, lea, kim, ada, gone)}
    assert seen == {"Root": {plain}, "Lea": {plain}, "Kim": {sealed}, "Ada": set(), "Gone": set()}


def test_the_same_holds_for_rows_that_lead_to_a_case(acme: Organisation, sealed: Case, root: User) -> None:
    plain = desk.case_of(acme)
    events = CaseEvent.objects.filter(selectors.visible_to(root, case="case__"))
    assert {event.case for event in events} == {plain}


def test_a_grant_in_person_or_by_group_opens_it_and_leaving_closes_it(sealed: Case, kim: User) -> None:
    assert sealed in selectors.cases_visible_to(kim)
    kim.groups.clear()
    assert sealed not in selectors.cases_visible_to(User.objects.get(pk=kim.pk))


@pytest.mark.parametrize("who", ["root", "lea"])
def test_edge_37_without_the_grant_nothing_can_be_done_to_it(
    sealed: Case, who: str, request: pytest.FixtureRequest, caplog: pytest.LogCaptureFixture
) -> None:
    actor = request.getfixturevalue(who)
    assert moves.open_to(case=sealed, user=actor) == []
    for act in (
        lambda: desk.move(sealed, actor, Case.State.TRIAGED),
        lambda: cases.assign(case=sealed, assignee=actor, actor=actor, reason="Mine"),
        lambda: cases.set_level(case=sealed, level="L2", actor=actor, reason="Less"),
        lambda: cases.add_note(case=sealed, text="Hello", actor=actor),
        lambda: restrictions.impose(
            organisation=sealed.organisation, scope="organisation", case=sealed, reason="Stop", actor=actor
        ),
    ):
        caplog.clear()
        with pytest.raises(NotPermitted, match="may not see"):
            act()
        assert sealed.reference in caplog.text
    assert [event.kind for event in sealed.events.all()] == ["opened"]
    assert not Restriction.objects.exists()


def test_child_safety_takes_it_to_the_end(sealed: Case, kim: User) -> None:
    desk.move(sealed, kim, Case.State.TRIAGED, Case.State.IN_REVIEW)
    held = desk.decide(sealed, kim)
    decisions.approve(decision=held, actor=desk.worker("kai", "child safety"), reason="I agree")
    desk.move(Case.objects.get(pk=sealed.pk), kim, Case.State.CLOSED)
    assert Case.objects.get(pk=sealed.pk).state == Case.State.CLOSED


def test_it_is_assigned_only_to_those_who_may_see_it(sealed: Case, kim: User, lea: User) -> None:
    cases.assign(case=sealed, assignee=kim, actor=kim, reason="Mine")
    assert Case.objects.get(pk=sealed.pk).assignee == kim
    with pytest.raises(NotPermitted):
        cases.assign(case=sealed, assignee=lea, actor=kim, reason="Please")


def test_its_restriction_is_not_lifted_from_outside(sealed: Case, kim: User, root: User) -> None:
    restriction = restrictions.impose(
        organisation=sealed.organisation, scope="organisation", case=sealed, reason=CANARY, actor=kim
    )
    with pytest.raises(NotPermitted):
        restrictions.lift(restriction=restriction, actor=root, reason="Customer calls")
    assert Restriction.objects.get(pk=restriction.pk).lifted_at is None


def test_the_audit_record_names_neither_its_category_nor_its_reasons(sealed: Case, kim: User) -> None:
    cases.transition(case=sealed, to=Case.State.TRIAGED, expected_version=sealed.version, actor=kim, reason=CANARY)
    cases.add_note(case=sealed, text=CANARY, actor=kim)
    restrictions.impose(organisation=sealed.organisation, scope="organisation", case=sealed, reason=CANARY, actor=kim)
    rows = AuditEvent.objects.filter(organisation=sealed.organisation, actor=kim)
    assert set(rows.values_list("action", flat=True)) == {"case.transition", "case.note", "restriction.impose"}
    for row in AuditEvent.objects.all():
        text = f"{row.object_text} {row.reason} {row.changes}"
        assert CANARY not in text
        assert "CS-CSAM" not in text
    assert desk.told(sealed, "note")[0].reason == CANARY
    assert str(sealed) == f"{sealed.reference} (sealed)"
