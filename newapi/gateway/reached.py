"""An upstream that answered, and what it took to get there."""

from dataclasses import dataclass

from newapi.gateway.routing import Hop
from newapi.gateway.upstream import Answer


@dataclass(slots=True)
class Reached:
    """`first_byte_ms` counts from the caller's request to the head of this answer."""

    hop: Hop
    answer: Answer
    attempts: int
    first_byte_ms: int
