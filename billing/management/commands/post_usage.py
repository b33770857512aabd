"""manage.py post_usage: post what waits, by hand."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from billing.services import faults, posting, rollups


class Command(BaseCommand):
    """Door to billing.services.posting and rollups."""

    help = (
        "Posts the usage that waits in Redis to the ledger and sums it up. Harmless beside the jobs that do the same."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """How much."""
        parser.add_argument("--limit", type=int, default=5000, help="most events to post (default: %(default)s)")
        parser.add_argument(
            "--faults", action="store_true", help="also try again what could not be posted before, after an upgrade"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Post and say how many."""
        posted = posting.post(limit=options["limit"])
        if options["faults"]:
            posted += faults.retry(limit=options["limit"])
        summed = rollups.roll_up()
        self.stdout.write(f"{posted} events posted, {summed} buckets summed up.")
