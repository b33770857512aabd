"""A small HTTP server in a thread, and the ways in which it can misbehave."""

import json
import threading
from collections import deque
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

# What a fake does with a request instead of answering it well. The latter two have acted by then.
DOWN, DROPPED, BROKEN_AFTER, DROPPED_AFTER, BUSY = "503", "dropped", "500 after", "dropped after", "429"
# What it says besides is endless, or takes its time.
HUGE, SLOW = "huge", "slow"
HUGE_BYTES = 2 * 1024 * 1024


class Wrong(Exception):
    """An answer that is no success."""

    def __init__(self, status: int, body: dict[str, Any]) -> None:
        super().__init__(status)
        self.status, self.body = status, body


class FakeServer:
    """Answers what `respond` says. `is_down`: every request fails. `trouble`: what happens to the next ones.

    A SLOW answer begins, and goes on once `patience` is set, or after ten seconds; `left` says which.
    """

    def __init__(self) -> None:
        self.is_down = False
        self.trouble: deque[str] = deque()
        self.asked: list[str] = []
        self.lock = threading.RLock()
        self.patience = threading.Event()
        self.left: deque[bool] = deque()
        fake = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                fake._handle(self, b"")

            def do_POST(self) -> None:
                fake._handle(self, self.rfile.read(int(self.headers.get("Content-Length") or 0)))

            def log_message(self, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def respond(
        self, method: str, path: str, query: list[tuple[str, str]], form: list[tuple[str, str]], headers: Any
    ) -> dict[str, Any]:
        raise NotImplementedError

    def _handle(self, handler: BaseHTTPRequestHandler, body: bytes) -> None:
        with self.lock:
            parts = urlsplit(handler.path)
            self.asked.append(f"{handler.command} {parts.path}")
            trouble = DOWN if self.is_down else self.trouble.popleft() if self.trouble else ""
            if trouble in (DOWN, BUSY):
                return self._send(handler, int(trouble), {"error": {"message": "Come back later", "type": "api_error"}})
            if trouble == DROPPED:
                return self._drop(handler)
            status = 200
            try:
                pairs = [parse_qsl(text, keep_blank_values=True) for text in (parts.query, body.decode())]
                answer = self.respond(handler.command, parts.path, *pairs, handler.headers)
            except Wrong as wrong:
                status, answer = wrong.status, wrong.body
            if trouble == DROPPED_AFTER:
                return self._drop(handler)
            if trouble == BROKEN_AFTER:
                status, answer = 500, {"error": {"message": "Oops", "type": "api_error"}}
            if trouble == HUGE:
                answer = {**answer, "more": "x" * HUGE_BYTES}
            return self._send(handler, status, answer, waits=trouble == SLOW)

    def _send(
        self, handler: BaseHTTPRequestHandler, status: int, answer: dict[str, Any], *, waits: bool = False
    ) -> None:
        content = json.dumps(answer).encode()
        handler.send_response(status)
        handler.send_header("Content-Type", "application/json")
        handler.send_header("Content-Length", str(len(content)))
        handler.end_headers()
        if waits:
            handler.wfile.write(content[:1])
            handler.wfile.flush()
            self.left.append(self.patience.wait(10))
            content = content[1:]
        with suppress(BrokenPipeError, ConnectionResetError):
            handler.wfile.write(content)

    @staticmethod
    def _drop(handler: BaseHTTPRequestHandler) -> None:
        handler.close_connection = True
        handler.connection.close()
