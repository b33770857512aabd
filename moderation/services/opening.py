"""Opening cases, each with a reference of its own and its clocks running."""

from datetime import datetime
from uuid import uuid4

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils import timezone

from accounts.models import APIKey, Membership, Organisation, Project, User
from moderation import permissions
from moderation.models import Case, CaseEvent, PolicyCategory
from moderation.models.policy import Level
from moderation.services import acts, events, report_rules, sla
from newapi.kernel import clock

_Kind = CaseEvent.Kind


@transaction.atomic
def open_case(
    *,
    organisation: Organisation | None,
    category: PolicyCategory,
    summary: str,
    source: str,
    actor: User | None,
    reason: str,
    level: str | None = None,
    received_at: datetime | None = None,
    acted_at: datetime | None = None,
    user: User | None = None,
    project: Project | None = None,
    api_key: APIKey | None = None,
    follows: Case | None = None,
) -> Case:
    """Open a case and start its clocks, counted from `received_at` (aware; now by default).

    `user`, `project` and `api_key` are of the organisation and say whose act it was, which was at `acted_at`;
    `follows` is the case that this one goes on from.

    `level` is the category's unless another is given. Raises ValidationError; NotPermitted when a person may
    not open cases, or when an L1 or L2 category is opened lower without the permission to downgrade.
    """
    acts.require_reason(reason)
    now = clock.now()
    case = Case(
        organisation=organisation,
        category=category,
        level=level or category.level,
        source=source,
        summary=summary,
        received_at=received_at or now,
        acted_at=acted_at,
        user=user,
        project=project,
        api_key=api_key,
        follows=follows,
    )
    _check_new(case, now)
    if actor is not None and not permissions.may(actor, permissions.OPEN):
        raise acts.refused(case, actor, f"To open a case needs the permission {permissions.OPEN}.")
    check_lowering(case, actor, before=category.level, after=case.level)
    _save_numbered(case, year=now.year)
    # No acts.record: whoever types in a mail has not yet responded to it.
    events.append(case=case, kind=_Kind.OPENED, actor=actor, after=case.state, reason=reason)
    changes = {}
    if case.level != category.level:
        changes["level"] = [category.level, case.level]
        events.append(case=case, kind=_Kind.LEVEL, actor=actor, before=category.level, after=case.level, reason=reason)
    acts.audit_case(case=case, actor=actor, action="case.open", reason=reason, changes=changes)
    sla.start(case=case)
    return case


def check_subject(case: Case) -> None:
    """Raises ValidationError when whom a case is about does not belong to its organisation."""
    for name in ("project", "api_key"):
        named = getattr(case, name)
        if named is not None and named.organisation_id != case.organisation_id:
            raise ValidationError({name: "It belongs to another organisation."})
    is_member = Membership.objects.filter(organisation=case.organisation_id, user=case.user_id)
    if case.user_id is not None and not is_member.exists():
        raise ValidationError({"user": "This person has never belonged to the organisation."})


def check_lowering(case: Case, actor: User | None, *, before: str, after: str) -> None:
    """L1 and L2 are lowered by permission only. Raises NotPermitted."""
    if before not in (Level.L1, Level.L2) or not Level(before).is_worse_than(after):
        return
    if actor is None or not permissions.may(actor, permissions.DOWNGRADE):
        raise acts.refused(case, actor, f"To lower {before} needs the permission {permissions.DOWNGRADE}.")


def _check_new(case: Case, now: datetime) -> None:
    """Raises ValidationError for what no case may be opened with."""
    if not case.category.is_in_force:
        raise ValidationError({"category": f"{case.category.code} is retired or not in force here."})
    if timezone.is_naive(case.received_at):
        raise ValidationError({"received_at": "The moment of receipt needs a time zone."})
    if case.received_at > now:
        raise ValidationError({"received_at": "The moment of receipt lies in the future."})
    if case.received_at < now - report_rules.AGE_MAX:
        # Its clocks would be counted day by day since then.
        raise ValidationError({"received_at": "This is longer ago than anything here."})
    check_subject(case)
    case.full_clean(exclude=["reference"])


def _save_numbered(case: Case, *, year: int) -> None:
    """Save a new case under its reference: C-2026-000123.

    The number is the primary key's, so that openings at once neither wait for each other nor collide.
    """
    case.reference = uuid4().hex[:20]
    case.save()
    case.reference = f"C-{year}-{case.pk:06d}"
    case.save(update_fields=["reference"])
