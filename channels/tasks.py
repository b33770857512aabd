"""Celery's doors to the channels app."""

from celery import shared_task

from channels.services import catalogue


@shared_task
def publish_catalogue() -> bool:
    """Tell Redis the catalogue version if it could not be told when it was raised."""
    return catalogue.publish_missed()
