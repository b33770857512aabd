"""Reports of a period: computed once, kept as they were, published by a person (DSA Art 15 and 24 as a model).

What is published has small cells hidden (moderation.transparency_rules). No two published periods overlap: from a
quarter and two of its months one could work out what the third one hides.
"""

import hashlib
import json
from datetime import UTC, datetime, timedelta
from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils import timezone

from accounts.models import User
from accounts.services import audit
from moderation import permissions
from moderation.errors import NotPermitted
from moderation.models import TransparencyReport
from moderation.services import acts
from moderation.transparency_figures import Period, durations, tables
from moderation.transparency_rules import CELL_MIN, is_small, suppress
from newapi.kernel import clock

# A longer one is two reports.
PERIOD_MAX = timedelta(days=366)
# Raised when the shape of the figures changes, so that readers of the JSON can tell.
FORMAT = 1
# Share → the table that it is taken from, and the rows that it counts.
SHARES: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "own_initiative": ("Cases of our own initiative", "cases_by_source", ("Automated signal", "Staff")),
    "automated_decisions": (
        "Decisions with automated means", "decisions_by_means", ("Found with automated means",)
    ),
    "law": ("Violations against the law", "violations_by_ground", ("Against the law",)),
    "reversals": ("Appeals that changed the decision", "appeals_by_outcome",
                  ("Decision overturned", "Decision modified")),
}  # fmt: skip
# Table → the one that it would give away: it is withheld as soon as that one hides anything. Grounds are sums of
# categories. And violations are counted by category as well, so that the number of all decisions, which two tables
# have, would say how many found nothing.
_GIVES_AWAY = {
    "violations_by_ground": "violations_by_category",
    "decisions_by_finding": "decisions_by_finding",
    "decisions_by_means": "decisions_by_finding",
}
# Of these the rest of the table is no part: who withdrew got no answer.
_NOT_ANSWERED = {"reversals": ("Withdrawn",)}


def compute(*, starts_at: datetime, ends_at: datetime) -> tuple[dict[str, Any], dict[str, Any]]:
    """The figures of a period: as published, and in full for the house. Plain values, as they are stored.

    The same data gives the same figures, byte by byte.
    """
    period = Period(starts_at, ends_at)
    found, hours = tables(period), durations(period)
    head = {"format": FORMAT, "starts_at": _iso(starts_at), "ends_at": _iso(ends_at)}
    full = {
        **head,
        "tables": [
            {"id": one.id, "title": one.title, "rows": [list(row) for row in one.rows],
             "total": sum(count for _, count in one.rows)}
            for one in found
        ],
        "durations": hours,
    }  # fmt: skip
    shown = _withheld([{"id": one.id, "title": one.title, **_published(one.rows)} for one in found])
    figures = {
        **head,
        "cell_min": CELL_MIN,
        "tables": shown,
        "shares": _shares({table["id"]: table for table in shown}),
        "durations": [
            {name: value for name, value in one.items() if name != "count"}
            for one in hours
            if not is_small(one["count"])
        ],
    }
    return figures, full


@transaction.atomic
def make(*, starts_at: datetime, ends_at: datetime, actor: User, reason: str) -> TransparencyReport:
    """Compute a period that is over and keep it, for the house at first. Raises NotPermitted, ValidationError."""
    acts.require_reason(reason)
    _require(actor, permissions.MAKE_TRANSPARENCY, "make transparency reports")
    _check_period(starts_at, ends_at)
    figures, full = compute(starts_at=starts_at, ends_at=ends_at)
    made = TransparencyReport.objects.create(
        starts_at=starts_at,
        ends_at=ends_at,
        made_at=clock.now(),
        made_by=actor,
        figures=figures,
        full=full,
        digest=digest(figures),
    )
    audit.record(actor=actor, action="transparency.make", target=made, reason=reason)
    return made


@transaction.atomic
def publish(*, report: TransparencyReport, actor: User, reason: str) -> TransparencyReport:
    """Show a report to everybody, for good. Raises NotPermitted, ValidationError.

    Refused when it was published before, when it is not what was made, or when its period touches a published one.
    """
    acts.require_reason(reason)
    _require(actor, permissions.PUBLISH_TRANSPARENCY, "publish transparency reports")
    # One at a time, so that two of the same period do not both find the way free.
    every = TransparencyReport.objects.select_for_update().order_by("pk")
    now = next((one for one in every if one.pk == report.pk), None)
    if now is None or now.published_at is not None:
        raise ValidationError("It is public already.")
    if not is_intact(now):
        raise ValidationError("It is not what was made: its figures do not match their digest. Make it anew.")
    touching = [
        one for one in every if one.published_at and one.starts_at < now.ends_at and one.ends_at > now.starts_at
    ]
    if touching:
        text = f"The period overlaps a published one ({touching[0]}): hidden cells could be told from the difference."
        raise ValidationError(text)
    at = clock.now()
    if not TransparencyReport.objects.filter(pk=now.pk, published_at=None).update(published_at=at, published_by=actor):
        raise ValidationError("It is public already.")
    report.published_at, report.published_by = at, actor
    audit.record(actor=actor, action="transparency.publish", target=report, reason=reason)
    return report


def is_intact(report: TransparencyReport) -> bool:
    """Whether the figures are the ones that were made."""
    return bytes(report.digest) == digest(report.figures)


def is_reproduced(report: TransparencyReport) -> bool:
    """Whether computing the period anew comes to the same."""
    figures, _ = compute(starts_at=report.starts_at, ends_at=report.ends_at)
    return digest(figures) == bytes(report.digest)


def digest(figures: dict[str, Any]) -> bytes:
    """SHA-256 of the canonical JSON, 32 bytes."""
    text = json.dumps(figures, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).digest()


def _published(rows: tuple[tuple[str, int], ...]) -> dict[str, Any]:
    cells = suppress(rows)
    return {"rows": [list(row) for row in cells.rows], "total": cells.total, "is_withheld": cells.is_withheld}


def _withheld(shown: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The tables as published, without those that would give away what another one hides."""
    hiding = {table["id"] for table in shown if _hides(table)}
    nothing: dict[str, Any] = {"rows": [], "total": None, "is_withheld": True}
    return [{**table, **nothing} if _GIVES_AWAY.get(table["id"]) in hiding else table for table in shown]


def _hides(table: dict[str, Any]) -> bool:
    return table["is_withheld"] or None in [count for _, count in table["rows"]]


def _shares(shown: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """Shares of tables that hide nothing: from a share and a total, a hidden cell would follow."""
    found = []
    for name, (title, table_id, rows) in SHARES.items():
        table = shown[table_id]
        counts = {label: count for label, count in table["rows"] if label not in _NOT_ANSWERED.get(name, ())}
        if _hides(table) or not sum(counts.values()):
            continue
        percent = round(100 * sum(counts.get(row, 0) for row in rows) / sum(counts.values()), 1)
        found.append({"id": name, "title": title, "percent": percent})
    return found


def _check_period(starts_at: datetime, ends_at: datetime) -> None:
    if timezone.is_naive(starts_at) or timezone.is_naive(ends_at):
        raise ValidationError({"ends_at": "The moments need a time zone."})
    if ends_at <= starts_at:
        raise ValidationError({"ends_at": "It ends before it starts."})
    if ends_at - starts_at > PERIOD_MAX:
        raise ValidationError({"ends_at": f"At most {PERIOD_MAX.days} days."})
    if ends_at > clock.now():
        raise ValidationError({"ends_at": "The period is not over yet."})


def _require(actor: User, permission: str, to: str) -> None:
    if not permissions.may(actor, permission):
        raise NotPermitted(f"To {to} needs the permission {permission}.")


def _iso(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="seconds")
