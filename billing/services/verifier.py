"""Checks what must always be true of money (design: money). Reads only; says what it finds, repairs nothing."""

import time
from dataclasses import asdict
from datetime import datetime, timedelta
from itertools import islice

from redis.exceptions import RedisError

from billing.findings import Finding
from billing.models import VerifierRun
from billing.services import book_checks, till_checks
from newapi.kernel import clock, snapshot

__all__ = ["Finding", "run", "verify"]

# Findings of one check that are told; more would only repeat themselves.
FINDINGS_MAX = 50
# How far back the job looks at single rows. The command looks at all of them.
RECENT = timedelta(days=2)
# How long a run that found nothing is kept. One that found something stays.
CLEAN_RUNS_KEPT = timedelta(days=30)


def run() -> VerifierRun:
    """Check, with the rows of the last two days, and keep the result where admins see it."""
    VerifierRun.objects.filter(at__lt=clock.now() - CLEAN_RUNS_KEPT, findings=[]).delete()
    started = time.monotonic()
    findings = [asdict(finding) for finding in verify(since=clock.now() - RECENT)]
    return VerifierRun.objects.create(duration_ms=int((time.monotonic() - started) * 1000), findings=findings)


def verify(*, since: datetime | None = None) -> list[Finding]:
    """Everything that is wrong, check by check; empty when all is well.

    Totals are always checked. Single usage rows, and which bucket they are in, from `since` on, or all of them.
    """
    findings: list[Finding] = []
    with snapshot.read_only():
        for check in book_checks.CHECKS:
            findings += islice(check(since), FINDINGS_MAX)
    try:
        for look in till_checks.CHECKS:
            findings += islice(look(), FINDINGS_MAX)
    except (RedisError, OSError) as error:
        findings.append(Finding("till_away", None, f"the tills could not be checked: {type(error).__name__}"))
    return findings
