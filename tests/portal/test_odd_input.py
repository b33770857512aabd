"""What nobody types: characters that no database keeps, numbers beyond every column. A clear answer, never a fault."""

import uuid

import pytest
from django.test import Client

from accounts.models import APIKey, AuditEvent, Organisation, User
from billing.models import AutoTopUp, Invitation, TopUpOrder
from billing.services import auto_top_ups, kept_methods
from channels.models import Model
from newapi.kernel.money import NANO
from tests import paying
from tests.billing import offers
from tests.portal.conftest import LogIn

NUL = "be\x00fore"
HUGE = "9" * 30
VERY_LONG = "9" * 5000  # more digits than Python reads as a number


@pytest.mark.django_db
@pytest.mark.parametrize("odd", [NUL, HUGE, VERY_LONG, "\ud800", "%", "'"])
def test_the_public_prices_answer_whatever_is_asked(odd: str, chat_model: Model) -> None:
    for name in ("q", "currency", "page"):
        answer = Client().get("/rates", {name: odd.encode("utf-8", "surrogatepass")})
        assert answer.status_code == 200, name


@pytest.mark.parametrize("odd", [NUL, HUGE, VERY_LONG])
def test_lists_and_statements_answer_whatever_is_asked(
    odd: str, acme: Organisation, ada: User, chat_model: Model, log_in: LogIn
) -> None:
    client = log_in(ada)
    for path, name in (
        ("balance", "before"),
        ("top-ups", "page"),
        ("redeem", "page"),
        ("invite", "page"),
        ("statement", "page"),
        ("statement", "by"),
        ("statement", "format"),
        ("calls", "model"),
    ):
        assert client.get(f"/o/acme/{path}", {name: odd}).status_code == 200, (path, name)
    assert client.get("/o/acme/statement", {"month": odd}).status_code == 404


@pytest.mark.parametrize("odd", [NUL, HUGE, "-1", "1.5", "true"])
def test_a_provider_or_promotion_that_is_no_number_is_no_choice(
    odd: str, acme: Organisation, ada: User, log_in: LogIn
) -> None:
    paying.provider()
    offers.running("invitation")
    client = log_in(ada)
    order = {"provider": odd, "amount": "25", "purpose": "enterprise_client", "once": uuid.uuid4()}
    assert client.post("/o/acme/top-up", order).status_code == 400
    invitation = {"promotion": odd, "email": "new@example.org", "purpose": "enterprise_client"}
    assert client.post("/o/acme/invite", invitation).status_code == 400
    assert not TopUpOrder.objects.exists()
    assert not Invitation.objects.exists()


def test_an_invitation_of_a_number_beyond_the_column_is_none(acme: Organisation, ada: User, log_in: LogIn) -> None:
    assert log_in(ada).post(f"/o/acme/invite/{HUGE}/withdraw").status_code == 404


def test_a_note_keeps_what_can_be_kept(acme: Organisation, ada: User, adas_key: APIKey, log_in: LogIn) -> None:
    kept = _switched_on(acme, ada)
    client = log_in(ada)
    assert client.post("/o/acme/top-ups/automatic/off", {"note": NUL + "x" * 1000}).status_code == 302
    assert client.post(f"/o/acme/keys/{adas_key.pk}/revoke", {"note": NUL}).status_code == 302
    kept.refresh_from_db()
    adas_key.refresh_from_db()
    assert (kept.is_active, adas_key.state) == (False, "revoked")
    noted = AuditEvent.objects.get(action="auto_top_up.switch_off").reason
    assert noted.startswith("By the member in the portal: before")
    assert len(noted) < 400


def _switched_on(organisation: Organisation, user: User) -> AutoTopUp:
    order = paying.order(organisation, paying.provider(), user, state="credited", saves_method=True)
    kept = kept_methods.keep(order=order, customer_reference="cus_1", method_reference="pm_1")
    settings = {"threshold_nano": 20 * NANO, "amount_minor": 5000, "most_a_month": 3}
    return auto_top_ups.set_up(kept=kept, actor=user, reason="Test set-up", **settings)
