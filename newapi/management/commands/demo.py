"""manage.py demo: a set-up that can be called at once."""

import json
from argparse import ArgumentParser
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError

from channels.models import Protocol
from newapi import demo


class Command(BaseCommand):
    """Door to newapi.demo."""

    help = (
        "Makes an admin, an organisation with a member and a funded wallet, models with prices, a channel to an "
        "upstream, and an API key. Harmless to run again; with another --upstream-url the channel is pointed there."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Options; the command works without any."""
        parser.add_argument("--json", action="store_true", help="print one JSON object instead of lines for people")
        parser.add_argument("--upstream-url", metavar="URL", help="base URL of the upstream (default: the local mock)")
        parser.add_argument("--upstream-key", metavar="KEY", help="API key of the upstream")
        parser.add_argument("--protocol", choices=Protocol.values, default="openai", help="the upstream's dialect")
        parser.add_argument(
            "--base-url", metavar="URL", default="http://127.0.0.1:8000/v1", help="where this product is reached"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Prepare and print."""
        upstream = demo.upstream_of(options["protocol"], options["upstream_url"], options["upstream_key"])
        try:
            made = demo.prepare(upstream=upstream, base_url=options["base_url"])
        except ValidationError as error:
            raise CommandError("; ".join(error.messages)) from None
        if options["json"]:
            self.stdout.write(json.dumps(made))
            return
        for name, value in made.items():
            self.stdout.write(f"{name:16} {', '.join(value) if isinstance(value, list) else value}")
