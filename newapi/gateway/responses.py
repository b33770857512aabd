"""Responses of the call path: Django's, with our own headers beside the checked ones."""

from collections.abc import Iterable

from django.http import HttpResponse


class PlainHeaders:
    """Headers whose names and values we make ourselves, ASCII by construction.

    Django converts and checks each header twice, 0.7 µs apiece; a call has a dozen that need it not.
    """

    _plain: list[tuple[str, str]] | None = None

    def put(self, name: str, value: str) -> None:
        """Add a header that is not there yet."""
        if self._plain is None:
            self._plain = []
        self._plain.append((name, value))

    def items(self) -> Iterable[tuple[str, str]]:
        """All headers, as servers ask for them."""
        return [*super().items(), *(self._plain or ())]  # type: ignore[misc]


class CallResponse(PlainHeaders, HttpResponse):
    """An answer that is whole."""
