"""A mail server for tests: speaks as much SMTP as Django's client does, keeps what it is handed."""

import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from email import message_from_bytes
from email.message import Message


class MailServer(socketserver.ThreadingTCPServer):
    """`refused`: addresses it does not take. `hangs_up_after`: so many mails, then every connection is dropped."""

    allow_reuse_address = True
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Session)
        self.received: list[tuple[str, Message]] = []
        self.refused: set[str] = set()
        self.hangs_up_after: int | None = None

    @property
    def port(self) -> int:
        return self.server_address[1]

    def recipients(self) -> list[str]:
        """Whom mails went to, in the order in which they came."""
        return [recipient for recipient, _ in self.received]


class _Session(socketserver.StreamRequestHandler):
    server: MailServer

    def handle(self) -> None:
        self._say("220 here")
        recipient = ""
        while line := self.rfile.readline():
            verb, _, rest = line.decode().strip().partition(" ")
            verb = verb.upper()
            if verb == "RCPT":
                recipient = rest.partition("<")[2].partition(">")[0]
                self._say("550 nobody here" if recipient in self.server.refused else "250 good")
            elif verb == "DATA":
                if self.server.hangs_up_after is not None and len(self.server.received) >= self.server.hangs_up_after:
                    return
                self._say("354 go on")
                self.server.received.append((recipient, message_from_bytes(self._content())))
                self._say("250 kept")
            elif verb == "QUIT":
                self._say("221 bye")
                return
            else:
                self._say("250 good")

    def _content(self) -> bytes:
        lines = []
        while (line := self.rfile.readline()) not in (b".\r\n", b""):
            lines.append(line)
        return b"".join(lines)

    def _say(self, line: str) -> None:
        self.wfile.write(f"{line}\r\n".encode())


@contextmanager
def running() -> Iterator[MailServer]:
    """A server in a thread of its own, for the block."""
    with MailServer() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
