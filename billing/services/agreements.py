"""The recharge agreement: published by the platform, accepted by who pays in (BIL-18)."""

import hashlib

from django.db import transaction

from accounts.models import Organisation, User
from accounts.services import audit
from billing.models import RechargeAcceptance, RechargeAgreement
from billing.payments.refusals import PaymentRefusal

TEXT_LENGTH_MAX = 200_000


@transaction.atomic
def publish(
    *, version: str, text: str, actor: User | None, reason: str, address: str | None = None
) -> RechargeAgreement:
    """Put a version in force: from now on it is accepted before a top-up. Raises ValidationError."""
    if not text.strip() or len(text) > TEXT_LENGTH_MAX:
        raise PaymentRefusal({"text": f"The agreement has a text of at most {TEXT_LENGTH_MAX} characters."})
    agreement = RechargeAgreement(
        version=version.strip(), text=text, sha256=hashlib.sha256(text.encode()).hexdigest(), published_by=actor
    )
    agreement.full_clean()
    agreement.save()
    changes = {"version": [None, agreement.version], "sha256": [None, agreement.sha256]}
    audit.record(
        actor=actor,
        action="recharge_agreement.publish",
        target=agreement,
        reason=reason,
        changes=changes,
        address=address,
    )
    return agreement


def in_force() -> RechargeAgreement | None:
    """The newest version; None while there is none, and nothing is asked then."""
    return RechargeAgreement.objects.order_by("-id").first()


def accepted(*, organisation: Organisation, user: User | None) -> RechargeAcceptance | None:
    """The acceptance of the version in force by a person for an organisation; by anybody, when user is None."""
    agreement = in_force()
    if agreement is None:
        return None
    found = RechargeAcceptance.objects.filter(agreement=agreement, organisation=organisation)
    return (found.filter(user=user) if user is not None else found).select_related("agreement").order_by("id").first()


def needed_by(*, organisation: Organisation, user: User | None) -> RechargeAgreement | None:
    """What has to be accepted before a top-up; None when nothing has to."""
    agreement = in_force()
    if agreement is None or accepted(organisation=organisation, user=user) is not None:
        return None
    return agreement


@transaction.atomic
def accept(
    *, agreement: RechargeAgreement, organisation: Organisation, user: User, address: str | None = None
) -> RechargeAcceptance:
    """Note that a person accepts for an organisation; again is harmless. The caller has checked that the person may.

    Raises PaymentRefusal for a version that is not the one in force: somebody would accept what they have not seen.
    """
    newest = in_force()
    if newest is None or newest.pk != agreement.pk:
        raise PaymentRefusal("A newer version of the recharge agreement is in force. Read that one.")
    acceptance, is_new = RechargeAcceptance.objects.get_or_create(
        agreement=agreement, organisation=organisation, user=user, defaults={"address": address or None}
    )
    if is_new:
        audit.record(
            actor=user,
            action="recharge_agreement.accept",
            target=acceptance,
            reason=f"Accepted version {agreement.version}",
            organisation=organisation,
            address=address,
        )
    return acceptance
