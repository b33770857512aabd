"""What the mock provider has been asked lately, and how often by whom, for tests to read."""

import base64
import time
from collections import Counter, deque
from typing import Any

REQUESTS_MAX = 1000
KEYS_MAX = 10_000


class Record:
    """One request to the provider. Filled in while it is answered."""

    __slots__ = (
        "aborted",
        "body",
        "dropped",
        "ended",
        "events",
        "headers",
        "key",
        "method",
        "path",
        "query",
        "started",
        "status",
    )

    def __init__(
        self, *, method: str, path: str, query: bytes, headers: list[tuple[bytes, bytes]], body: bytes, key: str
    ) -> None:
        self.method = method
        self.path = path
        self.query = query
        self.headers = headers
        self.body = body
        self.key = key
        self.started = time.time()
        self.ended: float | None = None
        self.status: int | None = None
        self.events = 0
        self.aborted = False
        self.dropped = False

    def shown(self) -> dict[str, Any]:
        """Return it for JSON. Times in Unix seconds; `body_base64` is exact, `body` text as far as it is UTF-8.

        `aborted`: the client left first. `dropped`: we were asked to cut the connection.
        """
        return {
            "method": self.method,
            "path": self.path,
            "query": self.query.decode("latin-1"),
            "headers": {name.decode("latin-1"): value.decode("latin-1") for name, value in self.headers},
            "body": self.body.decode(errors="replace"),
            "body_base64": base64.b64encode(self.body).decode(),
            "key": self.key,
            "time": self.started,
            "ended": self.ended,
            "status": self.status,
            "events": self.events,
            "aborted": self.aborted,
            "dropped": self.dropped,
        }


class Recorder:
    """The last 1,000 requests, and counts since the last clearing."""

    def __init__(self) -> None:
        self._records: deque[Record] = deque(maxlen=REQUESTS_MAX)
        self._by_key: dict[str, Counter[str]] = {}
        self._in_flight = 0
        self._in_flight_max = 0

    def begin(self, record: Record) -> None:
        """Take a request in."""
        self._records.append(record)
        self._in_flight += 1
        self._in_flight_max = max(self._in_flight_max, self._in_flight)

    def finish(self, record: Record) -> None:
        """Count it, now that its end is known."""
        record.ended = time.time()
        self._in_flight -= 1
        counts = self._by_key.get(record.key)
        if counts is None:
            if len(self._by_key) >= KEYS_MAX:
                self._by_key.clear()
            counts = self._by_key[record.key] = Counter()
        counts["requests"] += 1
        counts[f"status_{record.status or 'none'}"] += 1
        if record.aborted:
            counts["aborted"] += 1

    def requests(self) -> list[dict[str, Any]]:
        """Return the remembered requests, oldest first."""
        return [record.shown() for record in self._records]

    def stats(self) -> dict[str, Any]:
        """Return the counts: ended requests in all and per key, and how many were open at once."""
        return {
            "requests": sum(counts["requests"] for counts in self._by_key.values()),
            "aborted": sum(counts["aborted"] for counts in self._by_key.values()),
            "in_flight": self._in_flight,
            "in_flight_max": self._in_flight_max,
            "keys": {key: dict(counts) for key, counts in self._by_key.items()},
        }

    def clear(self) -> None:
        """Forget all requests and counts; those still open go on."""
        self._records.clear()
        self._by_key.clear()
        self._in_flight_max = self._in_flight
