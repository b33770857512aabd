"""What a report says: sealed for its row, and shown without whatever would name who wrote it."""

import hashlib
import re

from moderation.models import Report
from moderation.services import reporters
from newapi.kernel import secrets

HIDDEN = "[hidden]"
# From the start of a word only, so that a long text without an address is looked at once.
_WORD = r"[^\s@<>()\[\]{},;:\"'|]"
_ADDRESS = re.compile(rf"(?<!{_WORD}){_WORD}+@{_WORD}+\.{_WORD}+")
# Shorter parts of a name are parts of other words as well.
_NAME_PART_MIN = 3


def seal(report: Report, description: str) -> None:
    """Put a description into a report that is about to be saved; its token's digest is set."""
    report.sealed_description = secrets.seal(description, bound_to=_place(report))
    report.description_digest = hashlib.sha256(description.encode()).digest()


def of(report: Report) -> str:
    """The description, word for word; empty once it was purged. For reports.reveal and evidence, not for pages."""
    return secrets.unseal(report.sealed_description, bound_to=_place(report)) if report.sealed_description else ""


def masked(report: Report) -> str:
    """The description as colleagues read it: without addresses of e-mail, and without the reporter's name."""
    return without_names(of(report), report)


def without_names(text: str, report: Report) -> str:
    """A text of a report without addresses of e-mail, and without the name of who reported."""
    shown = _ADDRESS.sub(HIDDEN, text)
    for word in _words_of(report):
        shown = re.sub(rf"(?<!\w){re.escape(word)}(?!\w)", HIDDEN, shown, flags=re.IGNORECASE)
    return shown


def names_whoever(text: str, report: Report) -> bool:
    """Whether a text contains the address or the full name of who reported; of parts of a name it cannot tell."""
    if report.reporter is None:
        return False
    reporter = report.reporter
    names = [reporters.address_of(reporter)]
    if reporter.user is not None:
        names += [reporter.user.email, reporter.user.name]
    long_enough = (name for name in names if len(name) >= _NAME_PART_MIN)
    return any(re.search(rf"(?<!\w){re.escape(name)}(?!\w)", text, flags=re.IGNORECASE) for name in long_enough)


def _words_of(report: Report) -> list[str]:
    """What names the reporter, the longest first."""
    if report.reporter is None:
        return []
    address = reporters.address_of(report.reporter)
    words = {address, address.partition("@")[0]}
    if report.reporter.user is not None:
        user = report.reporter.user
        words |= {user.email, user.email.partition("@")[0], user.name, *user.name.split()}
    return sorted((word for word in words if len(word) >= _NAME_PART_MIN), key=len, reverse=True)


def _place(report: Report) -> str:
    return f"report:{bytes(report.token_digest).hex()}"
