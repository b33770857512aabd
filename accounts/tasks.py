"""Celery's doors to the accounts app."""

from celery import shared_task

from accounts.services import epochs, notice_mail, retention


@shared_task
def publish_epochs() -> int:
    """Tell Redis the epochs that could not be told when they were raised."""
    return epochs.publish_missed()


@shared_task
def mail_notices() -> int:
    """Mail the notices that nobody has mailed yet."""
    return notice_mail.mail_waiting()


@shared_task
def purge_expired() -> int:
    """Purge records that are past their retention. Returns how many rows went."""
    return retention.purge_expired()
