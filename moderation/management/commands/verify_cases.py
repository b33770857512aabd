"""manage.py verify_cases: was anything changed of what happened to cases, or of their evidence."""

import json
import sys
import time
from argparse import ArgumentParser
from dataclasses import asdict
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from moderation.findings import Finding
from moderation.services import chain_export, chains, evidence_checks

TELL_EVERY_S = 1.0


class Command(BaseCommand):
    """Door to moderation.services.chains, chain_export and evidence_checks."""

    help = (
        "Verifies every event of every case against the hash before it, every case and piece of evidence against its "
        "chain, and every signed root. Changes nothing. Progress goes to the error output. Exit code 1 when it finds "
        "something, 0 when all is well."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """What beside, and how to print."""
        parser.add_argument("--json", action="store_true", help="print the findings as a JSON list")
        parser.add_argument(
            "--files",
            action="store_true",
            help="open every file of evidence too and compare it with its hash; leaves an entry in each custody log",
        )
        parser.add_argument(
            "--root",
            action="append",
            default=[],
            metavar="FILE",
            help="compare with a root that was exported and kept elsewhere, too; can be given more than once",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Verify, print, and say by the exit code whether all is well."""
        kept = [_read(path) for path in options["root"]]
        findings = self._chains()
        for name, root in zip(options["root"], kept, strict=True):
            try:
                findings += chain_export.check(root)
            except ValueError as error:
                raise CommandError(f"{name}: {error}") from None
        if options["files"]:
            findings += evidence_checks.files()
        self._print(findings, as_json=options["json"])
        if findings:
            sys.exit(1)

    def _chains(self) -> list[Finding]:
        started_s = said_s = time.monotonic()
        seen = 0

        def progress(done: int, total: int) -> None:
            nonlocal said_s, seen
            seen, now_s = done, time.monotonic()
            if now_s - said_s >= TELL_EVERY_S:
                said_s = now_s
                rate = done / (now_s - started_s)
                self.stderr.write(f"{done:,} of {total:,} events ({100 * done / total:.0f} %), {rate:,.0f}/s")

        findings = chains.verify(progress=progress)
        seconds = max(time.monotonic() - started_s, 0.001)
        self.stderr.write(f"{seen:,} events in {seconds:.1f} s, {seen / seconds:,.0f}/s")
        return findings

    def _print(self, findings: list[Finding], *, as_json: bool) -> None:
        if as_json:
            self.stdout.write(json.dumps([asdict(finding) for finding in findings]))
            return
        for finding in findings:
            self.stdout.write(f"{finding.code}: {finding.where}: {finding.text}")
        if not findings:
            self.stdout.write("All is well.")


def _read(path: str) -> Any:
    try:
        return json.loads(Path(path).read_text())
    except (OSError, ValueError) as error:
        raise CommandError(f"{path} cannot be read as JSON ({type(error).__name__}).") from None
