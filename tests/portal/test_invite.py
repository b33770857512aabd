"""The page that invites: owners and admins write down whom, see what became of it, and never read more than a hint."""

import re
from html import unescape

import pytest
from django.test import Client

from accounts.models import AuditEvent, Organisation, User
from billing.errors import BillingRefusal
from billing.models import Invitation
from billing.services import invitations, promotions
from newapi.kernel.money import NANO
from tests.billing import offers
from tests.portal.conftest import LogIn

PAGE = "/o/acme/invite"
EMAIL = "newcomer@example.org"


def form(promotion: object = "", **changed: object) -> dict[str, object]:
    """An invitation as the page sends it."""
    promotion = getattr(promotion, "pk", promotion)
    return {"promotion": promotion, "email": EMAIL, "phone": "", "purpose": "enterprise_client", **changed}


def read(client: Client, path: str = PAGE) -> str:
    """The page as a person reads it."""
    return unescape(client.get(path).content.decode())


@pytest.mark.req("ACC-17", "ACC-38", "BIL-06")
def test_only_owners_and_admins_of_the_organisation_invite(people: dict[str, User], log_in: LogIn) -> None:
    promotion = offers.running("invitation", times_per_organisation=5)
    expected = {"owner": 200, "admin": 200, "billing": 403, "member": 403, "viewer": 403, "stranger": 404}
    assert {role: log_in(user).get(PAGE).status_code for role, user in people.items()} == expected
    for role in ("billing", "member", "viewer", "stranger"):
        assert log_in(people[role]).post(PAGE, form(promotion)).status_code == expected[role]
        assert PAGE not in read(log_in(people[role]), "/o/acme/") or role == "stranger"
    assert Client().post(PAGE, form(promotion)).status_code == 302
    assert not Invitation.objects.exists()
    assert f'href="{PAGE}"' in read(log_in(people["owner"]), "/o/acme/")


def test_while_nothing_runs_the_page_says_so(acme: Organisation, ada: User, log_in: LogIn) -> None:
    offers.submitted("invitation")
    page = read(log_in(ada))
    assert "No promotion runs for you now" in page
    assert 'name="email"' not in page


@pytest.mark.req("BIL-06")
def test_an_invitation_is_entered_listed_and_told_as_a_hint_alone(acme: Organisation, ada: User, log_in: LogIn) -> None:
    promotion = offers.running("invitation")
    client = log_in(ada)
    page = read(client)
    assert "5.00 USD for you, 3.00 USD for them" in page
    assert "We write to nobody" in page
    answer = client.post(PAGE, form(promotion, phone="+44 (20) 7946-0958"), follow=True)
    said = unescape(answer.content.decode())
    assert "Nobody is mailed" in said
    assert "n…@example.org" in said
    assert "Waiting" in said
    assert EMAIL not in said
    assert "79460958" not in re.sub(r"\W", "", said)
    made = Invitation.objects.get()
    assert (made.inviter, made.invited_by, made.purpose) == (acme, ada, "enterprise_client")
    event = AuditEvent.objects.get(action="invitation.send")
    assert (event.actor, event.organisation, event.address) == (ada, acme, "127.0.0.1")
    assert EMAIL not in str(event.changes) + event.object_text


@pytest.mark.req("BIL-03")
@pytest.mark.parametrize("purpose", ["", "fun"])
def test_an_invitation_without_a_purpose_is_not_entered(
    acme: Organisation, ada: User, log_in: LogIn, purpose: str
) -> None:
    answer = log_in(ada).post(PAGE, form(offers.running("invitation"), purpose=purpose))
    assert answer.status_code == 400
    assert not Invitation.objects.exists()


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"email": ""}, "This field is required"),
        ({"email": "nobody"}, "no e-mail address"),
        ({"email": "a@b@c"}, "no e-mail address"),
        ({"email": "ada+other@Example.com"}, "belongs to your organisation already"),
        ({"phone": "0170 1234567"}, "country code"),
        ({"phone": "+49 abc"}, "country code"),
        ({"phone": "+1234567"}, "country code"),
        ({"promotion": 999_999}, "Select a valid choice"),
    ],
)
def test_wrong_input_is_explained_and_enters_nothing(
    acme: Organisation, ada: User, log_in: LogIn, changed: dict[str, object], said: str
) -> None:
    promotion = offers.running("invitation")
    answer = log_in(ada).post(PAGE, {**form(promotion), **changed})
    assert answer.status_code == 400
    assert said in unescape(answer.content.decode())
    assert not Invitation.objects.exists()


def test_a_promotion_of_another_kind_takes_no_invitations(acme: Organisation, ada: User, log_in: LogIn) -> None:
    offers.running("invitation")
    other = offers.running("top_up")
    assert log_in(ada).post(PAGE, form(other)).status_code == 400
    assert not Invitation.objects.exists()


@pytest.mark.req("BIL-06")
def test_the_same_address_is_not_invited_twice(acme: Organisation, ada: User, log_in: LogIn) -> None:
    promotion = offers.running("invitation", times_per_organisation=5)
    client = log_in(ada)
    assert client.post(PAGE, form(promotion)).status_code == 302
    again = client.post(PAGE, form(promotion, email="NewComer+2@EXAMPLE.org"))
    assert again.status_code == 400
    assert "You have invited this address already" in again.content.decode()


def test_what_became_of_each_is_listed(
    acme: Organisation, globex: Organisation, ada: User, gus: User, root: User, log_in: LogIn
) -> None:
    promotion = offers.running("invitation", times_per_organisation=5)
    client = log_in(ada)
    for email in ("gus@example.com", "late@example.org", "wrong@example.org", "twin@example.org"):
        client.post(PAGE, form(promotion, email=email))
    accepted, late, wrong, twin = Invitation.objects.order_by("pk")
    invitations.accept(invitation=accepted, organisation=globex, actor=root, reason="Gus is here")
    invitations.withdraw(invitation=wrong, actor=root, reason="By telephone")
    Invitation.objects.filter(pk=twin.pk).update(state="refused", refusal=invitations.GAINED_BEFORE)
    page = read(client)
    assert "Gained so far: 5.00 USD" in page
    assert "It was withdrawn." in page
    for state in ("Accepted", "Waiting", "Withdrawn", "Refused"):
        assert f">{state}</span>" in page
    assert "Globex" not in page  # what the invited call themselves is theirs to tell
    promotions.stop(promotion=promotion, actor=root, reason="Enough")
    page = read(client)
    assert ">Lapsed</span>" in page
    assert "No promotion runs for you now" in page
    assert late.hint in page


def test_an_invitation_that_waits_is_withdrawn_by_its_own_organisation_alone(
    acme: Organisation, globex: Organisation, ada: User, ben: User, gus: User, log_in: LogIn
) -> None:
    log_in(ada).post(PAGE, form(offers.running("invitation")))
    made = Invitation.objects.get()
    assert log_in(gus).post(f"/o/globex/invite/{made.pk}/withdraw").status_code == 404
    assert log_in(gus).post(f"{PAGE}/{made.pk}/withdraw").status_code == 404
    assert log_in(ben).post(f"{PAGE}/{made.pk}/withdraw").status_code == 403
    assert log_in(ada).get(f"{PAGE}/{made.pk}/withdraw").status_code == 405
    made.refresh_from_db()
    assert made.state == Invitation.State.SENT
    answer = log_in(ada).post(f"{PAGE}/{made.pk}/withdraw", follow=True)
    assert "is withdrawn" in answer.content.decode()
    again = log_in(ada).post(f"{PAGE}/{made.pk}/withdraw", follow=True)
    assert "It was decided before" in again.content.decode()


@pytest.mark.req("BIL-06")
def test_so_many_wait_and_so_many_are_entered_an_hour(acme: Organisation, ada: User, log_in: LogIn) -> None:
    promotion = offers.running("invitation", times_per_organisation=100)
    client = log_in(ada)
    answers = [client.post(PAGE, form(promotion, email=f"n{number}@example.org")).status_code for number in range(21)]
    assert answers == [302] * 20 + [429]
    assert client.get(PAGE).status_code == 200
    with pytest.raises(BillingRefusal, match="20 invitations wait already"):
        invitations.send(
            promotion=promotion,
            inviter=acme,
            invited_by=ada,
            email="one-more@example.org",
            purpose="enterprise_client",
            reason="One more",
        )


def test_only_promotions_for_this_organisation_are_offered(acme: Organisation, ada: User, log_in: LogIn) -> None:
    offers.running("invitation", name="Euros", currency="EUR")
    offers.running("invitation", name="France", countries=["FR"])
    offers.running("invitation", name="Ours", inviter_nano=7 * NANO)
    page = read(log_in(ada))
    assert "Ours" in page
    assert "7.00 USD for you" in page
    assert "Euros" not in page
    assert "France" not in page
