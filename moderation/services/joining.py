"""What comes in about somebody finds its case here: one that is open already, or a new one.

Joined is a case of the same organisation and category that is not decided; never one against which there is an
appeal, so that what comes in later cannot weigh on it. Of two things that come in at once, the second finds the case
of the first.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.models import Exists, OuterRef, Q, QuerySet

from accounts.models import Organisation, User
from moderation.models import Appeal, Case, PolicyCategory
from moderation.services import opening, sla
from newapi.kernel import clock

# Whoever comes second waits for the first, so that more than a few tries mean that something is wrong.
_TRIES_MAX = 20


class CaseBusy(Exception):
    """A case changed again and again while something was to join it. Nothing was written; ask again."""


@transaction.atomic
def open_or_join(
    *,
    organisation: Organisation | None,
    category: PolicyCategory,
    summary: str,
    source: str,
    reason: str,
    received_at: datetime | None = None,
    level: str | None = None,
    actor: User | None = None,
    like: Q | None = None,
    **about: Any,
) -> tuple[Case, bool]:
    """The case that something belongs to, and whether it was opened for it.

    A case that is joined keeps the earliest receipt, and its level. One that is opened follows the last case of the
    same organisation and category, if there was one; `about` is what opening.open_case is told besides, as api_key.
    `like` is what has to hold of a case to be joined besides; without an organisation it is needed, else none is
    joined. Raises as opening.open_case does, and CaseBusy.
    """
    lock([category.pk])
    moment = received_at or clock.now()
    joined = _join(joinable(organisation=organisation, category=category, like=like), moment)
    if joined is not None:
        return joined, False
    case = opening.open_case(
        organisation=organisation,
        category=category,
        summary=summary,
        source=source,
        level=level,
        received_at=moment,
        actor=actor,
        reason=reason,
        follows=last_of(organisation=organisation, category=category),
        **about,
    )
    return case, True


def lock(category_ids: Iterable[int]) -> None:
    """Let nothing else of these categories find its case until this transaction ends.

    On SQLite the transaction is that lock. The weaker kind, so that rows which cite a category need not wait.
    """
    list(PolicyCategory.objects.select_for_update(no_key=True).filter(pk__in=category_ids).order_by("pk"))


def joinable(*, organisation: Organisation | None, category: PolicyCategory, like: Q | None = None) -> QuerySet[Case]:
    """The cases that something of an organisation and category may join, oldest first."""
    found = Case.objects.filter(category=category, state__in=Case.UNDECIDED_STATES).exclude(under_appeal())
    if organisation is None and like is None:
        return found.none()
    mine = found.filter(organisation=organisation)
    # Asked by their ids: a condition on what belongs to cases would bring each of them several times.
    return mine.filter(pk__in=Case.objects.filter(like).values("pk")) if like is not None else mine


def under_appeal() -> Exists:
    """Whether there is, or was, an appeal against a decision on a case."""
    return Exists(Appeal.objects.filter(decision__case=OuterRef("pk")))


def last_of(*, organisation: Organisation | None, category: PolicyCategory) -> Case | None:
    """The case that a new one follows: the last of the organisation and category, however it ended."""
    if organisation is None:
        return None
    others = Case.objects.filter(organisation=organisation, category=category)
    return others.exclude(state=Case.State.MERGED).order_by("-pk").first()


def _join(found: QuerySet[Case], received_at: datetime) -> Case | None:
    """Let the oldest of these cases count from a receipt, if that is earlier. None when there is none.

    Its version stays: whoever is at work on it is not to be thrown out by whatever comes in.
    """
    for _ in range(_TRIES_MAX):
        case = found.order_by("pk").first()
        if case is None:
            return None
        unchanged = Case.objects.filter(pk=case.pk, state__in=Case.UNDECIDED_STATES, received_at=case.received_at)
        if unchanged.update(received_at=min(case.received_at, received_at)):
            if received_at < case.received_at:
                case.received_at = received_at
                sla.backdate(case=case, received_at=received_at)
            return case
    raise CaseBusy
