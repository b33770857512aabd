"""What every dialect of the mock provider offers, and the helpers they share."""

from collections.abc import Iterator
from typing import Any, Protocol

import orjson

from newapi.mock.knobs import Knobs
from newapi.mock.reply import Ask, Reply


class BadRequest(ValueError):
    """The request is wrong in a way that the real provider refuses with 400. `param` names the field."""

    def __init__(self, message: str, *, param: str | None = None) -> None:
        super().__init__(message)
        self.param = param


class Dialect(Protocol):
    """One provider's way to ask and answer. Chosen once per request, by its path."""

    name: str
    stream_type: bytes
    crlf: bool  # whether the real one ends the lines of its events with \r\n
    request_id_header: bytes
    headers: tuple[tuple[bytes, bytes], ...]  # what the real one adds to each answer; no client of ours should see them

    def ask(self, body: dict[str, Any], *, model: str, stream: bool) -> Ask:
        """Understand a request. Raises BadRequest."""

    def whole(self, reply: Reply, ask: Ask, knobs: Knobs) -> bytes:
        """Return the body of an answer that is not streamed."""

    def events(self, reply: Reply, ask: Ask, knobs: Knobs) -> Iterator[bytes]:
        """Yield the events of a stream, each with its closing empty line."""

    def error(self, status: int, message: str, *, param: str | None = None) -> bytes:
        """Return the body of an error."""


def listed(body: dict[str, Any], name: str, *, required: bool = False) -> list[Any]:
    """Return a list of the body; empty when absent. Raises BadRequest for another type, or when it is needed."""
    value = body.get(name)
    if value is None and not required:
        return []
    if not isinstance(value, list) or (required and not value):
        raise BadRequest(f"'{name}' must be a non-empty list", param=name)
    return value


def positive(body: dict[str, Any], name: str) -> int | None:
    """Return a whole number of at least 1, or None when absent. Raises BadRequest."""
    value = body.get(name)
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise BadRequest(f"'{name}' must be a whole number of at least 1", param=name)
    return value


def usage_or(knobs: Knobs, usage: dict[str, Any]) -> object | None:
    """Return what to send as usage: the literal one asked for, none, or the true one."""
    if knobs.no_usage:
        return None
    return orjson.Fragment(knobs.usage) if knobs.usage is not None else usage
