"""Celery's doors to the moderation app."""

from celery import shared_task

from moderation.services import sla


@shared_task
def advance_clocks() -> int:
    """Record the warnings and breaches of case clocks that have come due."""
    return sla.advance()
