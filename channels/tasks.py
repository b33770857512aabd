"""Celery's doors to the channels app."""

from celery import shared_task

from channels.services import catalogue, dates


@shared_task
def publish_catalogue() -> bool:
    """Tell Redis the catalogue version if it could not be told when it was raised."""
    return catalogue.publish_missed()


@shared_task
def watch_dates() -> int:
    """Tell which evidence, reviews of terms and models come to their end. Returns how many notices were posted."""
    return dates.watch()
