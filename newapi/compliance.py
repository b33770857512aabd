"""The checklist of a deployment that serves the public: is abuse reporting live, is it logged, is it handled (MOD-33).

Each item is looked at when it is asked for; nothing is ticked off by hand.
"""

from dataclasses import dataclass
from datetime import timedelta

from django.conf import settings
from django.db import connection
from django.urls import NoReverseMatch, reverse

from accounts.models import AuditEvent
from moderation.models import CaseEvent, DutyShift, SlaClock
from moderation.services import chain_runs, presence
from newapi.kernel import append_only, clock

SWEEP_LAG_MAX = timedelta(minutes=5)
# The chains are verified once a day.
VERIFIED_AGE_MAX = timedelta(hours=26)


@dataclass(frozen=True, slots=True)
class Item:
    """Something that must hold. `words` say how it stands, and what to do when it does not."""

    id: str
    title: str
    is_met: bool
    words: str


def items() -> list[Item]:
    """The whole list, in the order in which a report of abuse needs it."""
    return [look() for look in (_handling, _contact, _sweep, _log, _chains)]


def handling() -> Item:
    """Whether somebody can report abuse, and somebody is there to look at it (MOD-33)."""
    return _handling()


def _handling() -> Item:
    title = "Abuse can be reported, and somebody reviews it"
    try:
        where = reverse("portal:report")
    except NoReverseMatch:
        return Item("handling", title, False, "The report form has no address: put the portal's paths back.")
    on_duty = presence.on_duty(duty=DutyShift.Duty.REVIEWER)
    if not on_duty:
        return Item("handling", title, False, f"{where} takes reports, but no reviewer is on the duty roster now.")
    return Item("handling", title, True, f"{where} takes reports; on duty: {', '.join(str(one) for one in on_duty)}.")


def _contact() -> Item:
    title = "An abuse contact is shown"
    contact = settings.ABUSE_CONTACT
    is_met = "@" in contact and not contact.endswith("@localhost")
    words = f"{contact}." if is_met else f"“{contact}” reaches nobody from outside: set ABUSE_CONTACT."
    return Item("contact", title, is_met, words)


def _sweep() -> Item:
    """Whether warnings and breaches are written down as they come due."""
    waiting = SlaClock.objects.filter(attention_at__lt=clock.now() - SWEEP_LAG_MAX).count()
    words = "It keeps up." if not waiting else f"{waiting:,} clocks wait for it: is a Celery worker running?"
    return Item("sweep", "Promises of time are watched", not waiting, words)


def _log() -> Item:
    """Whether the database itself refuses to change the audit record and the events of cases."""
    tables = [AuditEvent._meta.db_table, CaseEvent._meta.db_table]
    open_ones = [table for table in tables if not _refuses(table)]
    words = "The database refuses to change or delete its rows."
    if open_ones:
        words = f"Rows of {', '.join(open_ones)} could be changed: run `manage.py migrate` on a sound copy."
    return Item("log", "The audit record is append-only", not open_ones, words)


def _refuses(table: str) -> bool:
    """Whether the trigger is there. SQLite has one for UPDATE and one for DELETE."""
    queries = {
        "sqlite": ("SELECT count(*) FROM sqlite_master WHERE type = 'trigger' AND tbl_name = %s AND name LIKE %s", 2),
        "postgresql": (
            "SELECT count(*) FROM pg_trigger JOIN pg_class ON pg_class.oid = tgrelid "
            "WHERE relname = %s AND tgname LIKE %s AND tgenabled = 'O'",
            1,
        ),
    }
    query, wanted = queries[connection.vendor]
    with connection.cursor() as cursor:
        cursor.execute(query, [table, f"%{append_only.SUFFIX}"])
        [(found,)] = cursor.fetchall()
    return bool(found >= wanted)


def _chains() -> Item:
    """Whether the chains of events were verified lately, and nothing was found."""
    title = "The events of cases were verified"
    known = chain_runs.state()
    if known["state"] != "done":
        return Item("chains", title, False, "No run has ended yet, or the last one was lost: ask for one.")
    age = timedelta(milliseconds=clock.now_ms() - known["at"])
    if known["count"]:
        return Item("chains", title, False, f"The last run found {known['count']:,} things that do not fit.")
    hours = int(age / timedelta(hours=1))
    return Item("chains", title, age <= VERIFIED_AGE_MAX, f"The last run found nothing, {hours} h ago.")
