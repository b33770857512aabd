"""What a governed call costs: the gateway on one core, against an instant upstream, beside nginx in the same run.

    make bench          (or: python -m bench.gateway --seconds 8)

One web worker is pinned to core 0, with all governance on: a key with four meters, an organisation with
three, a project and a member with one each, a spend budget, price, wallet, hold, usage event. wrk and the
upstream (nginx answering from memory) share the other core. CPU is what the kernel counted for the worker's
process, user and system, divided by the calls answered.
"""

import argparse
import json
import os
import platform
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.processes import free_port

ROOT = Path(__file__).resolve().parent.parent
ANSWER = {
    "id": "chatcmpl-bench",
    "object": "chat.completion",
    "created": 1,
    "model": "mock-gpt",
    "choices": [
        {"index": 0, "message": {"role": "assistant", "content": "An instant answer."}, "finish_reason": "stop"}
    ],
    "usage": {"prompt_tokens": 20, "completion_tokens": 9, "total_tokens": 29},
}
QUESTION = {
    "model": "mock-gpt",
    "messages": [{"role": "user", "content": "What does a governed call cost?"}],
    "max_tokens": 100,
}
LIMITS = """
from accounts.models import APIKey, Membership, Organisation, Project
from accounts.services import api_keys
much = 10**12
Organisation.objects.filter(slug="demo").update(
    requests_per_minute=much, tokens_per_minute=much, budget_nano=10**15, budget_window="month")
Project.objects.filter(organisation__slug="demo").update(tokens_per_day=much)
Membership.objects.filter(organisation__slug="demo").update(requests_per_minute=much)
api_keys.change(api_key=APIKey.objects.get(), actor=None, reason="Benchmark", fields=dict(
    requests_per_minute=much, tokens_per_minute=much, tokens_per_day=much, in_flight_max=10**6))
"""


@dataclass(frozen=True)
class Measured:
    """One run of wrk. CPU in µs a call, latency as wrk prints it."""

    name: str
    calls_per_s: float
    cpu_us: float
    p50: str
    p99: str
    failed: int


def main() -> int:
    """Run and print; 1 when a call failed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=int, default=8, help="length of each measurement (default 8)")
    parser.add_argument("--connections", type=int, default=32, help="parallel connections (default 32)")
    parser.add_argument("--rounds", type=int, default=3, help="interleaved rounds; the median is shown (default 3)")
    options = parser.parse_args()
    for tool in ("nginx", "wrk"):
        if shutil.which(tool, path=f"{os.environ['PATH']}:/usr/sbin") is None:
            sys.exit(f"{tool} is needed: apt-get install nginx-light wrk")
    with tempfile.TemporaryDirectory(prefix="newapi-bench-") as folder, running(Path(folder)) as targets:
        found = measure(targets, Path(folder), options)
        print_results(found, options)
    return 1 if any(run.failed for runs in found.values() for run in runs) else 0


def measure(targets: "list[Target]", folder: Path, options: argparse.Namespace) -> dict[str, list[Measured]]:
    """Every target in turn, round after round, so that the machine's moods fall on all alike."""
    found: dict[str, list[Measured]] = {target.name: [] for target in targets}
    for target in targets:
        wrk(target, folder, seconds=2, connections=options.connections)
    for _ in range(options.rounds):
        for target in targets:
            found[target.name].append(wrk(target, folder, seconds=options.seconds, connections=options.connections))
    alone = next(target for target in targets if target.name == "newapi")
    found["newapi, one connection"] = [wrk(alone, folder, seconds=options.seconds, connections=1)]
    return found


@dataclass(frozen=True)
class Target:
    """Something that answers, and the process whose CPU counts."""

    name: str
    url: str
    pid: int
    key: str


def wrk(target: Target, folder: Path, *, seconds: int, connections: int) -> Measured:
    """Load a target from the other core."""
    script = folder / "post.lua"
    script.write_text(
        f"wrk.method = 'POST'\nwrk.body = [[{json.dumps(QUESTION)}]]\n"
        f"wrk.headers['Content-Type'] = 'application/json'\nwrk.headers['Authorization'] = 'Bearer {target.key}'\n"
    )
    command = ["taskset", "-c", "1", "wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", "-s", str(script)]
    before = cpu_ticks(target.pid)
    printed = subprocess.run([*command, target.url], capture_output=True, text=True, check=True).stdout
    ticks = cpu_ticks(target.pid) - before
    calls = int(re.search(r"(\d+) requests in", printed)[1])  # type: ignore[index]
    failed = re.search(r"Non-2xx or 3xx responses: (\d+)", printed)
    percentile = dict(re.findall(r"(50|99)%\s+(\S+)", printed))
    cpu_us = ticks * 1_000_000 / os.sysconf("SC_CLK_TCK") / calls
    rate = float(re.search(r"Requests/sec:\s+(\S+)", printed)[1])  # type: ignore[index]
    return Measured(target.name, rate, cpu_us, percentile["50"], percentile["99"], int(failed[1]) if failed else 0)


def cpu_ticks(pid: int) -> int:
    """User and system time of a process, in clock ticks."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


@contextmanager
def running(folder: Path) -> Iterator[list[Target]]:
    """The upstream, two nginx proxies, Redis and one web worker, all on loopback."""
    up, bare, kept, port = (free_port() for _ in range(4))
    started: list[subprocess.Popen[bytes]] = []
    env = {**os.environ, "DJANGO_SETTINGS_MODULE": "newapi.settings.embedded", "VAR_DIR": str(folder / "var")}
    python = [sys.executable]
    try:
        nginx(folder, "upstream", upstream_conf(up), core=1, started=started)
        bare_pid = nginx(folder, "bare", proxy_conf(bare, up, keepalive=False), core=0, started=started)
        kept_pid = nginx(folder, "kept", proxy_conf(kept, up, keepalive=True), core=0, started=started)
        (folder / "var").mkdir()
        started.append(redis(folder, env))
        manage = [*python, "manage.py"]
        subprocess.run([*manage, "migrate", "-v0"], cwd=ROOT, env=env, check=True)
        demo = [*manage, "demo", "--json", "--upstream-url", f"http://127.0.0.1:{up}/v1"]
        key = json.loads(subprocess.run(demo, cwd=ROOT, env=env, check=True, capture_output=True).stdout)["api_key"]
        subprocess.run([*manage, "shell", "-v0", "-c", LIMITS], cwd=ROOT, env=env, check=True)
        uvicorn = [*python, "-m", "uvicorn", "newapi.asgi:application", "--port", str(port), "--loop", "uvloop"]
        uvicorn += ["--http", "httptools", "--no-access-log", "--no-proxy-headers", "--no-server-header"]
        uvicorn += ["--log-level", "warning"]
        worker = subprocess.Popen(["taskset", "-c", "0", *uvicorn], cwd=ROOT, env=env)
        started.append(worker)
        wait_for(port)
        path = "/v1/chat/completions"
        yield [
            Target("nginx, bare proxy_pass", f"http://127.0.0.1:{bare}{path}", bare_pid, key),
            Target("nginx, upstream keepalive", f"http://127.0.0.1:{kept}{path}", kept_pid, key),
            Target("newapi", f"http://127.0.0.1:{port}{path}", worker.pid, key),
        ]
    finally:
        for process in reversed(started):
            process.send_signal(signal.SIGTERM)
        for process in started:
            process.wait(timeout=30)


def nginx(folder: Path, name: str, conf: str, *, core: int, started: list[subprocess.Popen[bytes]]) -> int:
    """Start one nginx and return the pid of its only worker."""
    home = folder / name
    home.mkdir()
    temporary = "\n".join(
        f"{kind}_temp_path {home}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (home / "nginx.conf").write_text(
        f"worker_processes 1; daemon off; pid {home}/pid; error_log {home}/error.log;\n"
        f"events {{ worker_connections 4096; }}\n"
        f"http {{ access_log off; keepalive_requests 1000000000;\n{temporary}\n{conf} }}\n"
    )
    binary = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin") or "nginx"
    process = subprocess.Popen(
        ["taskset", "-c", str(core), binary, "-p", str(home), "-e", f"{home}/error.log", "-c", f"{home}/nginx.conf"]
    )
    started.append(process)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    for _ in range(200):
        if pids := children.read_text().split():
            return int(pids[0])
        time.sleep(0.02)
    raise SystemExit((home / "error.log").read_text())


def upstream_conf(port: int) -> str:
    """An upstream that answers at once, from memory."""
    return (
        f"server {{ listen 127.0.0.1:{port};\n location /v1/chat/completions {{ default_type application/json; "
        f"return 200 '{json.dumps(ANSWER)}'; }}\n location /v1/models {{ default_type application/json; "
        'return 200 \'{"object":"list","data":[{"id":"mock-gpt","object":"model"}]}\'; } }'
    )


def proxy_conf(port: int, up: int, *, keepalive: bool) -> str:
    """A proxy as nginx's beginner's guide writes it, or one that keeps its upstream connections."""
    if not keepalive:
        return f"server {{ listen 127.0.0.1:{port}; location / {{ proxy_pass http://127.0.0.1:{up}; }} }}"
    return (
        f"upstream u {{ server 127.0.0.1:{up}; keepalive 64; keepalive_requests 1000000000; }}\n"
        f"server {{ listen 127.0.0.1:{port}; location / {{ proxy_pass http://u; proxy_http_version 1.1; "
        'proxy_set_header Connection ""; } }'
    )


def redis(folder: Path, env: dict[str, str]) -> subprocess.Popen[bytes]:
    """The product's own embedded Redis, in the benchmark's folder."""
    code = (
        "import django; django.setup()\n"
        "from pathlib import Path\nfrom django.conf import settings\nfrom newapi import embedded_redis as e\n"
        "p = e.start(directory=Path(settings.VAR_DIR), socket_path=settings.EMBEDDED_REDIS_SOCKET)\n"
        "e.wait_ready(settings.EMBEDDED_REDIS_SOCKET, timeout_s=10)\nprint('ready', flush=True)\n"
        "import signal\nsignal.signal(signal.SIGTERM, lambda *a: p.terminate())\np.wait()\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, env=env, stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    return process


def wait_for(port: int) -> None:
    """Until something listens, at most 20 s."""
    for _ in range(200):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise SystemExit("the web worker did not start")


def print_results(found: dict[str, list[Measured]], options: argparse.Namespace) -> None:
    """A Markdown table of medians, and the ratio that the project promises."""

    def median(values: list[float]) -> float:
        return sorted(values)[len(values) // 2]

    print(f"\n{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}; ", end="")
    print(f"{options.connections} connections, {options.rounds} rounds of {options.seconds} s, medians\n")
    print("| | calls/s | CPU µs a call | p50 | p99 | failed |")
    print("|---|---:|---:|---:|---:|---:|")
    cpu = {}
    for name, runs in found.items():
        cpu[name] = median([run.cpu_us for run in runs])
        middle = sorted(runs, key=lambda run: run.cpu_us)[len(runs) // 2]
        rate = median([run.calls_per_s for run in runs])
        failed = sum(run.failed for run in runs)
        print(f"| {name} | {rate:,.0f} | {cpu[name]:.1f} | {middle.p50} | {middle.p99} | {failed} |")
    print(f"\nnewapi / bare nginx proxy_pass: {cpu['newapi'] / cpu['nginx, bare proxy_pass']:.1f} ×")
    print(f"newapi / nginx with upstream keepalive: {cpu['newapi'] / cpu['nginx, upstream keepalive']:.1f} ×")


if __name__ == "__main__":
    sys.exit(main())
