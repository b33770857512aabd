"""Reading sealed child-safety cases: asked by one, granted by another, for hours; every look is written down.

Who has `view_sealed_case` by grant knows that such a case is there and moves it on. What is in it (its summary, its
story, its evidence) is read only while an unsealing for that person holds. A superuser is not exempt from either.
"""

import logging
from datetime import timedelta

from django.contrib.auth.models import Permission
from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import Q, QuerySet

from accounts.models import Notice, User
from accounts.services import audit, notices
from moderation import permissions
from moderation.errors import IllegalMove
from moderation.models import Case, CaseEvent, SealedLook, Unsealing
from moderation.services import acts, conflicts, events
from newapi.kernel import clock

log = logging.getLogger(__name__)

HOURS_DEFAULT = 8
HOURS_MAX = 24
# An ask that nobody has answered by then lapses.
ASK_HOLDS = timedelta(hours=72)
REASON_LENGTH_MAX = 2_000


def may_read(*, user: User, case: Case) -> bool:
    """Whether a person may read what is in a case now: of a sealed one, while an unsealing for them holds."""
    if not permissions.may_see(user, case):
        return False
    return not case.category.is_sealed or unsealing_of(user=user, case=case) is not None


def unsealing_of(*, user: User, case: Case) -> Unsealing | None:
    """The unsealing that holds for a person now, judged by the clock; the one that ends last."""
    now = clock.now()
    holding = Unsealing.objects.filter(case=case, asked_by=user, granted_at__lte=now, ends_at__gt=now)
    return holding.order_by("-ends_at").first()


def waiting(case: Case | None = None) -> QuerySet[Unsealing]:
    """The asks that can still be answered; of one case, or of all."""
    asked = Unsealing.objects.filter(granted_at=None, refused_at=None, asked_at__gt=clock.now() - ASK_HOLDS)
    return asked.filter(case=case) if case is not None else asked


def look(*, user: User, case: Case, what: str, address: str | None) -> bool:
    """Whether a person may read a case now; of a sealed one the look is written down, also when it is refused.

    what: which page or act, in words. Call it outside of any transaction that a refusal would roll back.
    """
    is_allowed = may_read(user=user, case=case)
    if case.category.is_sealed:
        note(user=user, case=case, what=what, was_allowed=is_allowed, address=address)
    return is_allowed


def note(*, user: User, case: Case, what: str, was_allowed: bool, address: str | None) -> SealedLook:
    """Write down a look at a sealed case, by whatever right it was taken or refused."""
    if not was_allowed:
        log.warning("refused on %s to user %s: %s", case.reference, user.pk, what)
    return SealedLook.objects.create(
        case=case, user=user, at=clock.now(), what=what[:100], was_allowed=was_allowed, address=address or None
    )


@transaction.atomic
def ask(*, case: Case, actor: User, reason: str, address: str | None = None) -> Unsealing:
    """Ask to read a sealed case. Raises NotPermitted, IllegalMove, ValidationError."""
    _check_reason(reason)
    if not case.category.is_sealed:
        raise IllegalMove(f"{case.reference} is not sealed.")
    _require_grant(case, actor)
    if waiting(case).filter(asked_by=actor).exists():
        raise IllegalMove("You have asked already. Another person answers it.")
    if unsealing_of(user=actor, case=case):
        raise IllegalMove("It is unsealed for you already.")
    unsealing = Unsealing.objects.create(case=case, asked_by=actor, asked_at=clock.now(), reason=reason)
    _tell(unsealing, actor, "asked", reason, address)
    for person in _others(actor):
        notices.post(
            once=f"unsealing:{unsealing.pk}:{person.pk}",
            kind="unsealing.asked",
            title=f"Leave to read {case.reference} is asked",
            link=f"/admin/moderation/unsealing/{unsealing.pk}/change/",
            level=Notice.Level.WARNING,
            audience=Notice.Audience.PERSON,
            user=person,
        )
    return unsealing


@transaction.atomic
def grant(
    *, unsealing: Unsealing, actor: User, reason: str, hours: int = HOURS_DEFAULT, address: str | None = None
) -> Unsealing:
    """Let the person who asked read the case for so many hours, from now. By another person only.

    Raises NotPermitted, IllegalMove when it was answered or has lapsed, ValidationError.
    """
    _check_reason(reason)
    if not 1 <= hours <= HOURS_MAX:
        raise ValidationError({"hours": f"From 1 to {HOURS_MAX} hours."})
    _require_grant(unsealing.case, actor)
    if unsealing.asked_by_id in conflicts.logins_of(actor):
        raise acts.refused(unsealing.case, actor, "Another person must grant what you have asked for.")
    if not permissions.is_granted(unsealing.asked_by, permissions.VIEW_SEALED):
        raise IllegalMove(f"{unsealing.asked_by} may not see sealed cases any more.")
    now = clock.now()
    _answer(unsealing, granted_by=actor, granted_at=now, ends_at=now + timedelta(hours=hours))
    _tell(unsealing, actor, f"granted for {hours} h", reason, address)
    return unsealing


@transaction.atomic
def refuse(*, unsealing: Unsealing, actor: User, reason: str, address: str | None = None) -> Unsealing:
    """Do not let them; who asked may take it back so. Raises NotPermitted, IllegalMove, ValidationError."""
    _check_reason(reason)
    _require_grant(unsealing.case, actor)
    _answer(unsealing, refused_at=clock.now())
    _tell(unsealing, actor, "refused", reason, address)
    return unsealing


@transaction.atomic
def end(*, unsealing: Unsealing, actor: User, reason: str, address: str | None = None) -> bool:
    """Seal the case again before its hours are over. False when they were. Raises NotPermitted, ValidationError."""
    _check_reason(reason)
    _require_grant(unsealing.case, actor)
    now = clock.now()
    if not Unsealing.objects.filter(pk=unsealing.pk, granted_at__isnull=False, ends_at__gt=now).update(ends_at=now):
        return False
    unsealing.ends_at = now
    _tell(unsealing, actor, "ended", reason, address)
    return True


def _require_grant(case: Case, actor: User) -> None:
    if not permissions.is_granted(actor, permissions.VIEW_SEALED):
        raise acts.refused(case, actor, f"This needs the permission {permissions.VIEW_SEALED}, given by name.")
    conflicts.refuse(case=case, actor=actor)


def _answer(unsealing: Unsealing, **values: object) -> None:
    """Answer an ask that still waits, once."""
    if waiting().filter(pk=unsealing.pk).update(**values) != 1:
        raise IllegalMove("It was answered before, or has lapsed. It can be asked again.")
    for name, value in values.items():
        setattr(unsealing, name, value)


def _others(actor: User) -> list[User]:
    """The active people who were given the right by name, without those who are this person."""
    rights = Permission.objects.filter(content_type__app_label="moderation", codename="view_sealed_case")
    people = User.objects.filter(Q(user_permissions__in=rights) | Q(groups__permissions__in=rights), is_active=True)
    return list(people.exclude(pk__in=conflicts.logins_of(actor)).distinct().order_by("pk"))


def _tell(unsealing: Unsealing, actor: User, what: str, reason: str, address: str | None) -> None:
    case = unsealing.case
    events.append(
        case=case,
        kind=CaseEvent.Kind.ACCESS,
        actor=actor,
        after=f"unsealing for {unsealing.asked_by} {what}",
        reason=reason,
    )
    audit.record(
        actor=actor,
        action=f"unsealing.{what.partition(' ')[0]}",
        target=case,
        reason=acts.SEALED_REASON,
        changes={"for": [None, unsealing.asked_by]},
        address=address,
    )


def _check_reason(reason: str) -> None:
    acts.require_reason(reason)
    if len(reason) > REASON_LENGTH_MAX:
        raise ValidationError({"reason": f"At most {REASON_LENGTH_MAX:,} characters."})
