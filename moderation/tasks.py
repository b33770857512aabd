"""Celery's doors to the moderation app."""

from celery import shared_task

from moderation.services import (
    authority_watch,
    captured_calls,
    chain_runs,
    chains,
    deadlines,
    delivery,
    detecting,
    evidence_checks,
    evidence_retention,
    measures,
    report_retention,
    signal_cases,
    sla_sweep,
)


@shared_task
def advance_clocks() -> int:
    """Record the warnings and breaches of case clocks that have come due."""
    return sla_sweep.advance()


@shared_task
def tend_measures() -> int:
    """Record what the clock has ended, and what organisations have left unanswered beyond its due moment."""
    return measures.sweep() + deadlines.sweep()


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


@shared_task
def purge_evidence() -> int:
    """Purge evidence whose time is up, unless something keeps it."""
    return evidence_retention.purge_due()


@shared_task
def purge_reports() -> int:
    """Purge the texts of reports whose time is up, unless something keeps them."""
    return report_retention.purge_due()


@shared_task
def watch_authorities() -> int:
    """Tell of what authorities wait for, before it is late and when it is."""
    return authority_watch.sweep()


@shared_task
def purge_captured() -> int:
    """Erase captured calls that may not be read any more."""
    return captured_calls.purge_past()
