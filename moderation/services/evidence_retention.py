"""The job that purges evidence whose time is up: not under a hold, not while an authority or an appeal may need it."""

import logging

from django.core.exceptions import ValidationError
from django.db.models import Q, QuerySet

from accounts.models import LogClass
from accounts.services import retention
from moderation.models import Case, Evidence
from moderation.services import evidence, evidence_files, evidence_rules
from newapi.kernel import clock

log = logging.getLogger(__name__)

LIMIT = 200
# How many are looked at for that, so that many that must wait do not keep a run busy.
LOOKED_AT_MAX = 5_000


def purge_due(*, limit: int = LIMIT) -> int:
    """Purge up to so many pieces past their time, and remove files that an earlier run has left. Returns how many."""
    for left in Evidence.objects.filter(purged_at__isnull=False).exclude(key_id="").order_by("pk")[:limit]:
        evidence_files.erase(left)
    done = 0
    for piece in _past().order_by("case__closed_at", "pk")[:LOOKED_AT_MAX].iterator():
        if done >= limit:
            break
        done += _purge(piece)
    return done


def _past() -> QuerySet[Evidence]:
    """Those whose class would let them go by when their case was closed, of nobody who is under a hold."""
    now, past = clock.now(), Q(pk__in=[])
    for name, days in Evidence.DAYS.items():
        past |= Q(retention=name, case__closed_at__lt=now - evidence_rules.days(days))
    holders = set(
        retention.in_force().filter(log_class__in=("", LogClass.EVIDENCE)).values_list("organisation_id", flat=True)
    )
    pieces = Evidence.objects.filter(past, purged_at=None).exclude(case__state__in=Case.UNDECIDED_STATES)
    return pieces.none() if None in holders else pieces.exclude(case__organisation__in=holders)


def _purge(piece: Evidence) -> bool:
    case = Case.objects.select_related("category").get(pk=piece.case_id)
    piece.case = case
    if not evidence_rules.is_due(piece, case) or evidence_rules.why_kept(piece):
        return False
    try:
        evidence.purge(evidence=piece, actor=None, reason=f"Its time is up: {piece.get_retention_display()}.")
    except ValidationError as error:
        log.info("evidence %s stays: %s", piece.pk, " ".join(error.messages))
        return False
    return True
