"""Invitations: sent by a member, accepted by an operator once the invited organisation is there (BIL-06).

Nobody is mailed: the house is invite-only, and of a stranger's address only a keyed digest is kept. Both sides gain
once, in one database transaction, or the invitation is refused for good and keeps why.
"""

from contextlib import suppress
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import F, Q, QuerySet

from accounts.models import Membership, Notice, Organisation, User
from accounts.services import audit, notices
from billing.errors import BillingRefusal
from billing.models import Invitation, LedgerTransaction, Promotion, Purpose
from billing.services import contacts, promotions, wallets
from billing.services import invitation_rules as rules
from billing.services.promotion_rules import NotForOrganisation, PromotionRefused, in_force
from newapi.kernel import clock, money

Kind = Promotion.Kind
State = Invitation.State
# Of one organisation, in promotions that still run.
OPEN_MAX = 20
GAINED_BEFORE = "This organisation, its owner's address or the phone number has gained by an invitation before."
DECIDED_BEFORE = "It was decided before."
# Why nobody gains by it: the one reason that is no fault of whom it was for.
WITHDRAWN = "It was withdrawn."


@transaction.atomic
def send(
    *,
    promotion: Promotion,
    inviter: Organisation,
    invited_by: User | None,
    email: str,
    phone: str = "",
    purpose: str,
    reason: str,
    address: str | None = None,
) -> Invitation:
    """Write down whom an organisation invites. Who may is the caller's to check. Raises ValidationError."""
    email, phone = contacts.normal_email(email), contacts.normal_phone(phone)
    if purpose not in Purpose.values:
        raise BillingRefusal({"purpose": "Say what the money is for."})
    promotions.require(promotion=promotion, organisation=inviter, nano=_both_nano(promotion), kind=Kind.INVITATION)
    # So that those which wait are counted, and looked through for this address, one sender after the other.
    _one_at_a_time()
    if email in rules.emails_of(Membership.objects.filter(organisation=inviter, is_active=True)):
        raise BillingRefusal({"email": "Somebody with this address belongs to your organisation already."})
    waiting = waiting_of(inviter)
    if waiting.filter(email_digest=rules.email_digest(email)).exists():
        raise BillingRefusal({"email": "You have invited this address already."})
    if waiting.count() >= OPEN_MAX:
        raise BillingRefusal(f"{OPEN_MAX} invitations wait already. Withdraw one, or wait until one is accepted.")
    invitation = Invitation.objects.create(
        promotion=promotion,
        purpose=purpose,
        inviter=inviter,
        invited_by=invited_by,
        email_digest=rules.email_digest(email),
        phone_digest=rules.phone_digest(phone),
        hint=contacts.hint(email),
    )
    _record(invitation, "send", actor=invited_by, reason=reason, address=address)
    return invitation


def accept(
    *,
    invitation: Invitation,
    organisation: Organisation,
    phone: str = "",
    actor: User | None,
    reason: str,
    address: str | None = None,
) -> Invitation:
    """Credit both sides, once the invited organisation is there; or refuse for good, which its state then says.

    phone: of the organisation's owner, as it was verified. Raises ValidationError, and changes nothing, when the
    organisation is not the one that was invited, the number is none, the promotion is not for one of the two as they
    are described now, a wallet is frozen, or it was decided before.
    """
    phone = contacts.normal_phone(phone)
    told: dict[str, Any] = {"actor": actor, "reason": reason, "address": address}
    try:
        return _accept(invitation, organisation, phone, told)
    except NotForOrganisation:
        raise
    except PromotionRefused as refusal:
        return _refuse(invitation, refusal.messages[0], told)


def withdraw(*, invitation: Invitation, actor: User | None, reason: str, address: str | None = None) -> Invitation:
    """End an invitation that waits: nobody gains by it. Raises BillingRefusal when it was decided before."""
    return _refuse(invitation, WITHDRAWN, {"actor": actor, "reason": reason, "address": address})


def promotions_for(organisation: Organisation) -> list[Promotion]:
    """The promotions by which an organisation could invite now, the one that ends first before the others."""
    running = Promotion.objects.filter(in_force(), kind=Kind.INVITATION, currency=organisation.currency)
    found = []
    for promotion in running.order_by("ends_at", "pk"):
        with suppress(PromotionRefused):
            found.append(promotions.require(promotion=promotion, organisation=organisation, nano=_both_nano(promotion)))
    return found


def waiting_of(inviter: Organisation) -> QuerySet[Invitation]:
    """The invitations of an organisation that can still be accepted."""
    runs = Q(promotion__stopped_at=None, promotion__ends_at__gt=clock.now())
    return Invitation.objects.filter(runs, inviter=inviter, state=State.SENT)


@transaction.atomic
def _accept(invitation: Invitation, organisation: Organisation, phone: str, told: dict[str, Any]) -> Invitation:
    _one_at_a_time()
    invitation = Invitation.objects.select_related("promotion", "inviter").get(pk=invitation.pk)
    promotion, inviter = invitation.promotion, invitation.inviter
    if invitation.state != State.SENT:
        raise BillingRefusal(DECIDED_BEFORE)
    email = rules.matching_email(invitation, organisation, phone)
    rules.check_not_oneself(inviter, organisation)
    rules.check_no_cycle(inviter, organisation)
    gained = Invitation.objects.filter(promotion=promotion, inviter=inviter, state=State.ACCEPTED).count()
    if gained >= promotion.times_per_organisation:
        raise PromotionRefused(f"{inviter} has gained by the promotion “{promotion}” as often as it may.")
    for side in (inviter, organisation):
        promotions.require(promotion=promotion, organisation=side, nano=_both_nano(promotion), kind=Kind.INVITATION)
    _claim(invitation, organisation, email, phone)
    gains = [(inviter, promotion.inviter_nano, "inviter"), (organisation, promotion.invitee_nano, "invitee")]
    # In the order of the wallets, as whoever books usage locks them.
    for side, nano, name in sorted(gains, key=lambda gain: wallets.open(organisation=gain[0]).pk):
        if nano:
            _give(invitation, side, nano, name, told)
    invitation.refresh_from_db()
    changes = {"state": [State.SENT, State.ACCEPTED], "invitee": [None, organisation.slug]}
    _record(invitation, "accept", changes=changes, **told)
    return invitation


def _one_at_a_time() -> None:
    """Until one is over, the other waits here: two acceptances that cross, A by B and B by A, would each see no cycle.

    The row is the oldest promotion of invitations; where there is an invitation there is one.
    """
    first = Promotion.objects.filter(kind=Kind.INVITATION).order_by("pk").values_list("pk", flat=True)[0]
    Promotion.objects.filter(pk=first).update(given_nano=F("given_nano"))


def _claim(invitation: Invitation, organisation: Organisation, email: str, phone: str) -> None:
    """Mark it accepted, with the digests of who it was. The constraints know who has gained before."""
    number = {"phone_digest": rules.phone_digest(phone)} if phone else {}
    try:
        with transaction.atomic():
            claimed = Invitation.objects.filter(pk=invitation.pk, state=State.SENT).update(
                state=State.ACCEPTED,
                invitee=organisation,
                email_digest=rules.email_digest(email),
                decided_at=clock.now(),
                **number,
            )
    except IntegrityError:
        raise PromotionRefused(GAINED_BEFORE) from None
    if not claimed:
        raise BillingRefusal(DECIDED_BEFORE)


def _give(invitation: Invitation, side: Organisation, nano: int, name: str, told: dict[str, Any]) -> None:
    promotion = invitation.promotion
    booked = wallets.credit(
        organisation=side,
        amount_nano=nano,
        kind=LedgerTransaction.Kind.GRANT,
        idempotency_key=f"invite:{invitation.pk}:{name}",
        terms=promotions.terms_of(promotion),
        **told,
    )
    promotions.use(promotion=promotion, organisation=side, nano=nano, booked=booked)
    notices.post(
        once=f"invite:{invitation.pk}:{name}",
        kind="invitation.accepted",
        title=f"An invitation was accepted: {money.display(nano, promotion.currency)} for you",
        body=f"By the promotion “{promotion}”. It can be spent from the next call on.",
        audience=Notice.Audience.BILLING,
        organisation=side,
    )


@transaction.atomic
def _refuse(invitation: Invitation, refusal: str, told: dict[str, Any]) -> Invitation:
    waiting = Invitation.objects.filter(pk=invitation.pk, state=State.SENT)
    if not waiting.update(state=State.REFUSED, refusal=refusal[:200], decided_at=clock.now()):
        raise BillingRefusal(DECIDED_BEFORE)
    invitation.refresh_from_db()
    _record(invitation, "refuse", changes={"state": [State.SENT, State.REFUSED], "refusal": ["", refusal]}, **told)
    return invitation


def _both_nano(promotion: Promotion) -> int:
    return promotion.inviter_nano + promotion.invitee_nano


def _record(invitation: Invitation, verb: str, **details: Any) -> None:
    audit.record(action=f"invitation.{verb}", target=invitation, **details)
