"""What callers see while Redis, the database or an upstream is away for a minute, and what is true afterwards.

    python -m bench.outages --seconds 60                   (SQLite and the embedded Redis)
    python -m bench.outages --seconds 60 --postgresql      (the distributed size, on a throw-away PostgreSQL)

The product runs as its own processes under steady load: four callers with a known key, and a stranger whose keys
nobody knows. One part after the other is taken away. Ends with 1 when a promise of design.md §5 was not kept.
"""

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.processes import ROOT, MockUpstream, free_port, running_mock
from tests.product import outages
from tests.product.conftest import HOLD_DEADLINE_S, Product, distribute, end
from tests.product.outages import PROMPT_S, Outage
from tests.tools.postgres import cluster

# A channel rests for up to twice as long as its upstream was away before one call tries it again.
RECOVERY_FACTOR = 3
# A new process takes its place, which does not know what the old one was asked.
GONE = "an upstream, gone"


def main() -> int:
    """Run and print; 1 when a promise was not kept."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=60.0, help="how long each part is away (default 60)")
    parser.add_argument("--postgresql", action="store_true", help="the distributed size")
    parser.add_argument("--only", choices=PARTS, action="append", help="only this part; may be repeated")
    options = parser.parse_args()
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="newapi-outages-")))
        upstream = stack.enter_context(running_mock())
        address = stack.enter_context(cluster()) if options.postgresql else None
        product = stack.enter_context(running(folder, upstream, address))
        taken = parts(product, upstream, stack)
        print(f"\n{'PostgreSQL' if address else 'SQLite'}, each part away for {options.seconds:g} s\n")
        print("| away | answers in all | meanwhile | strangers | slowest refusal | back after | kept |")
        print("|---|---|---|---|---:|---:|---|", flush=True)
        broken = 0
        for name in options.only or PARTS:
            limit_s = 60 + RECOVERY_FACTOR * options.seconds
            outage = outages.suffer(product, upstream, taken[name], for_s=options.seconds, recovery_s_max=limit_s)
            complaints = list(PARTS[name](outage)) + list(common(name, outage))
            broken += len(complaints)
            show(name, outage, complaints)
    return 1 if broken else 0


@contextmanager
def running(folder: Path, upstream: MockUpstream, address: str | None) -> Iterator[Product]:
    """The product with its demonstration on that upstream."""
    env = {
        **os.environ,
        "VAR_DIR": str(folder / "var"),
        "GATEWAY_HOLD_DEADLINE_S": str(HOLD_DEADLINE_S),
        "DJANGO_SETTINGS_MODULE": "newapi.settings.embedded",
    }
    with contextlib.ExitStack() as stack:
        if address:
            distribute(address, env, folder, stack)
        port, log = free_port(), folder / "serve.log"
        with log.open("wb") as out:
            command = [sys.executable, "manage.py", "serve", "--port", str(port), "--web-workers", "1"]
            process = subprocess.Popen(command, cwd=ROOT, env=env, stdout=out, stderr=subprocess.STDOUT)
        stack.callback(end, process)
        product = Product(port, env, process, log)
        product.ready()
        product.demo = json.loads(product.manage("demo", "--json", "--upstream-url", upstream.base_url))
        yield product


def parts(
    product: Product, upstream: MockUpstream, stack: contextlib.ExitStack
) -> dict[str, Callable[[], contextlib.AbstractContextManager[None]]]:
    """How each part is taken away."""
    started: list[subprocess.Popen[bytes]] = []
    # Ended before the wait: callbacks run from the last to the first.
    stack.callback(lambda: [process.wait(timeout=10) for process in started])
    stack.callback(lambda: [process.terminate() for process in started])
    return {
        "Redis": lambda: outages.no_redis(product),
        "the database": lambda: outages.no_database(product),
        "an upstream, hanging": lambda: outages.stopped(outages.pids_listening_for(upstream)),
        GONE: lambda: outages.gone_upstream(upstream, product.env, started),
    }


def without_redis(outage: Outage) -> Iterator[str]:
    """Refused, promptly."""
    statuses = outage.statuses()
    if set(statuses["meanwhile"]) != {503}:
        yield "not everything was refused with 503"
    yield from prompt(outage)


def without_database(outage: Outage) -> Iterator[str]:
    """Known keys are served, strangers told to come back."""
    statuses = outage.statuses()
    if set(statuses["all"]) != {200}:
        yield "known keys were not served"
    if set(statuses["strangers"]) != {503}:
        yield "strangers did not get 503"
    yield from prompt(outage)


def without_answers(outage: Outage) -> Iterator[str]:
    """Calls wait for it and are answered."""
    if set(outage.statuses()["all"]) != {200}:
        yield "calls were lost"


def without_upstream(outage: Outage) -> Iterator[str]:
    """Refused as what it is, promptly."""
    if not set(outage.statuses()["meanwhile"]) <= {502, 503}:
        yield "not everything was refused with 502 or 503"
    yield from prompt(outage)


PARTS: dict[str, Callable[[Outage], Iterator[str]]] = {
    "Redis": without_redis,
    "the database": without_database,
    "an upstream, hanging": without_answers,
    GONE: without_upstream,
}


def prompt(outage: Outage) -> Iterator[str]:
    """Nobody waited long for a refusal."""
    if outage.slowest_refusal_s() > PROMPT_S:
        yield f"a refusal took {outage.slowest_refusal_s():.1f} s"


def common(name: str, outage: Outage) -> Iterator[str]:
    """What holds whatever was away."""
    statuses = outage.statuses()["all"]
    if statuses[401]:
        yield f"{statuses[401]} × 401 for a known key"
    if statuses[0]:
        yield f"{statuses[0]} calls without an answer"
    if outage.unbilled():
        yield f"{outage.unbilled()} calls without a usage row"
    if outage.findings:
        yield f"verify_money: {outage.findings}"
    if name != GONE and len(outage.rows) != outage.reached:
        yield f"{outage.reached} calls reached the upstream, {len(outage.rows)} have a usage row"
    if charged := [row for row in outage.rows if row[1] == "lost"]:
        yield f"{len(charged)} refused calls have a usage row"


def show(name: str, outage: Outage, complaints: list[str]) -> None:
    """One line of the table."""
    counted = outage.statuses()

    def told(statuses: Counter[int]) -> str:
        return ", ".join(f"{count} × {status}" for status, count in sorted(statuses.items())) or "–"

    groups = " | ".join(told(counted[group]) for group in ("all", "meanwhile", "strangers"))
    times = f"{outage.slowest_refusal_s():.2f} s | {outage.recovered_s:.2f} s"
    kept = "; ".join(complaints) or f"all, with {len(outage.rows)} usage rows"
    print(f"| {name} | {groups} | {times} | {kept} |", flush=True)


if __name__ == "__main__":
    sys.exit(main())
