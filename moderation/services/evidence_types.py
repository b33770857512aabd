"""What may be kept as evidence: which kinds of files, told by their bytes; how much; and what an id looks like."""

import json
import re
from collections.abc import Mapping
from typing import Any

import orjson
from django.core.exceptions import ValidationError

from moderation.models import Evidence

SIZE_MAX = 10 * 2**20
PIECES_MAX = 200
NAME_LENGTH_MAX = 200
FACTS_BYTES_MAX = 16_384

# First bytes, and the type that they mean. Nothing that runs, unpacks or loads something else is among them.
_MAGIC: tuple[tuple[bytes, str], ...] = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"%PDF-", "application/pdf"),
)
# What text may be called.
_TEXTS = frozenset({"text/plain", "text/csv", "application/json", "message/rfc822"})
# Control characters that no text has.
_NO_TEXT = re.compile(r"[\x00-\x08\x0b\x0e-\x1f\x7f]")
# An id, a hash or a moment: no spaces, so no sentence.
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:+/=-]{0,199}")
_FACT = re.compile(r"[a-z][a-z0-9_]{0,39}")
FACTS_MAX = 40
IDS_MAX = 500


def check_contents(contents: bytes, claimed: str) -> tuple[Evidence.Kind, str]:
    """The kind and type of contents, by their bytes. `claimed` is what the sender calls them; empty: nothing.

    Raises ValidationError for what is empty, too large, of no allowed type, or of another than claimed.
    """
    if not contents:
        raise ValidationError({"contents": "The file is empty."})
    if len(contents) > SIZE_MAX:
        raise ValidationError({"contents": f"At most {SIZE_MAX // 2**20} MB."})
    found = _sniff(contents)
    said = claimed.partition(";")[0].strip().lower()
    if found == "text/plain" and said in _TEXTS:
        if said == "application/json":
            _check_json(contents)
        found = said
    if found is None or said not in ("", "application/octet-stream", found):
        raise ValidationError(
            {"contents": f"Not kept: a text, PNG, JPEG, GIF, WebP or PDF is, when it is called so. Found: "
             f"{found or 'none of them'}."}
        )  # fmt: skip
    return (Evidence.Kind.TEXT if found in _TEXTS else Evidence.Kind.FILE), found


def check_name(name: str) -> str:
    """The name as it is kept, without folders. Raises ValidationError."""
    kept = re.sub(r"[\x00-\x1f\x7f]", "", name.replace("\\", "/").rpartition("/")[2]).strip()
    if not kept or len(kept) > NAME_LENGTH_MAX:
        raise ValidationError({"name": f"Say what it is, in 1 to {NAME_LENGTH_MAX} characters."})
    return kept


def check_facts(facts: Mapping[str, Any]) -> bytes:
    """The canonical text of ids and hashes: JSON with sorted keys. Raises ValidationError for anything else.

    A value is an id, hash, moment or number, or a list of them. A sentence is none, so no prompt gets in.
    """
    if not facts or len(facts) > FACTS_MAX:
        raise ValidationError({"facts": f"From 1 to {FACTS_MAX} facts."})
    for name, value in facts.items():
        values = value if isinstance(value, list | tuple) else [value]
        if not _FACT.fullmatch(name) or not values or len(values) > IDS_MAX or not all(map(_is_id, values)):
            raise ValidationError({"facts": f"{name[:40]}: ids, hashes, moments and numbers only, without spaces."})
    text = canonical(facts)
    if len(text) > FACTS_BYTES_MAX:
        raise ValidationError({"facts": f"At most {FACTS_BYTES_MAX:,} bytes."})
    return text


def canonical(facts: Mapping[str, Any]) -> bytes:
    """The text of facts over which their hash is: JSON with sorted keys, without spaces."""
    return orjson.dumps(facts, option=orjson.OPT_SORT_KEYS)


def _is_id(value: Any) -> bool:
    if isinstance(value, bool):
        return False
    return (isinstance(value, int) and abs(value) < 2**53) or (
        isinstance(value, str) and _ID.fullmatch(value) is not None
    )


def _sniff(contents: bytes) -> str | None:
    if contents[:4] == b"RIFF" and contents[8:12] == b"WEBP":
        return "image/webp"
    for magic, kind in _MAGIC:
        if contents.startswith(magic):
            return kind
    try:
        text = contents.decode("utf-8")
    except UnicodeDecodeError:
        return None
    return None if _NO_TEXT.search(text) else "text/plain"


def _check_json(contents: bytes) -> None:
    try:
        json.loads(contents)
    except (ValueError, RecursionError):
        raise ValidationError({"contents": "It is called JSON, but it is none."}) from None
