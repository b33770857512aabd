"""The duty roster as its keepers change it. Who is there at a moment says moderation.services.presence."""

from datetime import datetime, timedelta

from django.core.exceptions import ValidationError
from django.db import transaction

from accounts.models import User
from accounts.services import audit
from moderation import permissions
from moderation.errors import NotPermitted
from moderation.models import DutyShift
from moderation.services import acts
from newapi.kernel import clock

SHIFT_MAX = timedelta(days=31)


@transaction.atomic
def put_on(*, user: User, duty: str, starts_at: datetime, ends_at: datetime, actor: User, reason: str) -> DutyShift:
    """Put somebody on duty. Raises NotPermitted, ValidationError."""
    acts.require_reason(reason)
    _require(actor)
    shift = DutyShift(user=user, duty=duty, starts_at=starts_at, ends_at=ends_at, created_by=actor)
    shift.clean_fields(exclude=["user", "created_by"])
    if not shift.starts_at < shift.ends_at <= shift.starts_at + SHIFT_MAX:
        raise ValidationError({"ends_at": f"A shift ends after its start, and within {SHIFT_MAX.days} days of it."})
    if shift.ends_at <= clock.now():
        raise ValidationError({"ends_at": "This is over already."})
    needed = permissions.DUTIES[duty]
    if not (user.is_active and user.is_staff and permissions.may_serve(user, duty)):
        raise ValidationError({"user": f"{user} lacks the permission {needed} that this duty needs."})
    shift.save()
    changes = {"duty": [None, duty], "starts_at": [None, starts_at], "ends_at": [None, ends_at]}
    audit.record(actor=actor, action="duty.put_on", target=shift, reason=reason, changes=changes)
    return shift


@transaction.atomic
def take_off(*, shift: DutyShift, actor: User, reason: str) -> bool:
    """End a shift now, or drop one that is still to come. False when it is over. Raises NotPermitted."""
    acts.require_reason(reason)
    _require(actor)
    now = clock.now()
    ends_at = max(now, shift.starts_at + timedelta(milliseconds=1))
    if not DutyShift.objects.filter(pk=shift.pk, ends_at__gt=ends_at).update(ends_at=ends_at):
        return False
    changes = {"ends_at": [shift.ends_at, ends_at]}
    audit.record(actor=actor, action="duty.take_off", target=shift, reason=reason, changes=changes)
    shift.ends_at = ends_at
    return True


def _require(actor: User) -> None:
    if not permissions.may(actor, permissions.MANAGE_DUTY):
        raise NotPermitted(f"To change the duty roster needs the permission {permissions.MANAGE_DUTY}.")
