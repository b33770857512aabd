"""The files of evidence: sealed each for its row, in the storage `evidence`, in folders named by their hash."""

import logging

from django.core.files.base import ContentFile
from django.core.files.storage import Storage, storages

from moderation.errors import EvidenceBroken
from moderation.models import Evidence
from moderation.services import evidence_types
from newapi.kernel import secrets

log = logging.getLogger(__name__)


def put(evidence: Evidence, contents: bytes) -> str:
    """Write the file of a row that has just been made. Returns the id of the key that sealed it."""
    key_id, data = secrets.seal_bytes(contents, bound_to=_bound_to(evidence))
    # Of a row that was rolled back its file may be left, under a number that SQLite gives anew.
    _storage().delete(path_of(evidence))
    _storage().save(path_of(evidence), ContentFile(data))
    return key_id


def get(evidence: Evidence) -> bytes:
    """What was put there. Raises EvidenceBroken."""
    try:
        with _storage().open(path_of(evidence)) as file:
            data = file.read(evidence_types.SIZE_MAX + 1_024)
    except OSError:
        raise EvidenceBroken("Its file is not there.") from None
    try:
        return secrets.unseal_bytes(data, key_id=evidence.key_id, bound_to=_bound_to(evidence))
    except secrets.SealBroken as broken:
        raise EvidenceBroken(f"Its file does not open: {broken}.") from None


def erase(evidence: Evidence) -> bool:
    """Remove the file of what was purged. False when there is none any more. Again is harmless."""
    if not evidence.key_id or evidence.purged_at is None:
        return False
    try:
        _storage().delete(path_of(evidence))
    except OSError:
        log.exception("the file of evidence %s could not be removed; the job tries again", evidence.pk)
        return False
    Evidence.objects.filter(pk=evidence.pk, purged_at__isnull=False).update(key_id="")
    return True


def path_of(evidence: Evidence) -> str:
    """Where the file lies in the storage: by the hash of its contents, once for each row that has it."""
    digest = bytes(evidence.digest).hex()
    return f"{digest[:2]}/{digest}/{evidence.pk}"


def _bound_to(evidence: Evidence) -> str:
    return f"evidence:{evidence.pk}"


def _storage() -> Storage:
    return storages["evidence"]
