"""Authorisation evidence: handed in by one, approved by another, withdrawn at once (CHN-01, CHN-07)."""

from datetime import date
from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import transaction

from accounts.models import User
from accounts.services import audit
from channels.governance import in_force
from channels.models import AuthorisationEvidence, Channel
from channels.services import catalogue
from newapi.kernel import clock

NEW_CHANNEL = (
    "A new channel has no authorisation evidence yet. Save it disabled, hand in its evidence, and enable it once that "
    "is approved."
)


@transaction.atomic
def submit(
    *,
    channel: Channel | None = None,
    service: str = "",
    kind: str,
    legal_owner: str,
    document_name: str,
    document_sha256: str,
    valid_from: date,
    valid_until: date | None = None,
    actor: User | None,
    reason: str,
    address: str | None = None,
) -> AuthorisationEvidence:
    """Hand in evidence for a channel, or for another service. It counts once somebody else has approved it.

    document_sha256: 64 hexadecimal digits. Raises ValidationError.
    """
    check(channel=channel, service=service, valid_from=valid_from, valid_until=valid_until)
    evidence = AuthorisationEvidence(
        channel=channel,
        service=service,
        kind=kind,
        legal_owner=legal_owner.strip(),
        document_name=document_name.strip(),
        document_sha256=document_sha256.strip().lower(),
        valid_from=valid_from,
        valid_until=valid_until,
        submitted_by=actor,
    )
    evidence.full_clean()
    evidence.save()
    _record(evidence, "submit", actor=actor, reason=reason, address=address, changes=_said(evidence))
    return evidence


def check(*, channel: Channel | None, service: str, valid_from: date, valid_until: date | None) -> None:
    """Raise ValidationError unless it is for one thing and would count on some day."""
    if channel is None and not service:
        raise ValidationError({"channel": "Choose a channel, or name another service."})
    if channel is not None and service:
        raise ValidationError({"service": "Either a channel or another service, not both."})
    if valid_until is not None and valid_until < valid_from:
        raise ValidationError({"valid_until": "It ends before it begins."})
    if valid_until is not None and valid_until < clock.today():
        raise ValidationError({"valid_until": "It has ended already, so it would never count."})


@transaction.atomic
def approve(
    *, evidence: AuthorisationEvidence, actor: User | None, reason: str, address: str | None = None
) -> AuthorisationEvidence:
    """Put evidence in force, from its first day on. Raises ValidationError, of whoever handed it in too."""
    current = _current(evidence)
    if actor is None:
        raise ValidationError("A person has to approve evidence.")
    if actor.pk == current.submitted_by_id:
        raise ValidationError("You handed it in yourself. Somebody else has to approve it.")
    if current.valid_until is not None and current.valid_until < clock.today():
        raise ValidationError(f"It ended on {current.valid_until}. Hand in what is valid now.")
    waiting = AuthorisationEvidence.objects.filter(pk=current.pk, approved_at=None, withdrawn_at=None)
    if not waiting.update(approved_by=actor, approved_at=clock.now()):
        raise ValidationError("It is not waiting for approval any more.")
    catalogue.bump()
    evidence.refresh_from_db()
    _record(evidence, "approve", actor=actor, reason=reason, address=address)
    return evidence


@transaction.atomic
def withdraw(
    *, evidence: AuthorisationEvidence, actor: User | None, reason: str, address: str | None = None
) -> AuthorisationEvidence:
    """End evidence now: the next call is not sent by it any more. Raises ValidationError when it is withdrawn."""
    standing = AuthorisationEvidence.objects.filter(pk=evidence.pk, withdrawn_at=None)
    if not standing.update(withdrawn_by=actor, withdrawn_at=clock.now()):
        raise ValidationError("It has been withdrawn already.")
    catalogue.bump()
    evidence.refresh_from_db()
    _record(evidence, "withdraw", actor=actor, reason=reason, address=address)
    return evidence


def is_there(*, service: str) -> bool:
    """Whether evidence is in force for another party's service, such as stripe, or none is required here."""
    return not settings.CHANNEL_EVIDENCE_REQUIRED or in_force(clock.today()).filter(service=service).exists()


def require(*, service: str) -> None:
    """Raise ValidationError, in the operators' words, when no evidence is in force for another party's service."""
    if not is_there(service=service):
        raise ValidationError(
            f"No authorisation evidence is in force for the service “{service}”. Hand it in and have it approved first."
        )


def check_may_enable(channel: Channel) -> None:
    """Raise ValidationError when a save would enable a channel that has no evidence in force.

    channel: as it is to be saved, new or not. One that is enabled already may be saved: without evidence no call
    goes to it anyway.
    """
    if not settings.CHANNEL_EVIDENCE_REQUIRED or channel.status != Channel.Status.ENABLED:
        return
    if channel.pk is None:
        raise ValidationError({"status": NEW_CHANNEL})
    if Channel.objects.filter(pk=channel.pk, status=Channel.Status.ENABLED).exists():
        return
    if not in_force(clock.today()).filter(channel=channel).exists():
        raise ValidationError(
            {"status": "No approved authorisation evidence is in force for this channel. It cannot be enabled without."}
        )


def _current(evidence: AuthorisationEvidence) -> AuthorisationEvidence:
    return AuthorisationEvidence.objects.get(pk=evidence.pk)


def _said(evidence: AuthorisationEvidence) -> dict[str, list[Any]]:
    """What was handed in, for the audit record."""
    names = ("kind", "legal_owner", "document_name", "document_sha256", "valid_from", "valid_until")
    return {name: [None, getattr(evidence, name)] for name in names}


def _record(evidence: AuthorisationEvidence, verb: str, **details: Any) -> None:
    audit.record(action=f"authorisation_evidence.{verb}", target=evidence, **details)
