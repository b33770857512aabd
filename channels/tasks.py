"""Celery's doors to the channels app."""

from celery import shared_task

from channels.services import balances, catalogue, dates, probes


@shared_task
def publish_catalogue() -> bool:
    """Tell Redis the catalogue version if it could not be told when it was raised."""
    return catalogue.publish_missed()


@shared_task
def watch_dates() -> int:
    """Tell which evidence, reviews of terms and models come to their end. Returns how many notices were posted."""
    return dates.watch()


@shared_task
def probe_channels() -> int:
    """Make the small real calls that are due. Returns how many were made."""
    return probes.probe_due()


@shared_task
def read_balances() -> int:
    """Ask providers what is left of our money with them. Returns how many told."""
    return balances.read_all()
