"""What the verifier says when something is not as it must be."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Finding:
    """`code` names the rule that is broken. `organisation_id` is None for the platform as a whole."""

    code: str
    organisation_id: int | None
    text: str


def differs(code: str, organisation_id: int | None, one: str, value: object, other: str, found: object) -> Finding:
    """Two things that must be equal are not."""
    return Finding(code, organisation_id, f"{one} say {value}, {other} say {found}")
