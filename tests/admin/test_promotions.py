"""Promotions, invitations and fees in the admin: handed in by one, reviewed by another, credited by an act."""

import csv
import io
from collections.abc import Callable
from datetime import timedelta
from html import unescape

import pytest
from django.test import Client

from accounts.models import AuditEvent, Organisation, User
from billing.models import Invitation, LedgerTransaction, Promotion
from billing.services import fees, invitations, promotions, wallets
from newapi.kernel import clock
from newapi.kernel.money import NANO
from tests import cast
from tests.admin import pages
from tests.billing import offers


def form(**changed: str) -> dict[str, str]:
    """A bonus on top-ups as the page sends it: from tomorrow on, for ten days."""
    start, end = clock.now() + timedelta(days=1), clock.now() + timedelta(days=11)
    return {
        "name": "Winter",
        "kind": "top_up",
        "currency": "USD",
        "starts_at_0": f"{start:%Y-%m-%d}",
        "starts_at_1": f"{start:%H:%M:%S}",
        "ends_at_0": f"{end:%Y-%m-%d}",
        "ends_at_1": f"{end:%H:%M:%S}",
        "countries": "de\nFR",
        "bonus_percent": "15",
        "grant_days": "60",
        "times_per_organisation": "2",
        "budget_nano": "500",
        **changed,
    }


def lawyer() -> Client:
    """Lena, with every right."""
    lena = offers.lena()
    lena.is_staff = lena.is_superuser = True
    lena.save()
    client = Client()
    client.force_login(lena)
    return client


@pytest.mark.req("BIL-07")
def test_one_hands_in_and_another_reviews(boss: Client, root: User) -> None:
    assert pages.send(boss, pages.add(Promotion), **form()).status_code == 302
    made = Promotion.objects.get()
    assert (made.bonus_percent, made.countries, made.budget_nano) == (15, ["DE", "FR"], 500 * NANO)
    own = pages.text(boss.get(pages.change(made)))
    assert "you handed it in yourself" in own
    assert pages.act(made, "review") not in own
    refused = pages.send(boss, pages.act(made, "review"), document="LEGAL-17")
    assert "You handed it in yourself" in pages.text(refused)
    made.refresh_from_db()
    assert made.reviewed_at is None
    lena = lawyer()
    assert pages.act(made, "review") in pages.text(lena.get(pages.change(made)))
    assert pages.send(lena, pages.act(made, "review"), document="LEGAL-17").status_code == 302
    made.refresh_from_db()
    assert (made.reviewed_by, made.review_document) == (offers.lena(), "LEGAL-17")
    assert AuditEvent.objects.get(action="promotion.review").reason == pages.REASON
    assert pages.act(made, "review") not in pages.text(lena.get(pages.change(made)))
    assert pages.send(boss, pages.act(made, "stop")).status_code == 302
    page = pages.text(boss.get(pages.change(made)))
    assert "Stopped" in page
    assert pages.act(made, "stop") not in page


def test_what_belongs_to_another_kind_does_not_count(boss: Client) -> None:
    sent = form(kind="invitation", inviter_nano="5", invitee_nano="2.50")
    assert pages.send(boss, pages.add(Promotion), **sent).status_code == 302
    made = Promotion.objects.get()
    assert (made.bonus_percent, made.inviter_nano, made.invitee_nano) == (0, 5 * NANO, 5 * NANO // 2)
    assert "5.00 USD to who invites, 2.50 USD to who is invited" in pages.text(boss.get(pages.change(made)))


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"name": ""}, "This field is required"),
        ({"kind": "gift"}, "Select a valid choice"),
        ({"currency": "usd"}, "Three capital letters"),
        ({"bonus_percent": ""}, "A bonus on top-ups has a percentage"),
        ({"bonus_percent": "101"}, "less than or equal to 100"),
        ({"bonus_percent": "1.5"}, "Enter a whole number"),
        ({"countries": "Germany"}, "two capital letters"),
        ({"budget_nano": "0"}, "does not last for a single use"),
        ({"budget_nano": "1000001"}, "At most 1000000"),
        ({"budget_nano": "ten"}, "plain decimal number"),
        ({"grant_days": "0"}, "greater than or equal to 1"),
        ({"starts_at_0": "2999-01-01"}, "It ends before it starts"),
        ({"ends_at_0": "2020-01-01"}, "over before anybody can use it"),
        ({"reason": ""}, "This field is required"),
        ({"kind": "invitation"}, "Invitations give an amount"),
    ],
)
def test_wrong_input_is_explained_and_hands_nothing_in(boss: Client, changed: dict[str, str], said: str) -> None:
    answer = pages.send(boss, pages.add(Promotion), **form(**changed))
    assert answer.status_code == 200
    assert said in unescape(pages.text(answer))
    assert not Promotion.objects.exists()


@pytest.mark.parametrize("action", ["review", "stop"])
def test_reviewing_and_stopping_need_the_right(staff: Callable[..., Client], root: User, action: str) -> None:
    made = offers.submitted(by=root)
    viewer = staff("billing.view_promotion")
    sent = {"document": "LEGAL-17", "reason": pages.REASON}
    assert viewer.get(pages.act(made, action)).status_code == 403
    assert viewer.post(pages.act(made, action), sent).status_code == 403
    assert viewer.get(pages.add(Promotion)).status_code == 403
    made.refresh_from_db()
    assert (made.reviewed_at, made.stopped_at) == (None, None)


def test_promotions_are_found_by_where_they_stand(boss: Client, root: User, acme: Organisation) -> None:
    later = {"starts_at": clock.now() + timedelta(days=1)}
    offers.submitted(name="waiting one")
    offers.running(name="coming one", **later)
    offers.running(name="running one")
    used = offers.running(name="used one", budget_nano=NANO)
    booked = LedgerTransaction.objects.get()
    promotions.use(promotion=used, organisation=acme, nano=NANO, booked=booked)
    promotions.stop(promotion=offers.running(name="stopped one"), actor=root, reason="Enough")
    with clock.shifted(-86_400):
        offers.running(name="ended one", ends_at=clock.now() + timedelta(hours=1))
    names = {"waits_for_review": "waiting", "to_come": "coming", "runs": "running", "used_up": "used",
             "stopped": "stopped", "over": "ended"}  # fmt: skip
    for standing, word in names.items():
        listed = boss.get(f"{pages.list_of(Promotion)}?standing={standing}").context["cl"].queryset
        assert [promotion.name for promotion in listed] == [f"{word} one"], standing


@pytest.fixture
def invitation(acme: Organisation, ada: User) -> Invitation:
    """Acme invites Nora."""
    return invitations.send(
        promotion=offers.running("invitation"),
        inviter=acme,
        invited_by=ada,
        email="nora@example.com",
        phone="+49 170 1234567",
        purpose="enterprise_client",
        reason="Invited",
    )


@pytest.mark.req("BIL-06")
def test_an_operator_accepts_an_invitation(
    boss: Client, root: User, acme: Organisation, invitation: Invitation
) -> None:
    nora = cast.organisation("nora", owner=cast.person("nora"), funds_nano=0)
    url = pages.act(invitation, "accept")
    wrong = pages.send(boss, url, organisation=acme.pk)
    assert "or the number that was invited" in pages.text(wrong)
    assert "country code" in pages.text(pages.send(boss, url, organisation=nora.pk, phone="0170 1"))
    assert pages.send(boss, url, organisation=nora.pk, phone="+49 170 1234567").status_code == 302
    invitation.refresh_from_db()
    assert (invitation.state, invitation.invitee) == ("accepted", nora)
    assert nora.wallets.get().balance_nano == 3 * NANO
    event = AuditEvent.objects.get(action="invitation.accept")
    assert (event.actor, event.reason) == (root, pages.REASON)
    page = pages.text(boss.get(pages.change(invitation)))
    assert url not in page
    assert "nora@example.com" not in page
    assert "decided before" in pages.text(pages.send(boss, url, organisation=nora.pk))


@pytest.mark.req("BIL-06")
def test_an_operator_sees_why_an_invitation_is_refused(
    boss: Client, acme: Organisation, ada: User, invitation: Invitation
) -> None:
    joint = cast.organisation("joint", owner=cast.person("nora"), funds_nano=0)
    cast.member(joint, ada, "owner")
    answer = boss.post(pages.act(invitation, "accept"), {"organisation": joint.pk, "reason": pages.REASON}, follow=True)
    assert "Refused for good. Nobody invites themselves" in pages.text(answer)
    invitation.refresh_from_db()
    assert invitation.state == "refused"
    assert not joint.wallets.exists()


def test_an_operator_withdraws_an_invitation(boss: Client, invitation: Invitation) -> None:
    assert pages.send(boss, pages.act(invitation, "withdraw")).status_code == 302
    invitation.refresh_from_db()
    assert (invitation.state, invitation.refusal) == ("refused", "It was withdrawn.")


@pytest.mark.parametrize("action", ["accept", "withdraw"])
def test_invitations_are_decided_by_right(staff: Callable[..., Client], invitation: Invitation, action: str) -> None:
    viewer = staff("billing.view_invitation", "accounts.view_organisation")
    assert viewer.get(pages.act(invitation, action)).status_code == 403
    assert viewer.post(pages.act(invitation, action), {"reason": pages.REASON}).status_code == 403
    invitation.refresh_from_db()
    assert invitation.state == "sent"


@pytest.mark.req("BIL-21")
def test_fees_paid_are_shown_and_their_list_adds_up(boss: Client, root: User, acme: Organisation) -> None:
    paid = wallets.credit(
        organisation=acme,
        amount_nano=41_250_000_000,
        kind=LedgerTransaction.Kind.TOP_UP,
        idempotency_key="=topup:test:1",
        actor=root,
        reason="Paid",
    )
    wallets.take_back(
        organisation=acme,
        amount_nano=10 * NANO,
        kind=LedgerTransaction.Kind.REFUND,
        idempotency_key="refund:1",
        actor=root,
        reason="Refund",
        grant=paid.grant,
    )
    wallet = acme.wallets.get()
    url = pages.act(wallet, "payments")
    for page in (pages.change(acme), pages.change(wallet)):
        shown = pages.text(boss.get(page))
        assert "131.25 USD" in shown
        assert url in shown
    assert "This field is required" in pages.text(pages.send(boss, url, reason=""))
    answer = pages.send(boss, url)
    assert answer["Content-Type"].startswith("text/csv")
    assert "no-store" in answer["Cache-Control"]
    rows = list(csv.DictReader(io.StringIO(pages.text(answer))))
    assert [row["amount"] for row in rows] == ["100.00", "41.25", "-10.00"]
    assert rows[1]["reference"] == "'=topup:test:1"
    assert fees.lifetime(acme) == 131_250_000_000
    event = AuditEvent.objects.get(action="wallet.payments_export")
    assert (event.actor, event.organisation, event.reason) == (root, acme, pages.REASON)


def test_payments_leave_the_house_by_right_alone(staff: Callable[..., Client], acme: Organisation) -> None:
    url = pages.act(acme.wallets.get(), "payments")
    assert staff().get(url).status_code == 403
    assert staff().post(url, {"reason": pages.REASON}).status_code == 403
    assert "Fees paid" not in pages.text(staff("accounts.view_organisation").get(pages.change(acme)))
