"""manage.py compliance_report: the compliance report on standard output, for archives and schedules."""

from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError

from channels.reports import compliance_rows, to_csv


class Command(BaseCommand):
    """Door to channels.reports. It only reads; whoever may run it has the database anyway."""

    help = "Prints the compliance report as CSV: a row for each channel with its evidence, terms and care."

    def handle(self, *args: Any, **options: Any) -> None:
        """Print it."""
        try:
            self.stdout.write(to_csv(compliance_rows()), ending="")
        except ValidationError as error:
            raise CommandError(" ".join(error.messages)) from None
