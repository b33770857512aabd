"""Celery's doors to the moderation app."""

from celery import shared_task

from moderation.services import chain_runs, chains, delivery, detecting, evidence_checks, signal_cases, sla


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


@shared_task
def sign_chains() -> int:
    """Sign the root of today over all chains that have grown. Returns its number; 0 when there is nothing to sign."""
    root = chains.make_daily_root()
    return root.number if root else 0


# A million events take about ten seconds; nothing waits for it.
@shared_task(time_limit=7_200, soft_time_limit=7_000)
def verify_chains() -> int | None:
    """Verify all chains, and tell the operators what is found."""
    return chain_runs.run()


@shared_task
def check_evidence() -> int:
    """Open some files of evidence, those not looked at for longest, and compare them with their hashes."""
    return evidence_checks.check_some()


@shared_task
def deliver_notices() -> int:
    """Deliver the notices of cases that wait, and try those again that did not arrive."""
    return delivery.deliver()
