"""The HTTP client towards upstreams: plain values in, status, headers and bytes out. No policy, no money.

Failures are sorted by what they mean for the next try.
"""

import functools
import socket
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import ThreadedResolver
from multidict import CIMultiDict
from yarl import URL

from newapi.kernel import addresses

# An answer that is not streamed is held in memory; more than this is a broken upstream.
ANSWER_BYTES_MAX = 64 * 2**20


class UpstreamFault(Exception):
    """The upstream gave no usable answer. `said` is for our record, never for the caller."""

    def __init__(self, said: str) -> None:
        super().__init__(said)
        self.said = said


class Unreachable(UpstreamFault):
    """No connection: the request did not get there."""


class TimedOut(UpstreamFault):
    """No answer, or no more of it, in the time the channel allows."""


class Broken(UpstreamFault):
    """The connection ended, or what came was not HTTP."""


class Answer:
    """An upstream's answer, its body still to be read."""

    __slots__ = ("_response", "content_type", "status")

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response
        self.status = response.status
        self.content_type = response.headers.get("Content-Type", "application/json")

    def header(self, name: str) -> str | None:
        """One header of the answer."""
        return self._response.headers.get(name)

    async def read(self) -> bytes:
        """The whole body. Raises UpstreamFault."""
        with _sorted_faults():
            body = bytearray()
            async for chunk in self._response.content.iter_any():
                body += chunk
                if len(body) > ANSWER_BYTES_MAX:
                    raise Broken("the answer is too large")
            return bytes(body)

    async def chunks(self) -> AsyncIterator[bytes]:
        """The body as it comes. Raises UpstreamFault."""
        with _sorted_faults():
            async for chunk in self._response.content.iter_any():
                yield chunk

    def close(self) -> None:
        """Stop the upstream: the connection is dropped unless the body was read to its end."""
        self._response.close()


class UpstreamClient:
    """One connection pool for a worker."""

    def __init__(self, *, allow_private: bool) -> None:
        connector = aiohttp.TCPConnector(
            limit=0,
            keepalive_timeout=60,
            resolver=GuardedResolver(allow_private=allow_private),
            ttl_dns_cache=30,
        )
        self._session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding"),
            # Every wait has its own limit below; aiohttp's default total would cut long streams.
            timeout=aiohttp.ClientTimeout(total=None),
            read_bufsize=2**18,
        )

    async def post(
        self,
        url: URL,
        *,
        headers: CIMultiDict[str],
        body: bytes,
        connect_timeout_s: float,
        first_byte_timeout_s: float,
        idle_timeout_s: float,
        total_timeout_s: float,
    ) -> Answer:
        """Send, and return once the answer's head is there. Raises UpstreamFault."""
        limits = _limits(total_timeout_s, connect_timeout_s, first_byte_timeout_s)
        with _sorted_faults():
            response = await self._session.post(url, data=body, headers=headers, timeout=limits, allow_redirects=False)
        # The wait for the head is over; from here on a pause is judged by the idle limit.
        if response.connection is not None and response.connection.protocol is not None:
            response.connection.protocol.read_timeout = idle_timeout_s
            response.connection.protocol.start_timeout()
        return Answer(response)

    async def close(self) -> None:
        """Close all connections."""
        await self._session.close()


@functools.lru_cache(maxsize=1_000)
def _limits(total_s: float, connect_s: float, read_s: float) -> aiohttp.ClientTimeout:
    return aiohttp.ClientTimeout(total=total_s, sock_connect=connect_s, sock_read=read_s)


class GuardedResolver(AbstractResolver):
    """Resolves names, and leaves out the addresses that may not be called, at the moment of connecting."""

    def __init__(self, *, allow_private: bool) -> None:
        self._resolver = ThreadedResolver()
        self._allow_private = allow_private

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """The allowed addresses of a host. Raises OSError when there are none."""
        found = await self._resolver.resolve(host, port, family)
        allowed = [place for place in found if not self._refused(place["host"])]
        if not allowed:
            raise OSError(None, f"{host} resolves to addresses that are not allowed")
        return allowed

    def _refused(self, address: str) -> bool:
        parsed = addresses.ipaddress.ip_address(address)
        return addresses.refusal(parsed, allow_private=self._allow_private) is not None

    async def close(self) -> None:
        """Nothing to release."""
        await self._resolver.close()


class _sorted_faults:
    """Turn aiohttp's exceptions into ours. A class, because a generator would cost the hot path more."""

    __slots__ = ()

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: Any) -> None:
        if error is None or isinstance(error, UpstreamFault):
            return
        if isinstance(error, aiohttp.ConnectionTimeoutError | aiohttp.ClientConnectorError):
            raise Unreachable(type(error).__name__) from error
        if isinstance(error, TimeoutError):
            raise TimedOut(type(error).__name__) from error
        if isinstance(error, aiohttp.ClientError | OSError | ValueError):
            raise Broken(type(error).__name__) from error
