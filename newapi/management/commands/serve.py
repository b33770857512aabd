"""`manage.py serve`: the whole product in one terminal."""

import asyncio
import sys
from argparse import ArgumentParser, ArgumentTypeError
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from newapi.embedded_redis import RedisUnavailable
from newapi.serving import ground, parts, run, size

WEB_WORKERS_DEFAULT_MAX = 4
WEB_WORKERS_MAX = 64


def worker_count(raw: str) -> int:
    """Parse --web-workers."""
    count = int(raw)
    if not 1 <= count <= WEB_WORKERS_MAX:
        raise ArgumentTypeError(f"must lie between 1 and {WEB_WORKERS_MAX}")
    return count


class Command(BaseCommand):
    """Door to newapi.serving."""

    help = (
        "Run the product in this terminal: web workers, Celery worker and beat; in the embedded size a private Redis "
        "too, after migrations and static files. Ctrl-C stops everything in order, a second one kills."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Where to listen, and how wide."""
        cores = min(parts.cores(), WEB_WORKERS_DEFAULT_MAX)
        parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
        parser.add_argument("--port", type=int, default=8000, help="port to listen on (default: %(default)s)")
        parser.add_argument(
            "--web-workers",
            type=worker_count,
            default=cores,
            metavar="N",
            help="web processes (default: one per core, at most 4; here %(default)s)",
        )
        parser.add_argument(
            "--demo", action="store_true", help="also run the mock upstream and set up a demonstration that uses it"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Take the data and the port first; nothing is started unless both are ours."""
        place = size.chosen()
        try:
            place.claim(f"http://{options['host']}:{options['port']}")
            listener = ground.listen(options["host"], options["port"], backlog=parts.BACKLOG)
            place.inspect()
            plan = run.Plan(place, listener, options["web_workers"], options["demo"])
            code = asyncio.run(run.run(plan, out=sys.stdout))
        except (ground.Occupied, RedisUnavailable) as error:
            raise CommandError(str(error)) from None
        finally:
            place.release()
        if code:
            sys.exit(code)
