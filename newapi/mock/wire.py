"""How an answer travels: paced, compressed, cut in odd places, or dropped; and whether the client still listens."""

import asyncio
import zlib
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any

from newapi.mock.knobs import Knobs
from newapi.mock.recorder import Record

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]

GZIP_WINDOW = 31


BODY_BYTES_MAX = 64 * 2**20


class Gone(Exception):
    """The client hung up, or we did; there is nobody to answer any more."""


class HungUp(Gone):
    """We cut the connection, because we were asked to."""


async def read_body(receive: Receive) -> bytes:
    """Return the whole body of a request. Raises Gone when the client leaves first, or sends more than 64 MiB."""
    message = await receive()
    if message["type"] == "http.request" and not message.get("more_body"):
        return message["body"]
    parts, size = [], 0
    while message["type"] == "http.request":
        parts.append(message["body"])
        size += len(message["body"])
        if size > BODY_BYTES_MAX:
            raise Gone
        if not message.get("more_body"):
            return b"".join(parts)
        message = await receive()
    raise Gone


class Shaper:
    """Turns body bytes into what goes on the wire: compressed and re-cut as asked."""

    def __init__(self, knobs: Knobs) -> None:
        self._gzip = zlib.compressobj(wbits=GZIP_WINDOW) if knobs.gzip else None
        self._size = knobs.split_bytes or 0
        self._rest = b""

    def feed(self, data: bytes) -> list[bytes]:
        """Return the pieces that are now complete."""
        if self._gzip is not None:
            data = self._gzip.compress(data) + self._gzip.flush(zlib.Z_SYNC_FLUSH)
        return self._cut(data)

    def end(self) -> list[bytes]:
        """Return what is left."""
        pieces = self._cut(self._gzip.flush()) if self._gzip is not None else []
        return [*pieces, self._rest] if self._rest else pieces

    def _cut(self, data: bytes) -> list[bytes]:
        if not self._size:
            return [data]
        data = self._rest + data
        whole = len(data) // self._size * self._size
        self._rest = data[whole:]
        return [data[start : start + self._size] for start in range(0, whole, self._size)]


class Exchange:
    """One response. Raises Gone from any method once the client has left."""

    def __init__(self, receive: Receive, send: Send, record: Record, knobs: Knobs) -> None:
        self._receive = receive
        self._send = send
        self._record = record
        self.knobs = knobs
        self._watch: asyncio.Task[None] | None = None

    async def pause(self, milliseconds: int) -> None:
        """Let time pass, but no longer than the client waits."""
        if not milliseconds:
            return
        if self._watch is None:
            self._watch = asyncio.create_task(self._until_gone())
        done, _ = await asyncio.wait((self._watch,), timeout=milliseconds / 1000)
        if done:
            raise Gone

    async def start(self, status: int, headers: Headers) -> None:
        """Send the status and headers, after the latency asked for."""
        await self.pause(self.knobs.latency_ms)
        if self.knobs.drop_after == 0:
            await self._hang_up(flush=False)
        self._record.status = status
        if self.knobs.gzip:
            headers = [*headers, (b"content-encoding", b"gzip")]
        await self._send({"type": "http.response.start", "status": status, "headers": headers})

    async def whole(self, status: int, headers: Headers, body: bytes) -> None:
        """Send a complete response. With `drop_after`, only its first half arrives."""
        shaper = Shaper(self.knobs)
        pieces = [*shaper.feed(body), *shaper.end()]
        length = b"%d" % sum(map(len, pieces))
        await self.start(status, [*headers, (b"content-length", length)])
        await self.pause(self.knobs.first_byte_ms)
        if self.knobs.drop_after:
            await self._send_piece(b"".join(pieces)[: int(length) // 2])
            await self._hang_up(flush=True)
        for piece in pieces[:-1]:
            await self._send_piece(piece)
        await self._send({"type": "http.response.body", "body": pieces[-1] if pieces else b"", "more_body": False})

    async def stream(self, headers: Headers, events: Iterable[bytes]) -> None:
        """Send events one by one, at the pace asked for."""
        knobs, record, shaper = self.knobs, self._record, Shaper(self.knobs)
        await self.start(200, headers)
        await self.pause(knobs.first_byte_ms)
        if self._watch is None:
            self._watch = asyncio.create_task(self._until_gone())
        for event in events:
            if record.events:
                await self.pause(knobs.chunk_delay_ms)
            if self._watch.done():
                raise Gone
            for piece in shaper.feed(event):
                await self._send_piece(piece)
            record.events += 1
            if record.events == knobs.drop_after:
                await self._hang_up(flush=True)
        for piece in shaper.end():
            await self._send_piece(piece)
        await self._send({"type": "http.response.body", "body": b"", "more_body": False})

    def close(self) -> None:
        """Stop watching the client."""
        if self._watch is not None:
            self._watch.cancel()

    async def _send_piece(self, piece: bytes) -> None:
        await self._send({"type": "http.response.body", "body": piece, "more_body": True})
        if self.knobs.split_bytes:
            await asyncio.sleep(0)  # lets the piece leave on its own

    async def _until_gone(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass

    async def _hang_up(self, *, flush: bool) -> None:
        """Cut the connection. ASGI has no word for that, so uvicorn's transport is asked."""
        transport: asyncio.Transport = self._send.__self__.transport  # type: ignore[attr-defined]
        if flush:
            transport.close()
        else:
            transport.abort()
        if self._watch is not None:
            await self._watch
        else:
            await self._until_gone()
        raise HungUp
