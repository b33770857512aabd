"""Evidence: kept sealed under its hash, every hand that held it on record, purged by law and not otherwise."""

import hashlib
from pathlib import Path

import pytest
from django.conf import settings

from accounts.models import Organisation, User
from moderation.models import Case, CustodyEntry, Evidence
from moderation.services import chains, evidence
from tests.moderation import desk

pytestmark = pytest.mark.django_db

CANARY = b"canary: what somebody asked the model"
PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 40
REASON = "Because the test says so"


def file_of(piece: Evidence) -> Path:
    """Where it lies on the disk."""
    return Path(settings.EVIDENCE_DIR) / evidence.path_of(piece)


def stored(
    case: Case, actor: User | None = None, contents: bytes = CANARY, content_type: str = "text/plain"
) -> Evidence:
    """A piece of evidence."""
    return evidence.store(
        case=case, name="calls.txt", contents=contents, content_type=content_type, source="staff", actor=actor
    )


def acts_of(piece: Evidence) -> list[str]:
    """What the custody log says was done, in order."""
    return list(CustodyEntry.objects.filter(evidence=piece).order_by("id").values_list("act", flat=True))


@pytest.mark.req("MOD-40")
def test_a_file_rests_encrypted_under_its_hash_and_comes_back_as_it_was(acme: Organisation, rex: User) -> None:
    case = desk.in_review(acme, rex)
    piece = stored(case, rex)
    assert bytes(piece.digest) == hashlib.sha256(CANARY).digest()
    assert (piece.kind, piece.content_type, piece.size) == ("text", "text/plain", len(CANARY))
    path = file_of(piece)
    assert bytes(piece.digest).hex() in str(path)
    assert CANARY not in path.read_bytes()
    assert path.stat().st_mode & 0o077 == 0
    assert path.parent.stat().st_mode & 0o077 == 0
    assert evidence.read(evidence=piece, actor=rex, reason=REASON, address="203.0.113.5") == CANARY
    entries = list(piece.custody.order_by("id").values_list("act", "actor", "reason", "address"))
    assert entries == [("stored", rex.pk, "staff", None), ("taken", rex.pk, REASON, "203.0.113.5")]
    assert [event.after for event in desk.told(case, "evidence")] == [evidence.marked(piece, "stored")]
    assert list(chains.verify()) == []
