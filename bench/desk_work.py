"""What bench.desk measures. Imported by it when Django is set up."""

import argparse
import cProfile
import os
import pstats
import sys
import time
from collections.abc import Callable
from itertools import count

from django.contrib.auth.models import Permission
from django.core.management import call_command
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

import newapi.urls  # noqa: F401 - puts the admin site together
from accounts.models import User
from bench.moderation_data import fill
from moderation.models import SlaClock
from moderation.services import sla_sweep

PAGE_S_MAX, SWEEP_S_MAX = 0.300, 2.0
PAGES = (
    ("board", "/admin/moderation/board/"),
    ("queue, everybody's", "/admin/moderation/queue/?whose=all"),
    ("queue, nobody's", "/admin/moderation/queue/?whose=nobody"),
    ("queue, mine", "/admin/moderation/queue/?whose=mine"),
    ("queue, L2 in review", "/admin/moderation/queue/?whose=all&level=L2&state=in_review"),
    ("queue, page 20", "/admin/moderation/queue/?whose=all&page=20"),
)


def measure(options: argparse.Namespace) -> int:
    """Everything, in rows of a table. Returns how many bars were missed."""
    # Pages name their files by what collectstatic has written down.
    call_command("collectstatic", interactive=False, verbosity=0)
    filled = fill(cases=options.cases, events_each=options.events, due=options.due, progress=_told)
    running = SlaClock.objects.filter(stopped_at=None).count()
    print(f"\n{filled.cases:,} cases, {filled.events:,} events, {running:,} clocks running, {filled.due:,} due\n")
    print("| what | p50 | p95 | of it CPU of the web process, p95 | SQL statements | bar |")
    print("|---|---:|---:|---:|---:|---:|")
    clients = [_client(number) for number in range(20)]
    missed = sum(_page(clients, name, url, options.rounds) for name, url in PAGES)
    print("\n| sweep | clocks advanced | seconds | a clock | CPU of it | bar |")
    print("|---|---:|---:|---:|---:|---:|")
    missed += _sweeps(filled.due)
    print(f"\nLoad after: {os.getloadavg()[0]:.1f}. Bars missed: {missed}")
    return int(missed > 0)


def _page(clients: list[Client], name: str, url: str, rounds: int) -> bool:
    """Ask a page so often, each time as another of twenty reviewers. Whether the bar was missed."""
    _get(clients[0], url)
    times, cpu_times = [], []
    for number in range(rounds):
        cpu = time.process_time()
        times.append(_timed(lambda number=number: _get(clients[number % 20], url)))
        cpu_times.append(time.process_time() - cpu)
    with CaptureQueriesContext(connection) as queries:
        _get(clients[0], url)
    times.sort()
    cpu_times.sort()
    p50, p95 = times[len(times) // 2], times[int(len(times) * 0.95) - 1]
    cpu_ms = cpu_times[int(len(times) * 0.95) - 1] * 1000
    row = f"| {name} | {p50 * 1000:.0f} ms | {p95 * 1000:.0f} ms | {cpu_ms:.0f} ms | {len(queries)} | 300 ms |"
    print(row, flush=True)
    if p95 > PAGE_S_MAX or os.environ.get("BENCH_SQL"):
        for query in sorted(queries, key=lambda one: -float(one["time"]))[:3]:
            print(f"    {query['time']} s: {query['sql'][:1500]}", file=sys.stderr)
    return p95 > PAGE_S_MAX


def _client(number: int) -> Client:
    user = User.objects.get(email=f"bench-desk-{number}@example.com")
    user.user_permissions.add(Permission.objects.get(codename="view_slaclock"))
    client = Client(SERVER_NAME="localhost")
    client.force_login(user)
    return client


def _get(client: Client, url: str) -> None:
    answer = client.get(url, secure=True)
    assert answer.status_code == 200, (url, answer.status_code)


def _timed(act: Callable[[], object]) -> float:
    started = time.perf_counter()
    act()
    return time.perf_counter() - started


def _sweeps(due: int) -> int:
    """Until nothing is left; each must keep the bar."""
    missed = 0
    profile = cProfile.Profile() if os.environ.get("BENCH_PROFILE") else None
    for number in count(1):
        limit = due // 2 if number == 1 else 500
        started, cpu = time.perf_counter(), time.process_time()
        if profile:
            profile.enable()
        done = sla_sweep.advance(limit=limit)
        if profile:
            profile.disable()
        seconds, cpu_s = time.perf_counter() - started, time.process_time() - cpu
        each = f"{seconds / done * 1000:.1f} ms" if done else "–"
        print(f"| {number} | {done:,} | {seconds:.2f} s | {each} | {cpu_s:.2f} s | 2 s |", flush=True)
        missed += seconds > SWEEP_S_MAX
        if not done:
            break
    if profile:
        pstats.Stats(profile, stream=sys.stderr).sort_stats("cumulative").print_stats(40)
    return missed


def _told(done: int, total: int) -> None:
    if done % 10_000 == 0 or done == total:
        print(f"\r{done:,} of {total:,} cases", end="", file=sys.stderr, flush=True)
