"""The inbox of payment providers' news: kept first, answered then, worked off afterwards (billing.md, webhooks).

News is a hint. What is booked is what the provider answers when it is asked, so a forged, repeated, late or
reordered message can do no more than make us ask once too often.
"""

import json
import logging
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from django.db import transaction
from django.db.models import F, Q
from django.urls import reverse

from accounts.models import Notice, User
from accounts.services import audit, notices
from billing.errors import BillingRefusal
from billing.models import PaymentEvent, PaymentProvider, TopUpOrder
from billing.payments import nudges, runs
from billing.payments.looking import pointer_to
from billing.payments.refusals import BadNews, PaymentRefusal, ProviderAway, ProviderTrouble
from billing.payments.registry import seam_of
from billing.payments.seam import Facts, Pointer, Standing
from billing.services import orders
from newapi.kernel import clock
from newapi.kernel.secrets import SealBroken

log = logging.getLogger(__name__)

State = PaymentEvent.State
BODY_BYTES_MAX = 256 * 1024
EVENT_ID_LENGTH_MAX = 255
# With pauses that grow from ten seconds to an hour, about half a day.
TRIES_MAX = 18
PAUSE_S = 10
PAUSE_S_MAX = 3600


class NotYet(ProviderTrouble):
    """What the news is about is not to be seen yet. Later it may be."""


def receive(*, provider: PaymentProvider, body: bytes, headers: Mapping[str, str]) -> PaymentEvent:
    """Verify news and keep it, once however often it is sent. When this returns, it is committed.

    body: as it came, at most BODY_BYTES_MAX; of a GET, its query string. headers: by lower-case name. Raises
    NotConfigured without a secret, BadNews, and the database's errors; nothing is kept then.
    """
    if len(body) > BODY_BYTES_MAX:
        raise BadNews("The news is too long.")
    news = seam_of(provider).read_news(body, headers)
    _check_payload(news.payload)
    if not 0 < len(news.event_id) <= EVENT_ID_LENGTH_MAX:
        raise BadNews("The news has no proper name.")
    with transaction.atomic():
        event, is_new = PaymentEvent.objects.get_or_create(
            provider=provider,
            event_id=news.event_id,
            defaults={"kind": news.kind[:80], "payload": dict(news.payload)},
        )
        if is_new:
            nudges.after_commit(nudges.WORK_PAYMENT_NEWS)
    return event


def work(*, limit: int = 100) -> int:
    """Work off the news whose turn it is. Returns how much of it is done. Each asks the provider, bounded in time."""
    due = PaymentEvent.objects.filter(state=State.WAITING, next_try_at__lte=clock.now())
    # What nobody has tried yet goes first, so that a silent provider's news does not hold up everybody's.
    events = due.select_related("provider").order_by("tries", "next_try_at", "pk")[:limit]
    return runs.each(list(events), _work, what="payment news")


@transaction.atomic
def retry(*, event: PaymentEvent, actor: User | None, reason: str, address: str | None = None) -> PaymentEvent:
    """Work news off anew that needed a person. Raises PaymentRefusal when it does not wait for one."""
    values = {"state": State.WAITING, "tries": 0, "next_try_at": clock.now()}
    event = _decide(event, values, "retry", actor=actor, reason=reason, address=address)
    nudges.after_commit(nudges.WORK_PAYMENT_NEWS)
    return event


@transaction.atomic
def dismiss(*, event: PaymentEvent, actor: User | None, reason: str, address: str | None = None) -> PaymentEvent:
    """Close news that needed a person, without doing anything. Raises PaymentRefusal when it does not wait for one."""
    values = {"state": State.DONE, "done_at": clock.now()}
    return _decide(event, values, "dismiss", actor=actor, reason=reason, address=address)


def _work(event: PaymentEvent) -> bool:
    """Claim, ask, apply: what crashes between leaves the news waiting, and the next turn books it, once."""
    if event.tries >= TRIES_MAX:
        # Each try notes how it ended, unless the worker died of it.
        _give_to_a_person(event, event.error or "Its last try never ended.")
        return False
    pause = timedelta(seconds=min(PAUSE_S * 2**event.tries, PAUSE_S_MAX))
    mine = PaymentEvent.objects.filter(pk=event.pk, state=State.WAITING, tries=event.tries)
    if not mine.update(tries=F("tries") + 1, next_try_at=clock.now() + pause):
        return False
    event.tries += 1
    try:
        found = _ask(event)
        with transaction.atomic():
            order = None if found is None else orders.apply(order=found[0], facts=found[1])
            PaymentEvent.objects.filter(pk=event.pk).update(
                state=State.DONE, order=order, done_at=clock.now(), error=""
            )
        return True
    except (ProviderAway, NotYet) as error:
        _postpone(event, str(error))
    except (ProviderTrouble, BadNews, SealBroken) as error:
        _give_to_a_person(event, str(error))
    except BillingRefusal as refusal:
        _postpone(event, " ".join(refusal.messages))
    except Exception as error:
        # The database's own refusals too: what breaks a constraint now breaks it at the next try.
        log.exception("payment news %s of %s is not worked off", event.pk, event.provider.slug)
        _postpone(event, runs.in_words(error))
    return False


def _check_payload(payload: Mapping[str, Any]) -> None:
    """Raise BadNews for what JSON as databases know it cannot hold: NaN, half a surrogate pair, null characters."""
    try:
        text = json.dumps(payload, ensure_ascii=False, allow_nan=False)
        text.encode()
    except (ValueError, RecursionError):
        raise BadNews("The news is not proper JSON.") from None
    if "\\u0000" in text:
        raise BadNews("The news holds a null character.")


def _ask(event: PaymentEvent) -> tuple[TopUpOrder, Facts] | None:
    """The order that news is about, and what the provider says of it; None when it asks nothing of us."""
    seam = seam_of(event.provider)
    pointer = seam.pointer_of(event.kind, event.payload)
    if pointer is None:
        return None
    order = _order_of(event.provider, pointer)
    if order is not None and order.provider_id == event.provider_id:
        known = pointer_to(order, session=pointer.session, payment=pointer.payment, went_back=pointer.went_back)
    else:
        known = pointer
    facts = seam.look(known)
    if facts is None:
        return None
    if order is None or order.reference != facts.reference:
        order = TopUpOrder.objects.filter(reference=facts.reference).first()
    if order is None:
        raise NotYet(f"No order is named {facts.reference[:60]}.")
    if pointer.says_paid and facts.standing != Standing.PAID:
        raise NotYet("The news says that it was paid; the provider, when asked, does not say so.")
    return order, facts


def _order_of(provider: PaymentProvider, pointer: Pointer) -> TopUpOrder | None:
    """By our own reference, or by the provider's names."""
    if pointer.reference and (order := TopUpOrder.objects.filter(reference=pointer.reference).first()):
        return order
    names = Q(pk=None)
    if pointer.payment:
        names |= Q(payment_reference=pointer.payment)
    if pointer.session:
        names |= Q(session_reference=pointer.session)
    return TopUpOrder.objects.filter(names, provider=provider).first()


def _postpone(event: PaymentEvent, why: str) -> None:
    if event.tries >= TRIES_MAX:
        _give_to_a_person(event, why)
        return
    PaymentEvent.objects.filter(pk=event.pk, state=State.WAITING).update(error=why[:500])


@transaction.atomic
def _give_to_a_person(event: PaymentEvent, why: str) -> None:
    waiting = PaymentEvent.objects.filter(pk=event.pk, state=State.WAITING)
    if not waiting.update(state=State.REVIEW, error=why[:500]):
        return
    notices.post(
        once=f"payment_event:{event.pk}:{clock.now_ms()}",
        kind="payment_event.review",
        title=f"News from {event.provider} needs a person: {event.kind}",
        body=why[:500],
        level=Notice.Level.DANGER,
        audience=Notice.Audience.OPERATORS,
        link=reverse("admin:billing_paymentevent_change", args=[event.pk]),
    )


def _decide(event: PaymentEvent, values: dict[str, object], verb: str, **details: object) -> PaymentEvent:
    if not PaymentEvent.objects.filter(pk=event.pk, state=State.REVIEW).update(**values):
        raise PaymentRefusal("It does not wait for a person any more.")
    event.refresh_from_db()
    changes = {"state": [State.REVIEW, values["state"]]}
    audit.record(action=f"payment_event.{verb}", target=event, changes=changes, **details)  # type: ignore[arg-type]
    return event
