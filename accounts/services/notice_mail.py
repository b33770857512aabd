"""Mailing notices: once at most.

A notice is claimed before its first mail goes out, so that no crash and no second job ever mails it twice; what
is lost instead is the mail, never the notice, which stands in the pages. While the mail server is away nothing
is claimed, and the next run tries again, for a day.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from smtplib import SMTPException, SMTPServerDisconnected
from typing import Any

from django.conf import settings
from django.core import mail

from accounts.models import Notice, User
from accounts.selectors import addressees
from newapi.kernel import clock

log = logging.getLogger(__name__)

# Older news is not mailed any more: it would come as a flood after the mail server was away.
MAIL_WITHIN = timedelta(days=1)
ADDRESSEES_MAX = 500


def mail_waiting(*, limit: int = 50) -> int:
    """Mail up to so many notices to everybody who is told them. Returns how many mails went out."""
    waiting = list(
        Notice.objects.filter(mailed_at=None, created_at__gt=clock.now() - MAIL_WITHIN)
        .select_related("organisation", "user")
        .order_by("pk")[:limit]
    )
    if not waiting:
        return 0
    sent = 0
    try:
        with connected() as connection:
            for notice in waiting:
                sent += _mail(connection, notice)
    except OSError as error:
        log.warning("the mail server is out of reach; what waits is tried again: %s", type(error).__name__)
    return sent


@contextmanager
def connected() -> Iterator[Any]:
    """The mail server, reached before anything is claimed. Raises OSError, of which SMTP's errors are."""
    connection = mail.get_connection()
    connection.open()
    try:
        yield connection
    finally:
        connection.close()


def _mail(connection: Any, notice: Notice) -> int:
    """Claim a notice and mail it to each addressee separately. Returns how many mails went out.

    Raises OSError when the server is lost; those who were not mailed by then will not be.
    """
    people = addressees(notice, limit=ADDRESSEES_MAX)
    if Notice.objects.filter(pk=notice.pk, mailed_at=None).update(mailed_at=clock.now()) != 1:
        return 0
    sent = 0
    try:
        for person in people:
            sent += _send(connection, notice, person)
    except OSError:
        log.error("notice %s was mailed to %s of %s people before the server was lost", notice.pk, sent, len(people))
        raise
    return sent


def _send(connection: Any, notice: Notice, person: User) -> bool:
    """One mail. False when the server refuses this address, which costs nobody else the news."""
    try:
        connection.send_messages([_message(notice, person)])
    except SMTPServerDisconnected:
        raise
    except SMTPException as error:
        log.warning("notice %s could not be mailed to person %s: %s", notice.pk, person.pk, type(error).__name__)
        return False
    return True


def _message(notice: Notice, person: User) -> mail.EmailMessage:
    """Plain text. Newlines in the title would be headers, so it is one line."""
    reader = f"a member of {notice.organisation.name}" if notice.organisation else "an operator of the platform"
    link = f"{origin()}{notice.link}" if notice.link else ""
    said = [notice.title, notice.body, link, f"You get this as {reader}."]
    return mail.EmailMessage(
        subject=f"[{settings.SITE_NAME}] {' '.join(notice.title.split())}",
        body="\n\n".join(part for part in said if part) + "\n",
        to=[person.email],
    )


def origin() -> str:
    """Where the pages are, as the deployment names it; empty when it does not, and links are then paths."""
    return next(iter(settings.CSRF_TRUSTED_ORIGINS), "")
