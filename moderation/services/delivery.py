"""Delivering notices: over one channel after the other until one has taken it, each try written down (NOT-01).

The first channel is mail, with the organisation's webhook beside it; what none of them takes is told in the portal,
and from then the window of an appeal counts. A notice is claimed before it is tried, so that two jobs do not send it
twice; a job that dies in between lets it be tried again.
"""

import logging
import time
from collections.abc import Callable, Mapping
from datetime import timedelta
from itertools import takewhile

from django.db import transaction
from django.db.models import F, Max, QuerySet

from accounts.models import Notice
from accounts.services import notices as messages
from moderation.models import CaseEvent, CaseNotice, Delivery
from moderation.services import carriers, delivery_rows, events, measures, notices
from moderation.services.carriers import Undeliverable, Unreachable
from newapi.kernel import clock

log = logging.getLogger(__name__)

# For so long a notice belongs to the job that has claimed it; then that job is taken for dead.
LEASE = timedelta(minutes=5)
# So long after the last try, what a notice sets going and fails each time is left to a person: about twelve attempts.
LEFT_AFTER = timedelta(hours=1)
# A run ends in good time before Celery would end it in the middle of a mail; what is left is the next one's.
RUN_S_MAX = 120.0
_State, _Channel = Delivery.State, Delivery.Channel
_CARRY: Mapping[str, Callable[[CaseNotice], None]] = {
    _Channel.EMAIL: carriers.mail_it,
    _Channel.WEBHOOK: carriers.post_it,
    _Channel.MESSAGE: carriers.say_it,
}


def deliver(*, limit: int = 100) -> int:
    """Deliver what waits, those that have waited longest first. Returns how many notices were worked on."""
    waiting = CaseNotice.objects.filter(attention_at__lte=clock.now()).order_by("attention_at", "pk")
    ends_s = time.monotonic() + RUN_S_MAX
    some = takewhile(lambda _: time.monotonic() < ends_s, _read(waiting)[:limit])
    return sum(_work(notice) for notice in some)


def _read(rows: QuerySet[CaseNotice]) -> QuerySet[CaseNotice]:
    of_case = ("case__category", "case__organisation", "case__assignee")
    return rows.select_related(*of_case, "organisation", "user", "decision", "report__reporter", "template")


def _work(notice: CaseNotice) -> bool:
    """Claim a notice, try what is due, write down what became of it. False when another job has it."""
    mine = CaseNotice.objects.filter(pk=notice.pk, attention_at=notice.attention_at)
    if not mine.update(attention_at=clock.now() + LEASE):
        return False
    trouble = ""
    try:
        for delivery in delivery_rows.due(notice):
            _try(notice, delivery)
        _begin(notice)
    except Exception as error:
        # One notice costs the others nothing.
        log.exception("notice %s could not be worked on", notice.pk)
        trouble = type(error).__name__
    with transaction.atomic():
        delivery_rows.settle(notice)
        if trouble:
            _try_later_or_leave(notice, trouble)
    return not trouble


def _try(notice: CaseNotice, delivery: Delivery) -> None:
    """One try on one channel, which costs the other channels nothing. The text names the window of today."""
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
        _note_miss(notice, delivery, str(error))
    except Undeliverable as error:
        _note(notice, delivery, _State.FAILED, str(error))
    except Exception as error:
        log.exception("notice %s failed on the channel %s", notice.pk, delivery.channel)
        _note_miss(notice, delivery, type(error).__name__)
    else:
        _note(notice, delivery, _State.SENT, "")


def _render_for_today(notice: CaseNotice) -> None:
    try:
        notices.render_again(notice)
    except Exception:
        # What was written before stands; it was whole.
        log.exception("notice %s could not be rendered for today", notice.pk)


def _note_miss(notice: CaseNotice, delivery: Delivery, error: str) -> None:
    """Later it may go; after DELIVERY_TRIES_MAX it will not."""
    is_over = delivery.tries >= delivery_rows.DELIVERY_TRIES_MAX
    _note(notice, delivery, _State.FAILED if is_over else _State.QUEUED, error)


@transaction.atomic
def _note(notice: CaseNotice, delivery: Delivery, state: Delivery.State, error: str) -> None:
    now = clock.now()
    sent_at = now if state == _State.SENT else None
    delivery.state, delivery.error, delivery.sent_at = state, error[:100], sent_at
    delivery.save(update_fields=["state", "error", "sent_at"])
    # The delivery, its notice, its case: whoever locks them in another order may wait for us while we wait for them.
    if sent_at is not None and notice.sent_at is None:
        CaseNotice.objects.filter(pk=notice.pk, sent_at=None).update(sent_at=sent_at, state=CaseNotice.State.SENT)
        notice.sent_at, notice.state = sent_at, CaseNotice.State.SENT
    if state != _State.QUEUED:
        delivery_rows.tell(notice, delivery, delivery.get_state_display().lower(), reason=error)


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


def _try_later_or_leave(notice: CaseNotice, trouble: str) -> None:
    """Look again after the lease; when that has failed for LEFT_AFTER since the last try, a person must see to it."""
    tried = Delivery.objects.filter(notice=notice).aggregate(last=Max("last_tried_at"))["last"]
    now = clock.now()
    is_left = now >= (tried or notice.created_at) + LEFT_AFTER
    notice.attention_at = None if is_left else now + LEASE
    notice.save(update_fields=["attention_at"])
    if not is_left:
        return
    after = f"{notice.once}: what it sets going has failed again and again"
    events.append(case=notice.case, kind=CaseEvent.Kind.NOTICE, after=after, reason=trouble)
    messages.post(
        once=f"case_notice:{notice.pk}:left:{now.isoformat()}",
        kind="case_notice.left",
        title=f"A notice on case {notice.case.reference} sets nothing going: {trouble}",
        body="Measures that were to begin with it have not begun. The log says why; when that is mended, send it "
        "again: nobody who has it gets it twice.",
        link=delivery_rows.page_of(notice),
        level=Notice.Level.DANGER,
        audience=Notice.Audience.OPERATORS,
    )
