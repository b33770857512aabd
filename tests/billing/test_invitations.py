"""Invitations: both sides gain once; nobody by inviting themselves, in a circle, twice, or beyond the cap (BIL-06)."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction

from accounts.models import AuditEvent, Notice, Organisation, Role, User
from billing.errors import BillingRefusal, WalletFrozen
from billing.models import Grant, Invitation, LedgerTransaction, Promotion, PromotionUse
from billing.services import contacts, invitation_rules, invitations, promotions, wallets
from newapi.kernel import clock
from newapi.kernel.money import NANO
from tests import cast
from tests.billing import offers
from tests.billing.books import in_account
from tests.billing.threads import together

State = Invitation.State
Invite = Callable[..., Invitation]


@pytest.fixture
def promotion(db: None) -> Promotion:
    """5 USD for who invites, up to three times, and 3 USD for who is invited."""
    return offers.running("invitation", times_per_organisation=3)


def newcomer(name: str, *, owner: User | None = None) -> Organisation:
    """An organisation without money, owned by name@example.com unless by somebody else."""
    return cast.organisation(name, owner=owner or cast.person(name), funds_nano=0)


def sent(promotion: Promotion, inviter: Organisation, email: str, phone: str = "") -> Invitation:
    return invitations.send(
        promotion=promotion,
        inviter=inviter,
        invited_by=None,
        email=email,
        phone=phone,
        purpose="enterprise_client",
        reason="Invited",
    )


def accepted(invitation: Invitation, organisation: Organisation, phone: str = "") -> Invitation:
    return invitations.accept(
        invitation=invitation, organisation=organisation, phone=phone, actor=None, reason="They are here"
    )


def balance(organisation: Organisation) -> int:
    return wallets.open(organisation=organisation).balance_nano


@pytest.mark.req("BIL-06")
def test_both_sides_gain_once(acme: Organisation, root: User, promotion: Promotion) -> None:
    invitation = sent(promotion, acme, "nora@example.com")
    nora = newcomer("nora")
    done = invitations.accept(
        invitation=invitation, organisation=nora, actor=root, reason="Nora is here", address="::1"
    )
    assert (done.state, done.invitee, done.refusal) == (State.ACCEPTED, nora, "")
    assert (balance(acme), balance(nora)) == (105 * NANO, 3 * NANO)
    keys = LedgerTransaction.objects.filter(kind="grant").values_list("idempotency_key", flat=True)
    assert set(keys) == {f"invite:{invitation.pk}:inviter", f"invite:{invitation.pk}:invitee"}
    for grant in Grant.objects.filter(transaction__kind="grant"):
        assert grant.category == Grant.Category.PROMOTIONAL
        assert timedelta(days=89) < grant.expires_at - clock.now() <= timedelta(days=90)
    promotion.refresh_from_db()
    assert promotion.given_nano == 8 * NANO == -in_account(None, "promotion")
    event = AuditEvent.objects.get(action="invitation.accept")
    assert (event.actor, event.reason, event.organisation, event.address) == (root, "Nora is here", acme, "::1")
    assert set(Notice.objects.filter(kind="invitation.accepted").values_list("organisation", flat=True)) == {
        acme.pk,
        nora.pk,
    }
    with pytest.raises(BillingRefusal, match="decided before"):
        accepted(invitation, nora)
    assert (balance(acme), balance(nora)) == (105 * NANO, 3 * NANO)


def test_a_side_that_gets_nothing_gets_nothing(acme: Organisation) -> None:
    promotion = offers.running("invitation", inviter_nano=0)
    nora = newcomer("nora")
    assert accepted(sent(promotion, acme, "nora@example.com"), nora).state == State.ACCEPTED
    assert (balance(acme), balance(nora)) == (100 * NANO, 3 * NANO)
    assert PromotionUse.objects.get().organisation == nora


@pytest.mark.req("BIL-06")
def test_the_same_phone_twice_gains_nothing(acme: Organisation, globex: Organisation, promotion: Promotion) -> None:
    first = sent(promotion, acme, "nora@example.com", "+49 170 1234567")
    accepted(first, newcomer("nora"), "0049 (170) 123 45 67")
    second = sent(promotion, globex, "other@example.com")
    refused = accepted(second, newcomer("other"), "+49-170-123-45-67")
    assert (refused.state, refused.refusal) == (State.REFUSED, invitations.GAINED_BEFORE)
    assert balance(globex) == 100 * NANO
    assert PromotionUse.objects.count() == 2
    # The invitation itself may say the number, though the operator does not.
    third = sent(promotion, globex, "third@example.com", "+491701234567")
    assert accepted(third, newcomer("third")).state == State.REFUSED


@pytest.mark.req("BIL-06")
def test_the_same_address_twice_gains_nothing_whoever_invites(
    acme: Organisation, globex: Organisation, promotion: Promotion
) -> None:
    nora = cast.person("nora")
    first, second = sent(promotion, acme, "nora@example.com"), sent(promotion, globex, "Nora+again@EXAMPLE.com")
    accepted(first, newcomer("first", owner=nora))
    refused = accepted(second, newcomer("second", owner=nora))
    assert (refused.state, refused.refusal) == (State.REFUSED, invitations.GAINED_BEFORE)
    third = sent(promotion, globex, "nora@example.com")
    assert accepted(third, Organisation.objects.get(slug="first")).state == State.REFUSED
    assert balance(globex) == 100 * NANO


@pytest.mark.req("BIL-06")
def test_nobody_invites_themselves(acme: Organisation, ada: User, promotion: Promotion) -> None:
    """Neither the organisation itself, nor another one of the same person, be it under another spelling."""
    alias = User.objects.create_user("ada+two@example.com", cast.PASSWORD)
    co_owned = newcomer("joint")
    cast.member(co_owned, ada, Role.OWNER)
    invitation = sent(promotion, acme, "joint@example.com")
    assert "owner in common" in accepted(invitation, co_owned).refusal
    invitation = sent(promotion, acme, "second@example.com")
    second = newcomer("second")
    cast.member(second, alias, Role.OWNER)
    assert "owner in common" in accepted(invitation, second).refusal
    with pytest.raises(BillingRefusal, match="belongs to your organisation already"):
        sent(promotion, acme, "ada+three@example.com")
    third = sent(promotion, acme, "later@example.com")
    cast.member(acme, cast.person("later"), Role.OWNER)
    assert "owner in common" in accepted(third, acme).refusal
    assert balance(acme) == 100 * NANO
    assert not PromotionUse.objects.exists()


@pytest.mark.req("BIL-06")
def test_no_circle_gains(acme: Organisation, promotion: Promotion) -> None:
    """Acme invites Bee, Bee invites Cee; neither Cee nor Bee may invite Acme."""
    bee, cee = newcomer("bee"), newcomer("cee")
    assert accepted(sent(promotion, acme, "bee@example.com"), bee).state == State.ACCEPTED
    assert accepted(sent(promotion, bee, "cee@example.com"), cee).state == State.ACCEPTED
    for inviter in (cee, bee):
        refused = accepted(sent(promotion, inviter, "ada@example.com"), acme)
        assert refused.state == State.REFUSED
        assert "has itself invited" in refused.refusal
    assert (balance(acme), balance(bee), balance(cee)) == (105 * NANO, 8 * NANO, 3 * NANO)


@pytest.mark.req("BIL-06")
def test_a_chain_that_is_too_long_to_look_at_is_refused(
    acme: Organisation, promotion: Promotion, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(invitation_rules, "CHAIN_MAX", 2)
    above = acme
    for name in ("bee", "cee"):
        below = newcomer(name)
        assert accepted(sent(promotion, above, f"{name}@example.com"), below).state == State.ACCEPTED
        above = below
    assert "longer than 2" in accepted(sent(promotion, above, "dee@example.com"), newcomer("dee")).refusal


@pytest.mark.req("BIL-06")
def test_who_invites_gains_so_often_and_having_been_invited_does_not_count(acme: Organisation) -> None:
    promotion = offers.running("invitation", times_per_organisation=1)
    bee = newcomer("bee")
    assert accepted(sent(promotion, acme, "bee@example.com"), bee).state == State.ACCEPTED
    first, second = sent(promotion, bee, "cee@example.com"), sent(promotion, bee, "dee@example.com")
    assert accepted(first, newcomer("cee")).state == State.ACCEPTED
    refused = accepted(second, newcomer("dee"))
    assert "as often as it may" in refused.refusal
    assert balance(bee) == 8 * NANO
    with pytest.raises(BillingRefusal, match="as often as it may"):
        sent(promotion, bee, "eve@example.com")


@pytest.mark.req("BIL-06", "BIL-07")
def test_after_the_end_or_beyond_the_budget_nobody_gains(acme: Organisation, root: User) -> None:
    promotion = offers.running("invitation", times_per_organisation=9, budget_nano=15 * NANO)
    names = ("bee", "cee", "dee", "eve")
    made = [sent(promotion, acme, f"{name}@example.com") for name in names]
    assert accepted(made[0], newcomer("bee")).state == State.ACCEPTED
    assert "7.00 USD left, of 8.00" in accepted(made[1], newcomer("cee")).refusal
    with clock.at(promotion.ends_at):
        assert "ended" in accepted(made[2], newcomer("dee")).refusal
    promotions.stop(promotion=promotion, actor=root, reason="Enough")
    assert "was stopped" in accepted(made[3], newcomer("eve")).refusal
    assert balance(acme) == 105 * NANO
    event = AuditEvent.objects.filter(action="invitation.refuse").latest("pk")
    assert event.changes["state"] == [State.SENT, State.REFUSED]


def test_an_organisation_that_was_not_invited_changes_nothing(acme: Organisation, promotion: Promotion) -> None:
    invitation = sent(promotion, acme, "nora@example.com", "+49 170 1234567")
    stranger = newcomer("stranger")
    cast.member(stranger, cast.person("nora"), Role.ADMIN)  # not its owner
    for phone in ("", "+49 170 7654321"):
        with pytest.raises(ValidationError, match=r"n…@example\.com or the number"):
            accepted(invitation, stranger, phone)
    invitation.refresh_from_db()
    assert invitation.state == State.SENT
    assert balance(stranger) == 0
    known_by_number = accepted(invitation, stranger, "+49 170 1234567")
    assert known_by_number.state == State.ACCEPTED
    assert bytes(known_by_number.email_digest) == invitation_rules.email_digest("stranger@example.com")


@pytest.mark.req("BIL-07")
def test_who_is_described_wrongly_can_be_described_anew(acme: Organisation) -> None:
    """A country that is not entered yet, or an organisation that is switched off, refuses nothing for good."""
    Organisation.objects.filter(pk=acme.pk).update(country="DE")
    acme.refresh_from_db()
    invitation = sent(offers.running("invitation", countries=["DE"]), acme, "nora@example.com")
    nora = newcomer("nora")
    with pytest.raises(BillingRefusal, match="country is not known"):
        accepted(invitation, nora)
    Organisation.objects.filter(pk=nora.pk).update(country="DE", is_active=False)
    nora.refresh_from_db()
    with pytest.raises(BillingRefusal, match="switched off"):
        accepted(invitation, nora)
    assert (balance(acme), balance(nora)) == (100 * NANO, 0)
    Organisation.objects.filter(pk=nora.pk).update(is_active=True)
    nora.refresh_from_db()
    assert accepted(invitation, nora).state == State.ACCEPTED


@pytest.mark.req("BIL-20")
def test_a_frozen_wallet_takes_no_reward_and_the_invitation_goes_on_waiting(
    acme: Organisation, root: User, promotion: Promotion
) -> None:
    invitation, nora = sent(promotion, acme, "nora@example.com"), newcomer("nora")
    wallets.freeze(organisation=nora, actor=root, reason="Looks odd")
    with pytest.raises(WalletFrozen):
        accepted(invitation, nora)
    invitation.refresh_from_db()
    assert (invitation.state, balance(acme)) == (State.SENT, 100 * NANO)
    assert not PromotionUse.objects.exists()
    wallets.thaw(organisation=nora, actor=root, reason="All is well")
    assert accepted(invitation, nora).state == State.ACCEPTED


@pytest.mark.req("BIL-03")
@pytest.mark.parametrize("purpose", ["", "fun"])
def test_the_database_itself_refuses_an_invitation_without_a_purpose(
    acme: Organisation, promotion: Promotion, purpose: str
) -> None:
    with pytest.raises(BillingRefusal, match="what the money is for"):
        invitations.send(
            promotion=promotion, inviter=acme, invited_by=None, email="a@b.example", purpose=purpose, reason="Invited"
        )
    with pytest.raises(IntegrityError), transaction.atomic():
        Invitation.objects.create(
            promotion=promotion, purpose=purpose, inviter=acme, email_digest=b"x" * 32, hint="a…@b.example"
        )


def test_nothing_is_kept_of_an_address_but_its_digest_and_a_hint(acme: Organisation, promotion: Promotion) -> None:
    sent(promotion, acme, "Nora.Newman+x@example.com", "+49 170 1234567")
    row = str(Invitation.objects.values().get()) + str(list(AuditEvent.objects.values()))
    assert "newman" not in row.lower()
    assert "1234567" not in row
    assert Invitation.objects.get().hint == "n…@example.com"


@pytest.mark.parametrize(
    ("written", "normal"),
    [
        (" Ada@Example.COM ", "ada@example.com"),
        ("ada+news@example.com", "ada@example.com"),
        ("ada.l@example.com", "ada.l@example.com"),
        ("+ada@example.com", "+ada@example.com"),
        ("ada@exämple.com", "ada@xn--exmple-cua.com"),
        ("ada@XN--EXMPLE-CUA.com", "ada@xn--exmple-cua.com"),
    ],
)
def test_addresses_have_one_spelling(written: str, normal: str) -> None:
    assert contacts.normal_email(written) == normal


@pytest.mark.parametrize(
    "written", ["", "ada", "@example.com", "ada@", "a b@example.com", "ada@example..com", f"ada@{'x' * 300}.com"]
)
def test_what_is_no_address_is_refused(written: str) -> None:
    with pytest.raises(ValidationError, match="no e-mail address"):
        contacts.normal_email(written)


@pytest.mark.parametrize(
    ("written", "normal"),
    [
        ("", ""),
        ("+49 (170) 123-45.67", "491701234567"),
        ("0049 170 1234567", "491701234567"),
        ("491701234567", "491701234567"),
        ("+12345678", "12345678"),
        ("+123456789012345", "123456789012345"),
    ],
)
def test_numbers_have_one_spelling(written: str, normal: str) -> None:
    assert contacts.normal_phone(written) == normal


@pytest.mark.parametrize(
    "written", ["0170 1234567", "+1234567", "+1234567890123456", "call me", "+٤٩١٧٠١٢٣٤٥٦٧", "+0123456789"]
)
def test_what_is_no_number_is_refused(written: str) -> None:
    with pytest.raises(ValidationError, match="country code"):
        contacts.normal_phone(written)


@pytest.mark.req("BIL-06")
@pytest.mark.django_db(transaction=True)
def test_one_invitation_accepted_eight_times_at_once_gives_once(acme: Organisation) -> None:
    promotion = offers.running("invitation", times_per_organisation=9)
    invitation, nora = sent(promotion, acme, "nora@example.com"), newcomer("nora")
    results = together(*[lambda: accepted(invitation, nora)] * 8)
    assert sum(isinstance(result, Invitation) for result in results) == 1
    assert sum(isinstance(result, BillingRefusal) for result in results) == 7
    assert (balance(acme), balance(nora)) == (105 * NANO, 3 * NANO)


@pytest.mark.req("BIL-06")
@pytest.mark.django_db(transaction=True)
def test_of_many_sent_at_once_no_more_wait_than_may_and_an_address_waits_once(
    acme: Organisation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(invitations, "OPEN_MAX", 3)
    promotion = offers.running("invitation", times_per_organisation=9)
    results = together(*[lambda n=n: sent(promotion, acme, f"guest{n // 2}@example.com") for n in range(8)])
    assert sum(isinstance(result, Invitation) for result in results) == 3
    assert sum(isinstance(result, BillingRefusal) for result in results) == 5
    assert Invitation.objects.values("email_digest").distinct().count() == Invitation.objects.count() == 3


@pytest.mark.req("BIL-06")
@pytest.mark.django_db(transaction=True)
def test_two_that_invite_each_other_at_once_close_no_circle(acme: Organisation, globex: Organisation) -> None:
    """By two promotions, so that no budget is between them."""
    first, second = (offers.running("invitation", name=name) for name in ("Spring", "Summer"))
    one, other = sent(first, acme, "gus@example.com"), sent(second, globex, "ada@example.com")
    results = together(lambda: accepted(one, globex), lambda: accepted(other, acme))
    assert sorted(result.state for result in results) == [State.ACCEPTED, State.REFUSED]
    assert sorted([balance(acme), balance(globex)]) == [103 * NANO, 105 * NANO]


@pytest.mark.req("BIL-06")
@pytest.mark.django_db(transaction=True)
def test_one_number_accepted_by_two_at_once_gains_once(acme: Organisation, globex: Organisation) -> None:
    promotion = offers.running("invitation", times_per_organisation=9)
    bee, cee = newcomer("bee"), newcomer("cee")
    one, other = sent(promotion, acme, "bee@example.com"), sent(promotion, globex, "cee@example.com")
    phone = "+49 170 1234567"
    results = together(lambda: accepted(one, bee, phone), lambda: accepted(other, cee, phone))
    assert sorted(result.state for result in results) == [State.ACCEPTED, State.REFUSED]
    assert sorted(balance(side) for side in (acme, globex, bee, cee)) == [0, 3 * NANO, 100 * NANO, 105 * NANO]
