"""Notices: told once, kept, and mailed by a job."""

from collections.abc import Iterable, Sequence

from django.db import transaction

from accounts.models import Notice, NoticeRead, Organisation, User
from newapi.kernel import clock


def post(
    *,
    once: str,
    kind: str,
    title: str,
    audience: str,
    body: str = "",
    link: str = "",
    level: str = Notice.Level.INFO,
    organisation: Organisation | None = None,
    user: User | None = None,
    is_mailed: bool = True,
) -> bool:
    """Tell something. False when the same `once` was told before; nothing is changed then.

    once: what makes it the same piece of news, such as `budget:key:17:2026-11:80`. link: a path of this site.
    is_mailed: off for news that its sender mails by itself.
    Call it inside the transaction of what it tells of.
    """
    _, is_new = Notice.objects.get_or_create(
        once=once,
        defaults={
            "kind": kind,
            "title": title[:200],
            "audience": audience,
            "body": body,
            "link": link,
            "level": level,
            "organisation": organisation,
            "user": user,
            "mailed_at": None if is_mailed else clock.now(),
        },
    )
    return is_new


def post_all(news: Sequence[Notice]) -> None:
    """Tell several things in one statement; what was told before by the same `once` stays as it is.

    Call it inside the transaction of what they tell of.
    """
    Notice.objects.bulk_create(news, ignore_conflicts=True)


@transaction.atomic
def mark_read(*, user: User, notices: Iterable[Notice]) -> int:
    """Note that a person has seen notices. Returns how many were new to that person. Again is harmless."""
    now = clock.now()
    seen = set(NoticeRead.objects.filter(user=user, notice__in=notices).values_list("notice_id", flat=True))
    fresh = [NoticeRead(notice=notice, user=user, at=now) for notice in notices if notice.pk not in seen]
    NoticeRead.objects.bulk_create(fresh, ignore_conflicts=True)
    return len(fresh)
