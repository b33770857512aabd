"""Celery's doors to the moderation app."""

from celery import shared_task

from moderation.services import detecting, signal_cases, sla


@shared_task
def advance_clocks() -> int:
    """Record the warnings and breaches of case clocks that have come due."""
    return sla.advance()


@shared_task
def detect() -> int:
    """Look at what calls have shown since the last time, and write down what the detectors notice."""
    return detecting.run()


@shared_task
def join_signals() -> int:
    """Put signals to cases, and open those that a pattern asks for."""
    return signal_cases.join()
