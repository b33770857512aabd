"""manage.py rebuild_rollups: sum up an organisation's usage again from its rows."""

from argparse import ArgumentParser
from datetime import UTC, datetime
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from accounts.models import Organisation
from billing.errors import BillingRefusal
from billing.services import rollups


class Command(BaseCommand):
    """Door to billing.services.rollups.rebuild."""

    help = "Recomputes the rollups of an organisation between two days (UTC, the last one not included) from its usage."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Whose, and which days."""
        parser.add_argument("organisation", help="its slug")
        parser.add_argument("start", type=datetime.fromisoformat, help="first day, such as 2026-11-01")
        parser.add_argument("end", type=datetime.fromisoformat, help="day after the last, such as 2026-12-01")

    def handle(self, *args: Any, **options: Any) -> None:
        """Rebuild and say how much."""
        organisation = Organisation.objects.filter(slug=options["organisation"]).first()
        if organisation is None:
            raise CommandError(f"There is no organisation {options['organisation']!r}.")
        start, end = (options[name].replace(tzinfo=UTC) for name in ("start", "end"))
        try:
            quarters = rollups.rebuild(organisation=organisation, start=start, end=end)
        except BillingRefusal as error:
            raise CommandError(error.messages[0]) from None
        while rollups.roll_up():
            pass
        self.stdout.write(f"{quarters} quarters of an hour with usage were summed up again.")
