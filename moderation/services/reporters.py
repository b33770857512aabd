"""Who reported. Known again by a keyed digest; the address is sealed, and opened for a reason only (MOD-09)."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import transaction
from django.db.models import Count, Q

from accounts.models import User
from accounts.services import audit
from moderation import permissions
from moderation.errors import NotPermitted
from moderation.models import Report, Reporter
from moderation.services import acts, conflicts
from newapi.kernel import clock, secrets

EMAIL_LENGTH_MAX = 254
# A measure ends, and is judged anew then.
MEASURE_MAX = timedelta(days=366)
# What counts towards misuse is of this time, and measures are worth a thought from here on.
MISUSE_WINDOW = timedelta(days=180)
MISUSE_UNFOUNDED_MIN = 3


@dataclass(frozen=True, slots=True)
class Record:
    """What came from a reporter within MISUSE_WINDOW, in numbers."""

    reports: int
    closed: int
    unfounded: int
    no_violation: int

    @property
    def is_suspicious(self) -> bool:
        """Whether misuse is worth a person's thought: often unfounded, and at least half of what was closed."""
        return self.unfounded >= MISUSE_UNFOUNDED_MIN and 2 * self.unfounded >= self.closed


def known(*, email: str, user: User | None) -> Reporter | None:
    """The reporter with this login or address, made when new; None for one who gave neither.

    An address that is typed proves nothing, so it is never taken for the login that has it. Raises ValidationError.
    """
    address = email.strip().lower()
    if address:
        _check(address)
    if user is None and not address:
        return None
    digest = secrets.contact_digest(f"user:{user.pk}" if user else f"email:{address}")
    reporter, is_new = Reporter.objects.get_or_create(
        digest=digest, defaults={"user": user, "sealed_email": _seal(address, digest)}
    )
    if not is_new and address and address_of(reporter) != address:
        reporter.sealed_email = _seal(address, digest)
        reporter.save(update_fields=["sealed_email"])
    return reporter


def address_of(reporter: Reporter) -> str:
    """Where a reporter is answered; empty when nobody knows. For the one mail to them, and nothing else."""
    if reporter.sealed_email:
        return secrets.unseal(reporter.sealed_email, bound_to=_place(bytes(reporter.digest)))
    return reporter.user.email if reporter.user else ""


def is_measured(reporter: Reporter | None) -> bool:
    """Whether a measure against misuse is in force, by the clock."""
    return reporter is not None and reporter.measured_until is not None and clock.now() < reporter.measured_until


def record_of(reporter: Reporter) -> Record:
    """What a person weighs before a measure."""
    recent = Report.objects.filter(reporter=reporter, received_at__gt=clock.now() - MISUSE_WINDOW)
    counted = recent.aggregate(
        reports=Count("pk"),
        closed=Count("pk", filter=~Q(outcome=Report.Outcome.OPEN)),
        unfounded=Count("pk", filter=Q(outcome=Report.Outcome.UNFOUNDED)),
        no_violation=Count("pk", filter=Q(outcome=Report.Outcome.NO_VIOLATION)),
    )
    return Record(**counted)


@transaction.atomic
def measure(*, reporter: Reporter, until: datetime | None, reason: str, actor: User | None) -> Reporter:
    """Impose a measure against misuse until a moment, or end it with None (DSA Art 23). A person does, never a job.

    Raises NotPermitted, ValidationError.
    """
    acts.require_reason(reason)
    if actor is None or not (permissions.may(actor, permissions.VIEW_REPORTER) and permissions.may(actor, *_WORK)):
        raise NotPermitted(f"To measure a reporter needs {permissions.VIEW_REPORTER} and {' or '.join(_WORK)}.")
    if reporter.user_id in conflicts.logins_of(actor):
        raise NotPermitted("This is you.")
    now = clock.now()
    if until is not None and not now < until <= now + MEASURE_MAX:
        raise ValidationError({"until": f"Later than now, and within {MEASURE_MAX.days} days."})
    if until is None and not is_measured(reporter):
        raise ValidationError({"until": "No measure is in force."})
    before = reporter.measured_until
    reporter.measured_until, reporter.measured_by, reporter.measure_reason = until, actor, reason[:500]
    reporter.save(update_fields=["measured_until", "measured_by", "measure_reason"])
    changes = {"measured_until": [before, until]}
    audit.record(actor=actor, action="reporter.measure", target=reporter, reason=reason, changes=changes)
    return reporter


_WORK = (permissions.TRIAGE, permissions.REVIEW)


def _check(address: str) -> None:
    """Raises ValidationError, which never repeats the address."""
    try:
        validate_email(address)
    except ValidationError:
        raise ValidationError({"email": "This is no e-mail address."}) from None
    if len(address) > EMAIL_LENGTH_MAX:
        raise ValidationError({"email": f"At most {EMAIL_LENGTH_MAX} characters."})


def _seal(address: str, digest: bytes) -> str:
    return secrets.seal(address, bound_to=_place(digest)) if address else ""


def _place(digest: bytes) -> str:
    return f"reporter:{digest.hex()}"
