"""Who is invited, and who may not gain by it. Nothing is written here."""

from django.core.exceptions import ValidationError
from django.db.models import QuerySet

from accounts.models import Membership, Organisation, Role
from billing.errors import BillingRefusal
from billing.models import Invitation
from billing.services import contacts
from billing.services.promotion_rules import PromotionRefused
from newapi.kernel import secrets

# How far up the inviters of inviters are looked at; behind a chain that is longer nobody gains.
CHAIN_MAX = 1_000


def matching_email(invitation: Invitation, organisation: Organisation, phone: str) -> str:
    """The normalised address of the owner who was invited, known by it or by the phone number.

    Raises BillingRefusal when neither is the one.
    """
    emails = emails_of(owners_of(organisation))
    for email in emails:
        if email_digest(email) == bytes(invitation.email_digest):
            return email
    digest = phone_digest(phone)
    if emails and digest and invitation.phone_digest and digest == bytes(invitation.phone_digest):
        return emails[0]
    who = f"No owner of {organisation} has the address {invitation.hint} or the number that was invited."
    raise BillingRefusal({"organisation": who})


def check_not_oneself(inviter: Organisation, organisation: Organisation) -> None:
    """Raise PromotionRefused when both are one, or one person owns both, under whichever spelling of an address."""
    here, there = (owners_of(side) for side in (inviter, organisation))
    same_person = here.filter(user__in=there.values("user")).exists()
    if inviter == organisation or same_person or set(emails_of(here)) & set(emails_of(there)):
        raise PromotionRefused("Nobody invites themselves: both organisations have an owner in common.")


def check_no_cycle(inviter: Organisation, organisation: Organisation) -> None:
    """Walk up from the inviter to whoever invited it, and on. Raises PromotionRefused when the invited is there."""
    above: int | None = inviter.pk
    accepted = Invitation.objects.filter(state=Invitation.State.ACCEPTED)
    for _ in range(CHAIN_MAX):
        above = accepted.filter(invitee=above).values_list("inviter", flat=True).first()
        if above is None:
            return
        if above == organisation.pk:
            raise PromotionRefused(f"{organisation} has itself invited {inviter}, or whoever invited it.")
    raise PromotionRefused(f"The chain of invitations is longer than {CHAIN_MAX}.")


def owners_of(organisation: Organisation) -> QuerySet[Membership]:
    """The people who own an organisation now."""
    return Membership.objects.filter(organisation=organisation, role=Role.OWNER, is_active=True)


def emails_of(memberships: QuerySet[Membership]) -> list[str]:
    """The normalised addresses of members, each once."""
    found = memberships.order_by("pk").values_list("user__email", flat=True)
    return list(dict.fromkeys(_spelling(email) for email in found))


def email_digest(email: str) -> bytes:
    """Of a normalised address."""
    return secrets.contact_digest(f"email:{email}")


def phone_digest(phone: str) -> bytes | None:
    """Of a normalised number; None for none."""
    return secrets.contact_digest(f"phone:{phone}") if phone else None


def _spelling(email: str) -> str:
    try:
        return contacts.normal_email(email)
    except ValidationError:  # a login that was made by a command need not be an address
        return email.lower()
