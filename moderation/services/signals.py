"""Signals: the only thing that is kept of what detectors notice. Raised while it goes on, judged by a person."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction

from accounts.models import User
from accounts.services import audit
from moderation import permissions
from moderation.errors import NotPermitted
from moderation.models import Signal
from moderation.services import acts
from newapi.kernel import clock

REQUEST_IDS_MAX = 5
# Of judged signals, and of those still open: what a person said is changed by saying it again.
VERDICTS = (Signal.Verdict.CONFIRMED, Signal.Verdict.FALSE_POSITIVE)


@dataclass(frozen=True, slots=True)
class Subject:
    """Whom a signal is about. Ids; `name` is what tells subjects apart, such as `k:17`."""

    name: str
    organisation_id: int
    api_key_id: int | None = None
    user_id: int | None = None


@transaction.atomic
def notice(
    *,
    about: str,
    subject: Subject,
    category_id: int,
    rule_id: int | None,
    source: str,
    is_shadow: bool,
    count: int,
    facts: Mapping[str, int],
    request_ids: Sequence[str],
    window: timedelta,
) -> Signal | None:
    """Write a finding down. Within `window` after its first notice it is the same signal, whose count is raised.

    about: what noticed it and in which version, such as `attack:v3`. facts: numbers only. Returns the signal when
    it is new. A repeat that counts no more than before changes nothing. Raises ValueError for facts of another type.
    """
    if not all(type(value) is int for value in facts.values()):
        raise ValueError("facts are whole numbers")
    now = clock.now()
    what_is_told = {"count": count, "facts": dict(facts), "request_ids": list(request_ids)[:REQUEST_IDS_MAX]}
    name = f"{about}:{subject.name}:"
    running = Signal.objects.filter(once__startswith=name, first_at__gt=now - window).order_by("-first_at").first()
    if running is not None:
        Signal.objects.filter(pk=running.pk, count__lt=count).update(last_at=now, **what_is_told)
        return None
    # Numbered by the window, so that of two jobs that come to the same finding one writes it.
    made, is_new = Signal.objects.get_or_create(
        once=f"{name}{clock.to_ms(now) // (window // timedelta(milliseconds=1))}",
        defaults={
            "source": source,
            "rule_id": rule_id,
            "category_id": category_id,
            "organisation_id": subject.organisation_id,
            "api_key_id": subject.api_key_id,
            "user_id": subject.user_id,
            "is_shadow": is_shadow,
            "first_at": now,
            "last_at": now,
            **what_is_told,
        },
    )
    return made if is_new else None


@transaction.atomic
def judge(*, signal: Signal, verdict: str, actor: User, reason: str, address: str | None = None) -> bool:
    """Say that a signal was right, or a false positive. False when it says so already.

    What a throttle or a case has done since stays: it is lifted or moved by its own act. Raises NotPermitted,
    ValidationError.
    """
    acts.require_reason(reason)
    if not permissions.may(actor, permissions.JUDGE_SIGNAL):
        raise NotPermitted(f"This needs the permission {permissions.JUDGE_SIGNAL}.")
    if verdict not in VERDICTS:
        raise ValidationError({"verdict": f"Choose one of {', '.join(VERDICTS)}."})
    before = Signal.objects.select_for_update().values_list("verdict", flat=True).get(pk=signal.pk)
    changed: dict[str, Any] = {"verdict": verdict, "verdict_by": actor, "verdict_at": clock.now()}
    # Guarded by what was seen: of two who judge at once, the second is told.
    if Signal.objects.filter(pk=signal.pk, verdict=before).exclude(verdict=verdict).update(**changed) != 1:
        return False
    for name, value in changed.items():
        setattr(signal, name, value)
    is_sealed = signal.category.is_sealed
    audit.record(
        actor=actor,
        action="signal.judge",
        target=signal,
        reason=acts.SEALED_REASON if is_sealed else reason,
        changes={"verdict": [before, verdict]},
        address=address,
    )
    return True
