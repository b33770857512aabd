"""Evidence of a period in one archive: the checklist, the channels, the audit record and the promises kept (DSH-08)."""

import csv
import io
import json
import zipfile
from collections.abc import Generator, Iterable
from contextlib import closing
from dataclasses import asdict
from datetime import datetime, timedelta
from time import monotonic
from typing import IO, Any

from django.core.exceptions import ValidationError
from django.db.models import Q, QuerySet

from accounts.models import AuditEvent, User
from channels import reports
from moderation.models import SlaClock
from moderation.selectors import visible_to
from newapi import compliance
from newapi.kernel import clock, spreadsheets

PERIOD_MAX = timedelta(days=366)
# What a page can wait for: rows of the audit record and of the promises each, characters of all parts, time to write
# them. A longer record is taken in parts.
ROWS_MAX = 200_000
CHARACTERS_MAX = 256 * 1024 * 1024
SECONDS_MAX = 60.0
_AUDIT = ("at", "actor__email", "action", "object_type", "object_id", "object_text", "organisation__name", "reason",
          "changes")  # fmt: skip
_CLOCKS = ("case__reference", "appeal__reference", "case__level", "kind", "round", "started_at", "due_at",
           "stopped_at", "breached_at", "breach_is_inherited")  # fmt: skip


Rows = Generator[tuple[Any, ...], None, None]


class _Budget:
    """What may still be written, in characters and by when."""

    def __init__(self) -> None:
        self.characters = CHARACTERS_MAX
        self.ends_s = monotonic() + SECONDS_MAX

    def spend(self, characters: int) -> None:
        """Raises ValidationError when there is nothing left."""
        self.characters -= characters
        if self.characters < 0:
            raise ValidationError(f"This period fills more than {CHARACTERS_MAX:,} characters. Choose a shorter one.")
        if monotonic() >= self.ends_s:
            raise ValidationError(f"This period takes longer than {SECONDS_MAX:g} seconds. Choose a shorter one.")


def write(file: IO[bytes], *, starts_at: datetime, ends_at: datetime, user: User) -> dict[str, int]:
    """Write the archive into a file. Returns how many rows each part has. Raises ValidationError.

    The checklist and the channels are as of now, the audit record and the promises of the period. What the person may
    not see is left out: promises of cases that are not theirs to see.
    """
    _check(starts_at, ends_at)
    of_period = Q(at__gte=starts_at, at__lt=ends_at)
    audited = AuditEvent.objects.filter(of_period).order_by("at", "pk")
    touched = Q(started_at__lt=ends_at) & (Q(stopped_at=None) | Q(stopped_at__gte=starts_at))
    promised = SlaClock.objects.filter(touched).filter(visible_to(user, case="case__")).order_by("started_at", "pk")
    for rows, name in ((audited, "audit record"), (promised, "list of promises")):
        # Never counted to its end, which may be far.
        if rows.order_by()[: ROWS_MAX + 1].count() > ROWS_MAX:
            raise ValidationError(f"The {name} of this period has more than {ROWS_MAX:,} rows. Choose a shorter one.")
    items, channels = compliance.items(), list(reports.compliance_rows())
    budget = _Budget()
    counts = {"checklist.json": len(items), "channels.csv": len(channels)}
    with zipfile.ZipFile(file, "w", compression=zipfile.ZIP_DEFLATED) as archive:
        head = {"from": starts_at.isoformat(), "until_before": ends_at.isoformat(), "made": clock.now().isoformat()}
        told = {**head, "items": [asdict(item) for item in items]}
        archive.writestr("checklist.json", json.dumps(told, ensure_ascii=False, indent=2) + "\n")
        archive.writestr("channels.csv", reports.to_csv(channels))
        counts["audit.csv"] = _csv(archive, "audit.csv", _AUDIT, _values(audited, _AUDIT), budget)
        counts["sla.csv"] = _csv(archive, "sla.csv", _CLOCKS, _values(promised, _CLOCKS), budget)
    return counts


def _values(rows: QuerySet[Any], columns: Iterable[str]) -> Rows:
    yield from rows.values_list(*columns).iterator(chunk_size=2_000)


def _csv(archive: zipfile.ZipFile, name: str, columns: Iterable[str], rows: Rows, budget: _Budget) -> int:
    """Write a part row by row, so that none of it is held in memory as a whole. Raises ValidationError."""
    count = 0
    # Closed here: rows that nobody read to their end would close their cursor in whatever transaction comes later.
    with (
        closing(rows),
        archive.open(name, "w") as raw,
        io.TextIOWrapper(raw, encoding="utf-8", newline="") as text,
    ):
        writer = csv.writer(text)
        writer.writerow([column.replace("__", "_") for column in columns])
        for row in rows:
            budget.spend(writer.writerow([spreadsheets.cell(_cell(value)) for value in row]))
            count += 1
    return count


def _cell(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat(timespec="milliseconds")
    return json.dumps(value, ensure_ascii=False, sort_keys=True) if isinstance(value, dict) else value


def _check(starts_at: datetime, ends_at: datetime) -> None:
    if ends_at <= starts_at:
        raise ValidationError({"after": "It ends before it starts."})
    if ends_at - starts_at > PERIOD_MAX:
        raise ValidationError({"after": f"At most {PERIOD_MAX.days} days."})
