"""Responses of the call path: Django's, with our own headers beside the checked ones."""

from collections.abc import Iterable

from django.http import HttpResponse


class PlainHeaders:
    """Headers whose names and values we make ourselves, ASCII by construction.

    Django converts and checks each header twice, 0.7 µs apiece; a call has a dozen that need it not.
    """

    _plain: list[tuple[bytes, bytes]] | None = None

    def put(self, name: bytes, value: str) -> None:
        """Add a header that is not there yet; its name in small letters."""
        if self._plain is None:
            self._plain = []
        self._plain.append((name, value.encode("ascii")))

    def items(self) -> Iterable[tuple[str, str]]:
        """All headers, as other servers than the lane ask for them."""
        plain = [(name.decode(), value.decode()) for name, value in self._plain or ()]
        return [*super().items(), *plain]  # type: ignore[misc]

    def on_the_wire(self) -> list[tuple[bytes, bytes]]:
        """All headers as ASGI takes them."""
        checked = super().items()  # type: ignore[misc]
        headers = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in checked]
        return [*headers, *self._plain] if self._plain else headers


class CallResponse(PlainHeaders, HttpResponse):
    """An answer that is whole."""
