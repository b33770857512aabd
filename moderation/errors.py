"""What can be wrong with an act on a case. Each is a ValidationError, so that every form and interface shows it."""

from django.core.exceptions import ValidationError


class CaseError(ValidationError):
    """Base. `code` says which rule refused; nothing was changed."""

    wire_code = "case_error"

    def __init__(self, message: str) -> None:
        super().__init__(message, code=self.wire_code)


class IllegalMove(CaseError):
    """The state in which the case is does not allow it, whoever asks."""

    wire_code = "illegal_move"


class VersionConflict(CaseError):
    """Someone else has changed the case since it was read. Look at it again."""

    wire_code = "version_conflict"


class NotPermitted(CaseError):
    """The person may not do this to this case."""

    wire_code = "not_permitted"


class EvidenceBroken(CaseError):
    """Evidence is gone, or is not what was stored."""

    wire_code = "evidence_broken"
