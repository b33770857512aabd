"""What the deliveries of a notice come to: which channel is next and when, what is lost, whether the notice is sent.

Channels go by position: the next position is tried when everything of the one before has failed.
"""

from datetime import datetime, timedelta

from django.db.models import Q
from django.urls import reverse

from accounts.models import Notice, User
from accounts.services import notices as messages
from moderation.models import CaseEvent, CaseNotice, Delivery
from moderation.services import events
from newapi.kernel import clock

DELIVERY_TRIES_MAX = 8
# Pauses of 1, 2, 4 … 60 minutes: what cannot be delivered for about three hours goes over the next channel.
PAUSE_S = 60
PAUSE_S_MAX = 3_600
_State = Delivery.State
# A channel that will not be tried again by itself: also one whose job died in its last try.
LOST = Q(state__in=(_State.FAILED, _State.BOUNCED)) | Q(state=_State.QUEUED, tries__gte=DELIVERY_TRIES_MAX)
# A notice whose channels are done with, but what it sets going never was.
LEFT = Q(attempted_at=None, attention_at=None)


def due(notice: CaseNotice) -> list[Delivery]:
    """The deliveries of the first position that is still open, and whose pause is over."""
    rows = list(notice.deliveries.order_by("position", "pk"))
    now = clock.now()
    return [one for one in _open(rows) if _next_try(one, now) <= now]


def _open(rows: list[Delivery]) -> list[Delivery]:
    """What is still to be tried: the first position with anything queued, unless an earlier one has taken it."""
    queued = [one for one in rows if one.state == _State.QUEUED and one.tries < DELIVERY_TRIES_MAX]
    if not queued:
        return []
    position = min(one.position for one in queued)
    if any(one.state == _State.SENT and one.position < position for one in rows):
        return []
    return [one for one in queued if one.position == position]


def _next_try(delivery: Delivery, now: datetime) -> datetime:
    if delivery.last_tried_at is None:
        return now
    return delivery.last_tried_at + timedelta(seconds=min(PAUSE_S * 2 ** (delivery.tries - 1), PAUSE_S_MAX))


def settle(notice: CaseNotice) -> None:
    """Write down what the deliveries come to: when it was sent, whether it failed, when to look again."""
    rows = list(notice.deliveries.order_by("position", "pk"))
    sent = [one.sent_at for one in rows if one.state == _State.SENT and one.sent_at is not None]
    waiting, now = _open(rows), clock.now()
    state = CaseNotice.State.SENT if sent else CaseNotice.State.QUEUED if waiting else CaseNotice.State.FAILED
    values = {
        "state": state,
        "sent_at": min(sent, default=None),
        "attention_at": min((_next_try(one, now) for one in waiting), default=None),
    }
    CaseNotice.objects.filter(pk=notice.pk).update(**values)
    for name, value in values.items():
        setattr(notice, name, value)
    if state == CaseNotice.State.FAILED:
        _call_a_person(notice)


def tell(notice: CaseNotice, delivery: Delivery, what: str, *, reason: str, actor: User | None = None) -> None:
    """Append the event of what became of a notice on a channel."""
    after = f"{notice.once}: {delivery.get_channel_display().lower()} {what}"
    events.append(case=notice.case, kind=CaseEvent.Kind.NOTICE, actor=actor, after=after, reason=reason)


def page_of(notice: CaseNotice) -> str:
    """Its page in the admin."""
    return reverse("admin:moderation_casenotice_change", args=[notice.pk])


def _call_a_person(notice: CaseNotice) -> None:
    """Nobody could be reached by any channel: somebody must write a letter."""
    messages.post(
        once=f"case_notice:{notice.pk}:failed",
        kind="case_notice.failed",
        title=f"A notice on case {notice.case.reference} could not be delivered",
        body="No channel has taken it. Reach the organisation in another way.",
        link=page_of(notice),
        level=Notice.Level.DANGER,
        audience=Notice.Audience.OPERATORS,
    )
