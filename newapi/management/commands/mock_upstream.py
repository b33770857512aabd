"""`manage.py mock_upstream --port P`: a local provider that speaks OpenAI, Anthropic and Gemini."""

import os
import signal
import socket
from argparse import ArgumentParser
from typing import Any

import uvicorn
from django.core.management.base import BaseCommand, CommandError

from newapi.mock.app import MockUpstream


class Command(BaseCommand):
    """Needs neither database nor Redis."""

    help = (
        "Run a local provider that speaks OpenAI, Anthropic and Gemini, streaming and not. What it can be told to do "
        "differently is listed at GET /_mock; any API key is accepted that does not contain 'bad'."
    )
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Where to listen."""
        parser.add_argument("--port", type=int, required=True, help="0 picks a free one and prints it")
        parser.add_argument("--host", default="127.0.0.1")

    def handle(self, *args: Any, **options: Any) -> None:
        """Listen until SIGINT or SIGTERM."""
        family = socket.AF_INET6 if ":" in options["host"] else socket.AF_INET
        try:
            listener = socket.create_server((options["host"], options["port"]), family=family, backlog=2048)
        except OSError as error:
            raise CommandError(
                f"Cannot listen on {options['host']} port {options['port']}: {os.strerror(error.errno or 0)}."
            ) from None
        host = f"[{options['host']}]" if ":" in options["host"] else options["host"]
        self.stdout.write(f"mock upstream on http://{host}:{listener.getsockname()[1]}")
        self.stdout.flush()
        config = uvicorn.Config(
            MockUpstream(),
            loop="uvloop",
            http="httptools",
            ws="none",
            log_level="warning",
            access_log=False,
            proxy_headers=False,
            server_header=False,
            date_header=True,
            timeout_keep_alive=75,
            timeout_graceful_shutdown=3,
        )
        # uvicorn raises the signal again once it has stopped; being told to end is no failure.
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        try:
            uvicorn.Server(config).run(sockets=[listener])
        except KeyboardInterrupt:
            return
