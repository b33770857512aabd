"""A row in every table that proves something or keeps something sealed, of an ordinary case."""

from datetime import timedelta
from uuid import UUID

from accounts.models import APIKey, User
from moderation.models import Case, Unsealing
from moderation.services import authority, captured_calls, chains, data_access, evidence, legal_requests, sealed
from newapi.kernel import clock
from tests import cast
from tests.admin.pages import REASON

EVIDENCE = b"evidence-canary: what was asked"
ASKED, ANSWERED = "captured-canary: a question", "captured-canary: an answer"
SECRETS = (EVIDENCE.decode(), ASKED, ANSWERED)


def fill(*, case: Case, api_key: APIKey, user: User) -> None:
    """Evidence, a root, a report and a request of authorities, a captured call that was read, an unsealing, a look."""
    now = clock.now()
    evidence.store(
        case=case, name="calls.txt", contents=EVIDENCE, content_type="text/plain", source="staff", actor=user
    )
    chains.make_root()
    authority.make_due(case=case, actor=user, reason=REASON)
    legal_requests.receive(
        authority="Cybercrime office",
        country="DE",
        their_reference="Az. 1",
        legal_basis="§ 100j StPO",
        organisation=case.organisation,
        case=case,
        fields=["organisation", "cases"],
        period_starts_at=now - timedelta(days=30),
        period_ends_at=now,
        due_at=now + timedelta(days=14),
        actor=user,
        reason=REASON,
    )
    grant = data_access.ask(
        organisation=case.organisation,
        basis="support",
        basis_text="Ticket 7",
        scope="Why answers are cut",
        calls_max=5,
        ends_at=now + timedelta(days=7),
        actor=user,
        reason=REASON,
    )
    second = cast.person("second", is_staff=True, is_superuser=True)
    data_access.approve(grant=grant, actor=second, reason=REASON)
    call = captured_calls.capture(
        organisation=case.organisation,
        api_key=api_key,
        trace_id=UUID("01920000-0000-7000-8000-00000000aaaa"),
        at=now,
        request=ASKED,
        answer=ANSWERED,
    )
    assert call is not None
    captured_calls.read(call=call, actor=user, reason=REASON)
    Unsealing.objects.create(case=case, asked_by=user, reason="unsealing-canary")
    sealed.note(user=user, case=case, what="GET /admin/", was_allowed=False, address="203.0.113.7")
