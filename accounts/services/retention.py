"""Retention: how long records are kept, who holds them, and the job that purges what is past its time.

Each class of records has one purger, registered by the app that keeps them. A run purges a bounded part of each
class, in one transaction with its audit row: what is gone is on record, and what is not on record is not gone.
The class's rule is locked meanwhile, by the run and by whoever imposes a hold, so that neither overtakes the other.
"""

import logging
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol

from django.core.exceptions import ValidationError
from django.db import DatabaseError, OperationalError, connection, transaction
from django.db.models import Q, QuerySet
from django.urls import reverse

from accounts.models import LegalHold, LogClass, Notice, Organisation, RetentionRule, User
from accounts.services import audit, notices
from newapi.kernel import clock

log = logging.getLogger(__name__)

LIMIT = 5_000
# How long imposing a hold waits for a purge that is under way.
WAIT_S_MAX = 10


@dataclass(frozen=True, slots=True)
class Left:
    """Something past its time that a run left. Trouble is what a person must see to."""

    what: str
    why: str
    is_trouble: bool = False


@dataclass(frozen=True, slots=True)
class Purged:
    """What a run did to a class: rows removed, by part where it goes by parts such as months; and what it left."""

    rows: int = 0
    parts: Mapping[str, int] = field(default_factory=dict)
    left: tuple[Left, ...] = ()


class Purger(Protocol):
    """Removes records of one class. Called inside a transaction; harmless when repeated."""

    def __call__(self, *, before: datetime, held: frozenset[int], limit: int) -> Purged:
        """Remove up to about `limit` rows from before that moment, none of the organisations (ids) that are held."""


_PURGERS: dict[str, Purger] = {}


def register(log_class: LogClass, purger: Purger) -> None:
    """Say how a class is purged. For AppConfig.ready of the app that keeps it."""
    _PURGERS[log_class] = purger


def purge_expired(*, limit: int = LIMIT) -> int:
    """Purge up to about so many rows of each class, and at most one month of usage. Returns how many rows went.

    A class whose purge fails is left as it was and tried again by the next run; the others go on.
    """
    rows = 0
    for rule in RetentionRule.objects.exclude(days=None).filter(log_class__in=_PURGERS):
        try:
            rows += _purge(rule_id=rule.pk, limit=limit)
        except DatabaseError as error:
            log.exception("%s could not be purged; the next run tries again", rule.log_class)
            _say_busy(rule, error)
    return rows


def _say_busy(rule: RetentionRule, error: DatabaseError) -> None:
    # It may be busy for this as well; the log has it then.
    with suppress(DatabaseError):
        RetentionRule.objects.filter(pk=rule.pk).update(
            last_run_at=clock.now(), last_left=f"everything: the database was busy ({type(error).__name__})"
        )


@transaction.atomic
def _purge(*, rule_id: int, limit: int) -> int:
    rule = RetentionRule.objects.select_for_update().get(pk=rule_id)
    if rule.days is None:
        return 0
    now = clock.now()
    before = now - timedelta(days=rule.days)
    holders = set(in_force().filter(log_class__in=("", rule.log_class)).values_list("organisation_id", flat=True))
    if None in holders:
        done = Purged(left=(Left("everything", "under a legal hold on everybody"),))
    else:
        done = _PURGERS[rule.log_class](before=before, held=frozenset(holders), limit=limit)
    RetentionRule.objects.filter(pk=rule.pk).update(
        last_run_at=now, last_left="\n".join(f"{left.what}: {left.why}" for left in done.left)
    )
    if done.rows:
        _write_down(rule, done, before=before)
    for left in done.left:
        if left.is_trouble:
            _tell(rule, left)
    return done.rows


def _write_down(rule: RetentionRule, done: Purged, *, before: datetime) -> None:
    RetentionRule.objects.filter(pk=rule.pk).update(last_purged_at=clock.now(), last_purged_rows=done.rows)
    counts = {"rows": done.rows, **done.parts}
    audit.record(
        actor=None,
        action="retention.purge",
        target=rule,
        reason=f"Older than {rule.days} days",
        changes={"before": [None, before.isoformat()], **{name: [rows, 0] for name, rows in counts.items()}},
    )


def _tell(rule: RetentionRule, left: Left) -> None:
    notices.post(
        once=f"retention:{rule.log_class}:{left.what}",
        kind="retention.left",
        level=Notice.Level.DANGER,
        audience=Notice.Audience.OPERATORS,
        title=f"Not purged: {rule.log_class} {left.what}",
        body=f"{left.why} It stays until that is mended; the next run looks again.",
        link=reverse("admin:accounts_retentionrule_change", args=[rule.pk]),
    )


@transaction.atomic
def set_days(
    *, rule: RetentionRule, days: int | None, actor: User | None, reason: str, address: str | None = None
) -> bool:
    """Keep a class for so many days; None: for ever. False when it is so already. Raises ValidationError."""
    _require_reason(reason)
    current = RetentionRule.objects.select_for_update().get(pk=rule.pk)
    if current.is_fixed and days is not None:
        raise ValidationError({"days": "These records are kept for ever."})
    before, current.days = current.days, days
    if before == days:
        return False
    current.full_clean()
    current.save(update_fields=["days"])
    audit.record(
        actor=actor,
        action="retention.change",
        target=current,
        reason=reason,
        changes={"days": [before, days]},
        address=address,
    )
    return True


def impose(
    *,
    organisation: Organisation | None,
    log_class: str,
    actor: User | None,
    reason: str,
    address: str | None = None,
) -> LegalHold:
    """Stop the purge of a class ("": all) of an organisation's records (None: everybody's), from now on.

    No purge is under way when it returns. Raises ValidationError, also when one did not end in time; then nothing
    was imposed.
    """
    _require_reason(reason)
    hold = LegalHold(
        organisation=organisation, log_class=log_class, reason=reason, started_by=actor, started_at=clock.now()
    )
    hold.full_clean()
    try:
        with transaction.atomic():
            _wait_for_purges()
            hold.save()
            _record(hold, "impose", actor=actor, reason=reason, address=address)
    except OperationalError:
        raise ValidationError("A purge is under way, so nothing was imposed. Send it again in a minute.") from None
    return hold


@transaction.atomic
def lift(*, hold: LegalHold, actor: User | None, reason: str, address: str | None = None) -> bool:
    """End a hold: what it kept past its time goes with the next run. False when it was over already."""
    _require_reason(reason)
    # A clock that was set back must not keep it in force.
    ended_at = max(clock.now(), hold.started_at)
    if in_force().filter(pk=hold.pk).update(ended_at=ended_at, ended_by=actor) != 1:
        return False
    hold.ended_at, hold.ended_by = ended_at, actor
    _record(hold, "lift", actor=actor, reason=reason, address=address)
    return True


def in_force() -> QuerySet[LegalHold]:
    """The holds that nobody has lifted."""
    return LegalHold.objects.filter(ended_at=None)


def purge_notices(*, before: datetime, held: frozenset[int], limit: int) -> Purged:
    """Remove notices, with who has seen them. Those for the operators belong to no organisation."""
    old = Notice.objects.filter(created_at__lt=before).filter(Q(organisation=None) | ~Q(organisation__in=held))
    some = list(old.order_by("created_at", "pk").values_list("pk", flat=True)[:limit])
    Notice.objects.filter(pk__in=some).delete()
    return Purged(rows=len(some))


register(LogClass.NOTICES, purge_notices)


def _wait_for_purges() -> None:
    """Wait until no purge is under way, and let none begin before the transaction ends. Raises OperationalError."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute(f"SET LOCAL lock_timeout = '{WAIT_S_MAX}s'")
    list(RetentionRule.objects.select_for_update().order_by("pk"))


def _record(hold: LegalHold, verb: str, *, actor: User | None, reason: str, address: str | None) -> None:
    audit.record(
        actor=actor,
        action=f"legal_hold.{verb}",
        target=hold,
        reason=reason,
        changes={"records": [None, hold.log_class or "all"]} if verb == "impose" else {},
        address=address,
    )


def _require_reason(reason: str) -> None:
    if not reason.strip():
        raise ValidationError({"reason": "A reason is needed."})
