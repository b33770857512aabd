"""manage.py verify_money: is everything true that must be true of money."""

import json
import sys
from argparse import ArgumentParser
from dataclasses import asdict
from typing import Any

from django.core.management.base import BaseCommand

from billing.services import verifier


class Command(BaseCommand):
    """Door to billing.services.verifier."""

    help = (
        "Checks that usage, ledger, wallets and rollups agree to the nano, that no wallet is below its floor, that "
        "tills agree with themselves and that no hold is overdue. Changes nothing. Exit code 1 when it finds something."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """How to print."""
        parser.add_argument("--json", action="store_true", help="print the findings as a JSON list")

    def handle(self, *args: Any, **options: Any) -> None:
        """Verify, print, and say by the exit code whether all is well."""
        findings = verifier.verify()
        if options["json"]:
            self.stdout.write(json.dumps([asdict(finding) for finding in findings]))
        else:
            for finding in findings:
                where = f"organisation {finding.organisation_id}: " if finding.organisation_id else ""
                self.stdout.write(f"{finding.code}: {where}{finding.text}")
            if not findings:
                self.stdout.write("All is well.")
        if findings:
            sys.exit(1)
