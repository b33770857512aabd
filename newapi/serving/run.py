"""One run of `serve`, from the first process to the last."""

import asyncio
import contextlib
import os
import shutil
import socket
import tempfile
from dataclasses import dataclass
from typing import TextIO

from django.conf import settings
from django.http.request import validate_host

from newapi.serving import ground, notice, parts
from newapi.serving.size import Distributed
from newapi.supervisor import EXIT_FAILED, StartFailed, Supervisor

WEB_READY_S = 90.0
PROBE_S = 3.0
MOCK_PORT = 8010
METRICS_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"


@dataclass(frozen=True, slots=True)
class Plan:
    """What to run. The listener is open already."""

    size: Distributed
    listener: socket.socket
    web_workers: int
    is_demo: bool


async def run(plan: Plan, *, out: TextIO) -> int:
    """Run everything until told to stop; return the exit code."""
    supervisor = Supervisor(out=out, cwd=str(settings.BASE_DIR))
    with contextlib.ExitStack() as stack:
        try:
            await _bring_up(plan, supervisor, stack)
            await supervisor.wait()
        except StartFailed as error:
            supervisor.say(str(error))
            return EXIT_FAILED
        finally:
            # Closed here first, so that once the workers close theirs nobody waits in vain for an answer.
            plan.listener.close()
            await supervisor.stop()
            supervisor.say("stopped")
    return supervisor.exit_code


async def _bring_up(plan: Plan, supervisor: Supervisor, stack: contextlib.ExitStack) -> None:
    await plan.size.prepare(supervisor)
    if supervisor.stopping:
        return
    upstream = stack.enter_context(_upstream_listener()) if plan.is_demo else None
    if upstream is not None:
        supervisor.start(parts.mock_upstream(listener_fd=upstream.fileno()))
    env = _metrics_env(plan, stack)
    web_names = []
    for number in range(1, plan.web_workers + 1):
        program = parts.web(number=number, listener_fd=plan.listener.fileno(), env=env)
        supervisor.start(program)
        web_names.append(program.name)
    supervisor.start(parts.worker())
    supervisor.start(parts.beat())

    async def lives() -> bool:
        return await _answers(plan.listener)

    await supervisor.until(lives, names=web_names, timeout_s=WEB_READY_S)
    if supervisor.stopping:
        return
    url = ground.url_of(plan.listener)
    supervisor.say(f"started: {len(web_names)} web workers, Celery worker, beat")
    if upstream is not None:
        supervisor.say(f"started: mock upstream on {ground.url_of(upstream)}")
        await _demonstrate(supervisor, url, ground.url_of(upstream))
    supervisor.say(f"newapi is running on {url} (Ctrl-C stops it)")


def _upstream_listener() -> socket.socket:
    return ground.listen_near("127.0.0.1", MOCK_PORT, backlog=parts.BACKLOG)


def _metrics_env(plan: Plan, stack: contextlib.ExitStack) -> dict[str, str]:
    """Let several web workers add their metrics up in a folder of this run, unless a folder is given."""
    if plan.web_workers == 1 or METRICS_VARIABLE in os.environ:
        return {}
    folder = tempfile.mkdtemp(prefix="newapi-metrics-")
    stack.callback(shutil.rmtree, folder, ignore_errors=True)
    return {METRICS_VARIABLE: folder}


async def _demonstrate(supervisor: Supervisor, url: str, upstream_url: str) -> None:
    """Run the demo command and show a newcomer what it made."""
    lines: list[str] = []
    words = ("demo", "--json", "--upstream-url", upstream_url, "--base-url", f"{url}/v1")
    code = await supervisor.run(parts.command(*words, listen=lines.append))
    if supervisor.stopping:
        return
    try:
        made = notice.parse_demo(lines)
    except notice.NoDemo as error:
        for line in lines:
            supervisor.say(line, name="demo")
        raise StartFailed(f"{error} (code {code}).") from None
    supervisor.show(notice.demo(made, url))


async def _answers(listener: socket.socket) -> bool:
    """Say whether /livez answers. A redirect to https counts: somebody is there."""
    host, port = ground.reachable(listener)
    try:
        async with asyncio.timeout(PROBE_S):
            reader, writer = await asyncio.open_connection(host, port)
            try:
                request = f"GET /livez HTTP/1.1\r\nHost: {_host_header()}\r\nConnection: close\r\n\r\n"
                writer.write(request.encode())
                status = (await reader.readline()).split()
            finally:
                writer.close()
    except (OSError, TimeoutError):
        return False
    return len(status) > 1 and status[1] in (b"200", b"301")


def _host_header() -> str:
    """Return a name under which Django lets itself be called."""
    for name in ("127.0.0.1", "localhost"):
        if validate_host(name, settings.ALLOWED_HOSTS):
            return name
    return settings.ALLOWED_HOSTS[0].lstrip(".") if settings.ALLOWED_HOSTS else "localhost"
