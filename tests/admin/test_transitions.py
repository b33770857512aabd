"""Moves of cases by the forms of their page: each state to each other, by each role, against the table of services."""

import pytest
from django.test import Client

from accounts.models import Organisation, User
from moderation.models import Case, CaseEvent
from moderation.services.moves import Act
from tests.admin import pages
from tests.moderation import desk
from tests.moderation.test_transitions import actor_of, may, put, tried

pytestmark = pytest.mark.django_db

ROLES = ("intake", "reviewer", "senior", "lead", "auditor", "superuser", "owner")


@pytest.mark.parametrize("role", ROLES)
def test_no_form_that_is_sent_to_the_page_moves_a_case_as_the_table_does_not(
    acme: Organisation, ada: User, role: str
) -> None:
    case, other = desk.case_of(acme), desk.case_of(acme)
    actor = actor_of(role, ada)
    assert actor is not None
    client = Client()
    client.force_login(actor)
    for before in Case.State:
        for to in Case.State:
            with tried():
                now = put(case, before, "L3", other)
                sent = {"to": to, "reason": pages.REASON, "expected_version": now.version}
                status = client.post(pages.act(case, "move"), sent).status_code
                moved = Case.objects.get(pk=case.pk).state
                if may(role, (before, to, Act.MOVE), "L3"):
                    assert (status, moved) == (302, to), (before, to)
                    continue
                # Nobody on the desk at all is sent to the login.
                assert status in (200, 403) or role == "owner", (before, to)
                assert moved == before
                assert not CaseEvent.objects.filter(case=case, kind="state").exists()


@pytest.mark.parametrize("act", ["propose", "decide", "approve", "send_back", "suspend", "ask", "merge", "set_level"])
@pytest.mark.parametrize("role", ["auditor", "owner", "intake"])
def test_no_other_act_of_the_page_moves_a_case_for_whom_the_table_names_not(
    acme: Organisation, ada: User, role: str, act: str
) -> None:
    actor = actor_of(role, ada)
    assert actor is not None
    client = Client()
    client.force_login(actor)
    case, other = desk.case_of(acme), desk.case_of(acme)
    for before in Case.State:
        with tried():
            put(case, before, "L1", other)
            client.post(pages.act(case, act), {"reason": pages.REASON})
            assert Case.objects.get(pk=case.pk).state == before
            assert not CaseEvent.objects.filter(case=case, kind__in=("state", "decision", "action")).exists()
