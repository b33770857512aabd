"""Putting cases in order: two made one, one made two, and what a case is about said better.

Only cases that are not being decided are touched, never one against which there is an appeal. What was joined keeps
the earliest receipt and the highest level; nothing here lowers one.
"""

from collections.abc import Sequence

from django.core.exceptions import ValidationError
from django.db import transaction

from accounts.models import User
from accounts.services import epochs
from moderation import permissions
from moderation.errors import IllegalMove
from moderation.models import (
    AuthorityReport,
    Case,
    CaseEvent,
    Decision,
    Demand,
    EnforcementAction,
    Evidence,
    Report,
    Restriction,
    Signal,
)
from moderation.models.policy import Level
from moderation.services import acts, cases, conflicts, evidence, joining, moves, opening, sla, versions
from moderation.services.moves import Act

_Kind = CaseEvent.Kind
_State = Case.State


@transaction.atomic
def merge(*, case: Case, into: Case, actor: User, reason: str, expected_version: int | None = None) -> Case:
    """Make a case part of another, which goes on with all that belongs to both. Returns the one that goes on.

    `expected_version` is that of `case`. Raises IllegalMove, NotPermitted, VersionConflict, ValidationError.
    """
    acts.require_reason(reason)
    if case.pk == into.pk:
        raise ValidationError({"into": "A case is not merged into itself."})
    joining.lock([case.category_id, into.category_id])
    goes, stays = versions.seen(case, expected_version), versions.seen(into, _version_of(into))
    for each in (goes, stays):
        acts.require(case=each, actor=actor, anyone_with=(permissions.TRIAGE,), to="merge cases")
        conflicts.refuse(case=each, actor=actor)
        require_open(each, to="be merged")
    _require_alike(goes, stays)
    cases.move(
        case=case,
        to=_State.MERGED,
        act=Act.MERGE,
        expected_version=goes.version,
        actor=actor,
        reason=reason,
        merged_into=stays,
    )
    case.merged_into = stays
    _keep_worst(into, stays, goes, actor=actor, reason=reason)
    _hand_over(goes, stays, actor=actor)
    acts.record(case=case, kind=_Kind.MERGED, actor=actor, after=f"into {stays.reference}", reason=reason)
    acts.record(case=into, kind=_Kind.MERGED, actor=actor, after=f"with {goes.reference}", reason=reason)
    changes = {"merged": [None, goes.reference]}
    acts.audit_case(case=into, actor=actor, action="case.merge", reason=reason, changes=changes)
    if stays.organisation_id is not None:
        # Restrictions name their case to callers, and cut streams by its level.
        epochs.bump(organisation_id=stays.organisation_id)
    return into


@transaction.atomic
def split(
    *, case: Case, reports: Sequence[Report], actor: User, reason: str, expected_version: int | None = None
) -> Case:
    """Take reports out of a case into a new one of the same organisation and category, counted from their receipt.

    It has the level of its category, or that of the case where that is worse. Raises IllegalMove, NotPermitted,
    VersionConflict, ValidationError.
    """
    acts.require_reason(reason)
    seen = versions.seen(case, expected_version)
    acts.require(case=seen, actor=actor, anyone_with=(permissions.TRIAGE,), to="split a case")
    conflicts.refuse(case=seen, actor=actor)
    require_open(seen, to="be split")
    taken = _taken_from(seen, reports)
    worse = Level(seen.level).is_worse_than(seen.category.level)
    part = opening.open_case(
        organisation=seen.organisation,
        category=seen.category,
        summary=f"Taken out of {seen.reference}. What is said stands in its reports.",
        source=Case.Source.REPORT,
        level=seen.level if worse else None,
        received_at=min(report.received_at for report in taken),
        actor=None,
        reason=reason,
    )
    Report.objects.filter(pk__in=[report.pk for report in taken]).update(case=part)
    versions.write(case, seen)
    names = ", ".join(report.reference for report in taken)
    acts.record(case=case, kind=_Kind.SPLIT, actor=actor, after=f"{part.reference}: {names}", reason=reason)
    acts.record(case=part, kind=_Kind.SPLIT, actor=actor, before=seen.reference, after=names, reason=reason)
    changes = {"split": [None, part.reference]}
    acts.audit_case(case=case, actor=actor, action="case.split", reason=reason, changes=changes)
    return part


def require_open(case: Case, *, to: str) -> None:
    """Raises IllegalMove for a case that is being decided or was decided, or against which there is an appeal."""
    if case.state not in moves.IN_WORK:
        raise IllegalMove(f"A case that is {case.get_state_display().lower()} cannot {to}: {case.reference}.")
    if Case.objects.filter(joining.under_appeal(), pk=case.pk).exists():
        raise IllegalMove(f"There is an appeal on {case.reference}, so it cannot {to}.")
    if case.decisions.filter(state=Decision.State.ISSUED).exists():
        raise IllegalMove(f"{case.reference} was decided before, so it cannot {to}. What follows from that stays.")


def _version_of(case: Case) -> int:
    return Case.objects.values_list("version", flat=True).get(pk=case.pk)


def _require_alike(goes: Case, stays: Case) -> None:
    """Raises ValidationError for two that must not become one."""
    if goes.category.is_sealed != stays.category.is_sealed:
        raise ValidationError({"into": "A sealed case is merged with sealed ones only."})
    if goes.organisation_id not in (None, stays.organisation_id):
        raise ValidationError({"into": f"{stays.reference} is about somebody else, or about nobody yet."})


def _keep_worst(into: Case, stays: Case, goes: Case, *, actor: User, reason: str) -> None:
    """The earliest receipt and the highest level of both, with clocks that count by them."""
    level = min(stays.level, goes.level)
    received_at = min(stays.received_at, goes.received_at)
    versions.write(into, stays, level=level, received_at=received_at)
    if level != stays.level:
        acts.record(case=into, kind=_Kind.LEVEL, actor=actor, before=stays.level, after=level, reason=reason)
    sla.backdate(case=into, received_at=received_at)


def _hand_over(goes: Case, stays: Case, *, actor: User) -> None:
    """What belongs to a case goes with it: what came in, its evidence, and what still has an effect or an end."""
    for piece in Evidence.objects.filter(case=goes):
        # The chain in which it was stored says so; the one that it goes to says it anew.
        told = evidence.marked(piece, f"taken over from {goes.reference}")
        acts.record(case=stays, kind=_Kind.EVIDENCE, actor=actor, after=told, reason="With the case that was merged.")
    for kind in (Report, Signal, Evidence):
        kind._default_manager.filter(case=goes).update(case=stays)
    Demand.objects.filter(case=goes, state=Demand.State.OPEN).update(case=stays)
    Restriction.objects.filter(case=goes, lifted_at=None).update(case=stays)
    AuthorityReport.objects.filter(case=goes, state__in=AuthorityReport.OPEN_STATES).update(case=stays)
    running = (EnforcementAction.State.PLANNED, EnforcementAction.State.IN_FORCE)
    EnforcementAction.objects.filter(case=goes, is_interim=True, state__in=running).update(case=stays)
    Report.objects.filter(case=stays, organisation=None).update(organisation=stays.organisation)


def _taken_from(case: Case, reports: Sequence[Report]) -> list[Report]:
    """The reports to take, as they are now. Raises ValidationError when that cannot be."""
    wanted = {report.pk for report in reports}
    taken = list(Report.objects.filter(pk__in=wanted, case=case).order_by("received_at", "pk"))
    if not taken or len(taken) < len(wanted):
        raise ValidationError({"reports": "Choose reports of this case."})
    remain = Report.objects.filter(case=case).exclude(pk__in=wanted).exists()
    if case.source == Case.Source.REPORT and not remain and not case.signals.exists():
        raise ValidationError({"reports": "Nothing would remain. Leave at least one report in the case."})
    return taken
