"""Runs of the verifier: one at a time, on schedule or when somebody asks; how far it is, and what it said last.

What a run says lives in the cache, because it can be had again at any time; what it finds is a notice as well.
"""

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from django.core.cache import cache
from django.core.exceptions import ValidationError

from accounts.models import Notice, User
from accounts.services import audit, notices
from moderation import permissions
from moderation.errors import NotPermitted
from moderation.findings import Finding
from moderation.services import chains
from newapi.kernel import clock

_STATE, _LOCK = "moderation:chain-run", "moderation:chain-run:lock"
KEPT_S = 30 * 86_400
# A run that has said nothing for so long is dead, and another may begin.
LEASE_S = 120
# An ask that no worker has taken up by then is asked again.
ASK_HOLDS_S = 300
TELL_EVERY_S = 1.0
FINDINGS_SHOWN_MAX = 50


def state() -> dict[str, Any]:
    """What is known of the last run: state (never, asked, running, lost, done), done, total, findings, at."""
    known = cache.get(_STATE) or {"state": "never", "done": 0, "total": 0, "findings": [], "count": 0, "at": 0}
    age_s = (clock.now_ms() - known["at"]) / 1000
    if (known["state"] == "running" and age_s > LEASE_S) or (known["state"] == "asked" and age_s > ASK_HOLDS_S):
        known["state"] = "lost"
    return known


def ask(*, actor: User, reason: str, address: str | None = None) -> None:
    """Note that somebody wants a run now; the caller sends the job. Raises NotPermitted, ValidationError."""
    if not reason.strip():
        raise ValidationError({"reason": "A reason is needed."})
    if not permissions.may(actor, permissions.VERIFY_CHAIN):
        raise NotPermitted(f"This needs the permission {permissions.VERIFY_CHAIN}.")
    if state()["state"] in ("asked", "running"):
        raise ValidationError("A run is under way already.")
    audit.record(actor=actor, action="chain.verify", target=actor, reason=reason, address=address)
    _tell("asked")


def run() -> int | None:
    """Verify all chains and keep what was found, which is also a notice. How many findings; None while one runs."""
    if not cache.add(_LOCK, 1, LEASE_S):
        return None
    said_s, events = 0.0, 0

    def progress(done: int, total: int) -> None:
        nonlocal said_s, events
        events = done
        if (now_s := time.monotonic()) - said_s >= TELL_EVERY_S:
            said_s = now_s
            cache.touch(_LOCK, LEASE_S)
            _tell("running", done=done, total=total)

    started_s = time.monotonic()
    try:
        _tell("running")
        findings = chains.verify(progress=progress)
    except BaseException:
        _tell("lost")
        raise
    finally:
        cache.delete(_LOCK)
    shown = [asdict(finding) for finding in findings[:FINDINGS_SHOWN_MAX]]
    seconds = round(time.monotonic() - started_s, 1)
    _tell("done", done=events, total=events, findings=shown, count=len(findings), seconds=seconds)
    if findings:
        alarm(findings)
    return len(findings)


def alarm(findings: Sequence[Finding]) -> None:
    """Tell the operators, once a day for each kind of finding. No content of any case is in it."""
    counted = Counter(finding.code for finding in findings)
    first = "\n".join(f"{finding.where}: {finding.text}" for finding in findings[:5])
    kinds = ", ".join(sorted(counted))
    notices.post(
        once=f"chain:{clock.today()}:{kinds}",
        kind="chain.broken",
        level=Notice.Level.DANGER,
        audience=Notice.Audience.OPERATORS,
        title=f"The record of cases does not verify: {len(findings)} findings ({kinds})",
        body=f"{first}\nSee docs/moderate.md for what to do.",
        link="/admin/moderation/chainroot/",
    )


def _tell(what: str, **more: Any) -> None:
    known = {"done": 0, "total": 0, "findings": [], "count": 0, **more, "state": what, "at": clock.now_ms()}
    cache.set(_STATE, known, KEPT_S)


def forget_ask() -> None:
    """The job could not be sent: nothing is under way."""
    _tell("lost")
