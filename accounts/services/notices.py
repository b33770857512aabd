"""Notices: told once, kept, and mailed by a job."""

from accounts.models import Notice, Organisation, User


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
) -> bool:
    """Tell something. False when the same `once` was told before; nothing is changed then.

    once: what makes it the same piece of news, such as `budget:key:17:2026-11:80`. link: a path of this site.
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
        },
    )
    return is_new
