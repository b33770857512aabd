"""Until when a decision may be appealed, and the signed link that leads to its appeal without a login."""

import re
from collections.abc import Iterable
from datetime import datetime, time, timedelta
from zoneinfo import ZoneInfo

from django.core.signing import BadSignature, Signer
from django.urls import reverse

from accounts.models import Organisation
from moderation.models import CaseEvent, CaseNotice, Decision
from moderation.services import calendar, policy
from newapi.kernel import clock

# Longer than the longest window of a policy document, so that the state of an appeal can be looked up afterwards.
LINK_AGE_MAX = timedelta(days=1_100)
_SIGNER = Signer(salt="moderation.appeal")
# As signed texts are written, after what leads to the page.
_TOKEN = re.compile(r"(/appeal/)[\w:-]+")
_TOLD = ": appeal until "


class LinkRefused(Exception):
    """The link is not one of ours, was changed, or is too old. Answered as though there were nothing there."""


def link(decision: Decision) -> str:
    """The path to the appeal of a decision: whoever has it may appeal this one decision, and no other."""
    token = _SIGNER.sign_object({"decision": decision.pk, "at": clock.to_ms(decision.issued_at or clock.now())})
    return reverse("portal:appeal", args=[token])


def hide(text: str) -> str:
    """A text without the tokens of such links in it: whoever reads one could appeal in the organisation's place."""
    return _TOKEN.sub(r"\1…", text)


def read(token: str) -> Decision:
    """The decision that a link is for. Raises LinkRefused."""
    try:
        signed = _SIGNER.unsign_object(token)
        issued_at = clock.from_ms(int(signed["at"]))
        pk = int(signed["decision"])
    except (BadSignature, ValueError, KeyError, TypeError, OverflowError):
        raise LinkRefused from None
    if clock.now() > issued_at + LINK_AGE_MAX:
        raise LinkRefused
    found = Decision.objects.select_related("case__organisation", "case__category", "category").filter(pk=pk).first()
    if found is None or found.issued_at is None:
        raise LinkRefused
    return found


def zone_of(organisation: Organisation | None) -> ZoneInfo:
    """The time zone in which an organisation's days end: its own, or that of the platform's working days."""
    if organisation is not None and organisation.time_zone:
        return ZoneInfo(organisation.time_zone)
    return calendar.current().zone


def end_of_window(*, sent_at: datetime, zone: ZoneInfo, days: int) -> datetime:
    """The moment at which the window has ended: the midnight after the last of so many days after the sending.

    sent_at: aware. The day of the sending is day 0, by the clocks on the wall of the zone. Pure.
    """
    last = sent_at.astimezone(zone).date() + timedelta(days=days)
    return datetime.combine(last + timedelta(days=1), time.min, zone).astimezone(clock.now().tzinfo)


def would_end(organisation: Organisation | None) -> datetime:
    """When the window would end of a decision that is told of now."""
    return end_of_window(sent_at=clock.now(), zone=zone_of(organisation), days=policy.appeal_days())


def deadline(decision: Decision) -> datetime:
    """The moment at which the window of a decision has ended, as its notice says it.

    While the notice has reached nobody, the window has not begun: then it is as if it began now.
    """
    notice, organisation = notice_of(decision), decision.case.organisation
    return deadlines(organisation, [notice])[notice.once] if notice else would_end(organisation)


def deadlines(organisation: Organisation | None, notices: Iterable[CaseNotice]) -> dict[str, datetime]:
    """The same by the notices of decisions on one organisation, however many, by their `once`. Three queries."""
    some = list(notices)
    zone, days, told = zone_of(organisation), policy.appeal_days(), _told(some)
    return {
        notice.once: told[notice.once]
        if notice.sent_at and notice.once in told
        else end_of_window(sent_at=notice.sent_at or clock.now(), zone=zone, days=days)
        for notice in some
    }


def notice_of(decision: Decision) -> CaseNotice | None:
    """The notice of a decision."""
    return CaseNotice.objects.filter(once=once_of(decision)).first()


def once_of(decision: Decision) -> str:
    """What makes it the notice of this decision."""
    return f"decision:{decision.pk}"


def note_until(notice: CaseNotice, until: datetime) -> str:
    """The text of the event that keeps which deadline a notice names."""
    return f"{notice.once}{_TOLD}{until.isoformat()}"


def told_until(notice: CaseNotice) -> datetime | None:
    """The deadline that the text of a notice names. It stays, though the policy or the time zone change later."""
    return _told([notice]).get(notice.once)


def _told(notices: Iterable[CaseNotice]) -> dict[str, datetime]:
    """The deadlines that notices name, by their `once`: as the last event of each that says so."""
    cases = {notice.case_id for notice in notices}
    events = CaseEvent.objects.filter(case__in=cases, kind=CaseEvent.Kind.NOTICE, after__contains=_TOLD)
    parts = [after.partition(_TOLD) for after in events.order_by("number").values_list("after", flat=True)]
    return {once: datetime.fromisoformat(until) for once, _, until in parts}
