"""What bench.codes measures. Imported by it when Django is set up."""

import argparse
import multiprocessing
import os
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

from django.db import connection, connections, models, transaction

from accounts.models import Organisation
from billing import bulk_insert
from billing.models import CodeBatch, LedgerAccount, LedgerTransfer, Redemption, Wallet
from billing.services import codes, verifier, wallets
from newapi.kernel import clock
from newapi.kernel.meters import bank

ORGANISATIONS = 64
SHAPE = "(id {serial}, batch_id bigint, number bigint, digest {blob} unique, last4 varchar(4), uses bigint)"
ROW_COLUMNS = ("batch_id", "number", "digest", "last4", "uses")


def measure(options: argparse.Namespace) -> int:
    """Everything, in rows of a table. Returns how many things are wrong."""
    print("| what | measured | beside |")
    print("|---|---|---|", flush=True)
    bare_s = bare_rows(options.count)
    batch, made_s, made_cpu_s = make(options.count)
    bare = f"{bare_s:.1f} s for inserting as many finished rows, in chunks of 5,000"
    made = f"{made_s:.1f} s, {options.count / made_s:,.0f}/s; {made_cpu_s:.1f} s of CPU in the worker"
    print(f"| {options.count:,} codes made | {made} | {bare} |", flush=True)
    organisations = customers()
    codes_of = iter(lines(batch))
    credited = one_code(next(codes_of), organisations[0], threads=100)
    print(f"| one code, 100 threads | {credited} credited | 1 |", flush=True)
    started = time.perf_counter()
    count, seconds, cpu_s = redeem(codes_of, organisations, options)
    commits, bare_seconds, _ = crowd(options, commit_rows)
    measured = f"{count / seconds:,.0f}/s; {cpu_s * 1000 / count:.1f} ms of CPU each in the client"
    beside = f"{commits / bare_seconds:,.0f} commits of one row a second"
    print(f"| different codes, {options.workers} processes | {measured} | {beside} |", flush=True)
    print(f"\nLoad after {time.perf_counter() - started:.0f} s: {os.getloadavg()[0]:.1f}")
    batch = CodeBatch.objects.get(pk=batch.pk)
    return wrong(batch, redeemed=count + credited)


def bare_rows(count: int) -> float:
    """Seconds for rows that are finished beforehand, into a table of the same shape and indexes."""

    class BareRow(models.Model):  # noqa: DJ008 - nobody looks at it
        class Meta:
            app_label = "billing"
            db_table = "bench_rows"
            managed = False

    is_postgresql = connection.vendor == "postgresql"
    serial, blob = ("bigserial primary key", "bytea") if is_postgresql else ("integer primary key", "blob")
    with connection.cursor() as cursor:
        cursor.execute(f"CREATE TABLE bench_rows {SHAPE.format(serial=serial, blob=blob)}")
        cursor.execute("CREATE UNIQUE INDEX bench_number ON bench_rows (batch_id, number)")
        cursor.execute("CREATE INDEX bench_batch ON bench_rows (batch_id)")
    rows = [(1, number, secrets.token_bytes(32), "ABCD", 0) for number in range(count)]
    started = time.perf_counter()
    for start in range(0, count, 5000):
        with transaction.atomic():
            bulk_insert.insert(BareRow, columns=ROW_COLUMNS, rows=rows[start : start + 5000])
    seconds = time.perf_counter() - started
    with connection.cursor() as cursor:
        cursor.execute("DROP TABLE bench_rows")
    return seconds


def make(count: int) -> tuple[Any, float, float]:
    """A batch of codes of 0.01 USD, made as the job makes it, run after run; in seconds, and in seconds of CPU."""
    batch = codes.make(
        name="Bench",
        purpose="compliant_service_fee",
        currency="USD",
        value_nano=10_000_000,
        count=count,
        uses_per_organisation=10**6,
        category="paid",
        expires_at=clock.now() + timedelta(days=30),
        actor=None,
        reason="Benchmark",
    )
    started, cpu = time.perf_counter(), time.process_time()
    while codes.are_waiting():
        codes.make_waiting()
    return batch, time.perf_counter() - started, time.process_time() - cpu


def customers() -> list[Any]:
    """Organisations with empty wallets."""
    made = [
        Organisation.objects.create(name=f"Org {number}", slug=f"org-{number}", currency="USD")
        for number in range(ORGANISATIONS)
    ]
    for organisation in made:
        wallets.open(organisation=organisation)
    return made


def lines(batch: Any) -> Iterator[str]:
    """The codes, out of the one download."""
    for part in codes.take(batch=batch, actor=None, reason="Benchmark").parts():
        yield from (line.partition(",")[0] for line in part.splitlines() if not line.startswith("code,"))


def one_code(raw: str, organisation: Any, *, threads: int) -> int:
    """How often one code is credited when so many redeem it at once."""
    start, got = threading.Barrier(threads), []

    def run() -> None:
        start.wait()
        try:
            got.append(codes.redeem(raw=raw, organisation=organisation, user=None))
        except codes.CodeRefused:
            pass
        finally:
            connection.close()

    crowd = [threading.Thread(target=run) for _ in range(threads)]
    for thread in crowd:
        thread.start()
    for thread in crowd:
        thread.join()
    return len(got)


def redeem(codes_of: Iterator[str], organisations: list[Any], options: argparse.Namespace) -> tuple[int, float, float]:
    """Each process redeems codes of its own, for one organisation after the other."""
    share = int(options.seconds * 400)
    stock = [[next(codes_of) for _ in range(share)] for _ in range(options.workers)]

    def work(worker: int, stop: float) -> int:
        for done, raw in enumerate(stock[worker]):
            if time.perf_counter() > stop:
                return done
            organisation = organisations[(done * options.workers + worker) % ORGANISATIONS]
            codes.redeem(raw=raw, organisation=organisation, user=None)
        return len(stock[worker])

    return crowd(options, work)


def commit_rows(worker: int, stop: float) -> int:
    """One row a transaction, each committed: what the database can do at most."""
    done = 0
    while time.perf_counter() < stop:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("INSERT INTO bench_commits (worker, number) VALUES (%s, %s)", [worker, done])
        done += 1
    return done


def crowd(options: argparse.Namespace, work: Callable[[int, float], int]) -> tuple[int, float, float]:
    """Run the work in so many processes. Returns how much they did, in how many seconds, with how many of CPU."""
    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE IF NOT EXISTS bench_commits (worker bigint, number bigint)")
    connections.close_all()
    fork = multiprocessing.get_context("fork")
    start, results = fork.Barrier(options.workers + 1), fork.Queue()

    def run(worker: int) -> None:
        bank.connection.cache_clear()
        connection.ensure_connection()
        start.wait()
        cpu = time.process_time()
        done = work(worker, time.perf_counter() + options.seconds)
        results.put((done, time.process_time() - cpu))

    processes = [fork.Process(target=run, args=(worker,)) for worker in range(options.workers)]
    for process in processes:
        process.start()
    start.wait()
    started = time.perf_counter()
    told = [results.get(timeout=options.seconds + 120) for _ in processes]
    seconds = time.perf_counter() - started
    for process in processes:
        process.join()
    return sum(done for done, _ in told), seconds, sum(cpu_s for _, cpu_s in told)


def wrong(batch: Any, *, redeemed: int) -> int:
    """Whether every code that was redeemed was credited, once, and the books agree."""
    credited = sum(Wallet.objects.values_list("funded_nano", flat=True))
    owed = LedgerAccount.objects.get(kind=LedgerAccount.Kind.CODES)
    paid = sum(LedgerTransfer.objects.filter(debit_account=owed).values_list("amount_nano", flat=True))
    complaints = [str(finding) for finding in verifier.verify()]
    if {Redemption.objects.count() * batch.value_nano, redeemed * batch.value_nano, credited, paid} != {credited}:
        complaints.append(f"{redeemed} redeemed, {Redemption.objects.count()} kept, {credited} nano credited")
    print("Nothing is wrong with the money." if not complaints else "\n".join(complaints))
    return len(complaints)
