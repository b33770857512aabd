"""What the verifier says."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that cannot be so unless somebody changed the past. `where`: a case's reference, or `root 12`."""

    code: str
    where: str
    text: str
