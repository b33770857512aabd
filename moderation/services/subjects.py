"""Whom and what a case is about, said better by a person while it is not being decided."""

from django.core.exceptions import ValidationError
from django.db import transaction

from accounts.models import APIKey, Organisation, Project, User
from accounts.services import epochs
from moderation import permissions
from moderation.errors import IllegalMove
from moderation.models import Case, CaseEvent, PolicyCategory, Report
from moderation.models.policy import Level
from moderation.services import acts, conflicts, joining, merging, opening, sla, versions

_Kind = CaseEvent.Kind
_WORK = (permissions.TRIAGE, permissions.REVIEW)


@transaction.atomic
def set_subject(
    *,
    case: Case,
    organisation: Organisation,
    user: User | None = None,
    project: Project | None = None,
    api_key: APIKey | None = None,
    actor: User,
    reason: str,
    expected_version: int | None = None,
) -> Case:
    """Say whose act it was. A key brings its project and its person with it, unless others are named.

    Raises IllegalMove, also for another organisation while measures are in force; NotPermitted, VersionConflict,
    ValidationError for who or what does not belong to the organisation.
    """
    acts.require_reason(reason)
    seen = versions.seen(case, expected_version)
    acts.require(case=seen, actor=actor, anyone_with=_WORK, to="say whom a case is about")
    conflicts.refuse(case=seen, actor=actor)
    merging.require_open(seen, to="be about somebody else")
    if api_key is not None:
        project, user = project or api_key.project, user or api_key.user
    values = {"organisation": organisation, "user": user, "project": project, "api_key": api_key}
    opening.check_subject(Case(**values))
    if seen.organisation_id not in (None, organisation.pk) and _has_effects(seen):
        raise IllegalMove("Measures against the other organisation are in force: lift them first.")
    told = [_named(seen), " · ".join(str(one) for one in (organisation, user, project, api_key) if one)]
    versions.write(case, seen, **values)
    # Asked once more: now it may concern whoever has said so.
    conflicts.refuse(case=case, actor=actor)
    before = seen.organisation
    Report.objects.filter(case=case, organisation=before).update(organisation=organisation)
    acts.record(case=case, kind=_Kind.SUBJECT, actor=actor, before=told[0], after=told[1], reason=reason)
    changes = {"organisation": [str(before) if before else None, str(organisation)]}
    acts.audit_case(case=case, actor=actor, action="case.subject", reason=reason, changes=changes)
    return case


@transaction.atomic
def set_category(
    *, case: Case, category: PolicyCategory, actor: User, reason: str, expected_version: int | None = None
) -> Case:
    """Put a case into another category; what its reporters chose stays in their reports (MOD-38).

    A worse category brings its level with it. A milder one leaves the level, which set_level lowers for those who
    may. To take a case out of the child-safety team's hands needs the permission to downgrade. Raises IllegalMove,
    NotPermitted, VersionConflict, ValidationError.
    """
    acts.require_reason(reason)
    seen = versions.seen(case, expected_version)
    acts.require(case=seen, actor=actor, anyone_with=_WORK, to="set the category")
    conflicts.refuse(case=seen, actor=actor)
    merging.require_open(seen, to="be put into another category")
    if category.pk == seen.category_id or not category.is_in_force:
        raise ValidationError({"category": "Choose another category that is in force."})
    if seen.category.is_sealed and not category.is_sealed and not permissions.may(actor, permissions.DOWNGRADE):
        raise acts.refused(seen, actor, f"To unseal a case needs the permission {permissions.DOWNGRADE}.")
    joining.lock([seen.category_id, category.pk])
    level = category.level if Level(category.level).is_worse_than(seen.level) else seen.level
    versions.write(case, seen, category=category, level=level)
    codes = (seen.category.code, category.code)
    acts.record(case=case, kind=_Kind.CATEGORY, actor=actor, before=codes[0], after=codes[1], reason=reason)
    changes = {"category": list(codes)}
    if level != seen.level:
        changes["level"] = [seen.level, level]
        acts.record(case=case, kind=_Kind.LEVEL, actor=actor, before=seen.level, after=level, reason=reason)
        sla.recompute(case=case)
        if case.organisation_id is not None:
            # Raised to L1, its restrictions cut the streams that run.
            epochs.bump(organisation_id=case.organisation_id)
    # What was sealed stays so on record, also after it was taken out.
    shown = acts.told_outside(seen, reason)
    acts.audit_case(case=case, actor=actor, action="case.category", reason=shown, changes=changes)
    return case


def _has_effects(case: Case) -> bool:
    return case.restrictions.filter(lifted_at=None).exists() or case.demands.exists() or case.decisions.exists()


def _named(case: Case) -> str:
    return " · ".join(str(one) for one in (case.organisation, case.user, case.project, case.api_key) if one)
