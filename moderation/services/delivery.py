"""Delivering notices: over one channel after the other until one has taken it, each try written down (NOT-01).

The first channel is mail, with the organisation's webhook beside it; what none of them takes is told in the portal,
and from then the window of an appeal counts. A notice is claimed before it is tried, so that two jobs do not send it
twice; a job that dies in between lets it be tried again.
"""

import logging
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta

from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import F, QuerySet

from accounts.models import Notice, User
from accounts.services import notices as messages
from moderation import permissions
from moderation.errors import IllegalMove
from moderation.models import CaseEvent, CaseNotice, Delivery
from moderation.services import acts, carriers, events, measures, notices
from moderation.services.carriers import Undeliverable, Unreachable
from newapi.kernel import clock, nudges

log = logging.getLogger(__name__)

DELIVERY_TRIES_MAX = 8
# Pauses of 1, 2, 4 … 60 minutes: what cannot be delivered for about three hours goes over the next channel.
PAUSE_S = 60
PAUSE_S_MAX = 3_600
# For so long a notice belongs to the job that has claimed it; then that job is taken for dead.
LEASE = timedelta(minutes=5)
_HANDLERS = (permissions.TRIAGE, permissions.REVIEW, permissions.ADMIT_APPEAL)
_State, _Channel = Delivery.State, Delivery.Channel
_CARRY: Mapping[str, Callable[[CaseNotice], None]] = {
    _Channel.EMAIL: carriers.mail_it,
    _Channel.WEBHOOK: carriers.post_it,
    _Channel.MESSAGE: carriers.say_it,
}


def deliver(*, limit: int = 100) -> int:
    """Deliver what waits, those that have waited longest first. Returns how many notices were worked on."""
    waiting = CaseNotice.objects.filter(attention_at__lte=clock.now()).order_by("attention_at", "pk")
    return sum(_work(notice) for notice in _read(waiting)[:limit])


@transaction.atomic
def bounced(*, delivery: Delivery, actor: User, reason: str = "The mail came back.") -> Delivery:
    """Note that what a channel had taken came back. When nothing else has taken the notice, the next channel is tried,
    and the window of an appeal begins with that one. Raises NotPermitted, IllegalMove, ValidationError.
    """
    acts.require_reason(reason)
    notice = _read(CaseNotice.objects.all()).get(pk=delivery.notice_id)
    acts.require(case=notice.case, actor=actor, anyone_with=_HANDLERS, to="say that a notice came back")
    values = {"state": _State.BOUNCED, "error": "came back"}
    if not Delivery.objects.filter(pk=delivery.pk, state=_State.SENT).update(**values):
        raise IllegalMove("Only what was sent comes back.")
    delivery.state, delivery.error = _State.BOUNCED, "came back"
    _settle(notice)
    _tell(notice, delivery, "came back", actor=actor, reason=reason)
    acts.audit_case(case=notice.case, actor=actor, action="case_notice.bounce", reason=reason)
    nudges.after_commit(notices.DELIVER)
    return delivery


@transaction.atomic
def resend(*, notice: CaseNotice, actor: User, reason: str) -> int:
    """Try the channels again that have failed. Returns how many. Raises NotPermitted, IllegalMove, ValidationError."""
    acts.require_reason(reason)
    acts.require(case=notice.case, actor=actor, anyone_with=_HANDLERS, to="send a notice again")
    lost = Delivery.objects.filter(notice=notice, state__in=(_State.FAILED, _State.BOUNCED))
    count = lost.update(state=_State.QUEUED, tries=0, last_tried_at=None, error="")
    if not count:
        raise IllegalMove("Every channel of this notice has taken it, or is still to be tried.")
    CaseNotice.objects.filter(pk=notice.pk).update(attention_at=clock.now())
    events.append(case=notice.case, kind=CaseEvent.Kind.NOTICE, actor=actor, after=f"{notice.once}: to be sent again",
                  reason=reason)  # fmt: skip
    acts.audit_case(case=notice.case, actor=actor, action="case_notice.resend", reason=reason)
    nudges.after_commit(notices.DELIVER)
    return count


def _read(rows: QuerySet[CaseNotice]) -> QuerySet[CaseNotice]:
    of_case = ("case__category", "case__organisation", "case__assignee")
    return rows.select_related(*of_case, "organisation", "user", "decision", "report__reporter", "template")


def _work(notice: CaseNotice) -> bool:
    """Claim a notice, try what is due, write down what became of it. False when another job has it."""
    mine = CaseNotice.objects.filter(pk=notice.pk, attention_at=notice.attention_at)
    if not mine.update(attention_at=clock.now() + LEASE):
        return False
    try:
        for delivery in _due(notice):
            _try(notice, delivery)
        _begin(notice)
    except Exception:
        # One notice costs the others nothing; after the lease it is tried again.
        log.exception("notice %s could not be worked on", notice.pk)
        return False
    with transaction.atomic():
        _settle(notice)
    return True


def _due(notice: CaseNotice) -> list[Delivery]:
    """The deliveries of the first position that is still open, and whose pause is over."""
    rows = list(notice.deliveries.order_by("position", "pk"))
    now = clock.now()
    return [one for one in _open(rows) if _next_try(one, now) <= now]


def _open(rows: list[Delivery]) -> list[Delivery]:
    """What is still to be tried: the first position with anything queued, unless an earlier one has taken it."""
    queued = [one for one in rows if one.state == _State.QUEUED]
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


def _try(notice: CaseNotice, delivery: Delivery) -> None:
    """One try on one channel. The text names the window that counts from today."""
    if notice.sent_at is None:
        _render_for_today(notice)
    now = clock.now()
    mine = Delivery.objects.filter(pk=delivery.pk, state=_State.QUEUED, tries=delivery.tries)
    if not mine.update(tries=F("tries") + 1, last_tried_at=now):
        return
    delivery.tries, delivery.last_tried_at = delivery.tries + 1, now
    try:
        _CARRY[delivery.channel](notice)
    except Unreachable as error:
        is_over = delivery.tries >= DELIVERY_TRIES_MAX
        _note(notice, delivery, _State.FAILED if is_over else _State.QUEUED, str(error))
    except Undeliverable as error:
        _note(notice, delivery, _State.FAILED, str(error))
    else:
        _note(notice, delivery, _State.SENT, "")


def _render_for_today(notice: CaseNotice) -> None:
    try:
        notices.render_again(notice)
    except ValidationError:
        # What was written before stands; it was whole.
        log.exception("notice %s could not be rendered for today", notice.pk)


@transaction.atomic
def _note(notice: CaseNotice, delivery: Delivery, state: Delivery.State, error: str) -> None:
    now = clock.now()
    sent_at = now if state == _State.SENT else None
    delivery.state, delivery.error, delivery.sent_at = state, error[:100], sent_at
    delivery.save(update_fields=["state", "error", "sent_at"])
    if state != _State.QUEUED:
        _tell(notice, delivery, delivery.get_state_display().lower(), reason=error)
    if sent_at is not None and notice.sent_at is None:
        CaseNotice.objects.filter(pk=notice.pk, sent_at=None).update(sent_at=sent_at, state=CaseNotice.State.SENT)
        notice.sent_at, notice.state = sent_at, CaseNotice.State.SENT


@transaction.atomic
def _begin(notice: CaseNotice) -> None:
    """After the first attempt, whether or not it arrived: the measures that waited for it begin (NOT-02)."""
    if notice.attempted_at is not None or not notice.deliveries.filter(tries__gt=0).exists():
        return
    if not CaseNotice.objects.filter(pk=notice.pk, attempted_at=None).update(attempted_at=clock.now()):
        return
    if notice.organisation is not None:
        carriers.post_message(notice)
    if notice.decision is not None and notice.once.startswith("decision:"):
        measures.begin_announced(decision=notice.decision)


def _settle(notice: CaseNotice) -> None:
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


def _call_a_person(notice: CaseNotice) -> None:
    """Nobody could be reached by any channel: somebody must write a letter."""
    messages.post(
        once=f"case_notice:{notice.pk}:failed",
        kind="case_notice.failed",
        title=f"A notice on case {notice.case.reference} could not be delivered",
        body="No channel has taken it. Reach the organisation in another way.",
        link=f"/admin/moderation/casenotice/{notice.pk}/change/",
        level=Notice.Level.DANGER,
        audience=Notice.Audience.OPERATORS,
    )


def _tell(notice: CaseNotice, delivery: Delivery, what: str, *, reason: str, actor: User | None = None) -> None:
    after = f"{notice.once}: {delivery.get_channel_display().lower()} {what}"
    events.append(case=notice.case, kind=CaseEvent.Kind.NOTICE, actor=actor, after=after, reason=reason)
