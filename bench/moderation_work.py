"""What bench.moderation measures. Imported by it when Django is set up."""

import argparse
import hashlib
import os
import sys
import time

from bench.moderation_data import fill
from moderation.models import CaseEvent
from moderation.services import chains


def measure(options: argparse.Namespace) -> int:
    """Everything, in rows of a table. Returns how many things are wrong."""
    started = time.perf_counter()
    filled = fill(cases=options.cases, events_each=options.events, progress=_told)
    seconds = time.perf_counter() - started
    print("\n| what | measured | beside |")
    print("|---|---|---|")
    _row(f"{filled.cases:,} cases, {filled.events:,} events made", filled.events, seconds, "")
    bare = bare_read()
    started = time.perf_counter()
    root = chains.make_root()
    seconds = time.perf_counter() - started
    assert root is not None
    _row(f"root over {root.chains:,} chains signed", root.chains, seconds, "", "chains")
    started, cpu = time.perf_counter(), time.process_time()
    findings = list(chains.verify())
    seconds, cpu_s = time.perf_counter() - started, time.process_time() - cpu
    beside = f"{filled.events / bare:,.0f} events/s: read and hashed only; {cpu_s:.0f} s of CPU in Python"
    _row("every chain, root and line verified", filled.events, seconds, beside)
    print(f"\nLoad after: {os.getloadavg()[0]:.1f}. Findings: {len(findings)}")
    for finding in findings[:10]:
        print(finding)
    return len(findings)


def bare_read() -> float:
    """Seconds for reading every event and hashing as many bytes, and nothing else."""
    started = time.perf_counter()
    rows = CaseEvent.objects.order_by("case_id", "number").values_list(*chains._EVENT_FIELDS)
    for row in rows.iterator(chunk_size=chains.FETCH_ROWS):
        hashlib.sha256(row[7].encode()).digest()
    return time.perf_counter() - started


def _row(what: str, count: int, seconds: float, beside: str, unit: str = "events") -> None:
    print(f"| {what} | {seconds:.1f} s, {count / seconds:,.0f} {unit}/s | {beside} |", flush=True)


def _told(done: int, total: int) -> None:
    if done % 10_000 == 0 or done == total:
        print(f"\r{done:,} of {total:,} cases", end="", file=sys.stderr, flush=True)
