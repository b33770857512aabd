"""Roots outside of the platform: what is handed to somebody who keeps it, and checking what was kept against us.

docs/moderate.md has the recipe by which anybody checks such a file without us.
"""

from collections.abc import Iterator
from datetime import datetime
from itertools import islice
from typing import Any

from moderation import chain
from moderation.findings import Finding
from moderation.models import CaseEvent, ChainRoot
from moderation.services import chains
from newapi.kernel import signing

FORMAT = "newapi chain root 1"
# Of lines that are looked up in one statement.
LINES_AT_ONCE = 500


def of_root(root: ChainRoot) -> dict[str, Any]:
    """A root with all that its hash and signature are over; bytes are hexadecimal. It names no content of any case."""
    before = ChainRoot.objects.filter(number=root.number - 1).first()
    return {
        "format": FORMAT,
        "number": root.number,
        "made_at": root.made_at.isoformat(),
        "made_at_us": chain.microseconds(root.made_at),
        "before_hash": bytes(before.hash).hex() if before else "",
        "hash": bytes(root.hash).hex(),
        "signature": bytes(root.signature).hex(),
        "public_key": bytes(root.public_key).hex(),
        "lines": [list(line) for line in chains.lines_of(root)],
    }


def check(kept: dict[str, Any]) -> Iterator[Finding]:
    """A root that somebody kept, against itself and against what is here now: whoever has rewritten the past here,
    roots included, has not rewritten that file. Raises ValueError when it is no such file."""
    try:
        where, made_at = f"root {_number(kept['number'])}", datetime.fromisoformat(kept["made_at"])
        lines = [(str(reference), _number(number), str(digest)) for reference, number, digest in kept["lines"]]
        before, own = bytes.fromhex(kept["before_hash"]), bytes.fromhex(kept["hash"])
        signature, public_key = bytes.fromhex(kept["signature"]), bytes.fromhex(kept["public_key"])
        is_ours = kept["format"] == FORMAT and chain.microseconds(made_at) == kept["made_at_us"]
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"This is no root that was exported here ({type(error).__name__}).") from None
    if not is_ours:
        raise ValueError("This is no root that was exported here.")
    if chain.root_hash(before, number=kept["number"], made_at=made_at, lines=lines) != own:
        yield Finding("changed", where, "The file is not what was signed.")
    if not signing.is_signed(own, signature, public_key):
        yield Finding("signature", where, "The signature in the file is not that of its key.")
    if not signing.is_ours(public_key):
        yield Finding("key", where, "The file was signed with a key that is not in FIELD_KEYS.")
    if not ChainRoot.objects.filter(number=kept["number"], hash=own).exists():
        yield Finding("signed", where, "The root of this number is another here, or there is none.")
    yield from _lines(lines, where)


def _number(value: Any) -> int:
    """A number that a row can have. Raises ValueError."""
    if not isinstance(value, int) or not 0 < value < 2**63:
        raise ValueError("no number")
    return value


def _lines(lines: list[tuple[str, int, str]], where: str) -> Iterator[Finding]:
    rest = iter(lines)
    while some := list(islice(rest, LINES_AT_ONCE)):
        rows = CaseEvent.objects.filter(
            case__reference__in=[line[0] for line in some], number__in={line[1] for line in some}
        )
        found = {
            (reference, number): bytes(digest).hex()
            for reference, number, digest in rows.order_by().values_list("case__reference", "number", "hash")
        }
        for reference, number, digest in some:
            if found.get((reference, number)) != digest:
                yield Finding("signed", reference, f"Event {number}, signed by {where}, is not there, or is another.")
