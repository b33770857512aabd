"""manage.py rotate_field_keys: seal upstream keys under the current field key."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from channels.services import upstream_keys
from newapi.kernel.secrets import SealBroken


class Command(BaseCommand):
    """Door to channels.services.upstream_keys.reseal."""

    help = "Seals again, under the first key of FIELD_KEYS, every upstream key that an older one sealed."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """How much at once."""
        parser.add_argument("--limit", type=int, default=1000, help="rows a run (default: %(default)s)")

    def handle(self, *args: Any, **options: Any) -> None:
        """Reseal and say how many."""
        try:
            changed = upstream_keys.reseal(limit=options["limit"])
        except SealBroken as error:
            raise CommandError(f"A key cannot be opened ({error}). Nothing was changed.") from None
        self.stdout.write(f"{changed} upstream keys were sealed again." if changed else "Nothing is left to do.")
