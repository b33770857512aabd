"""The gateway in this process, and a real upstream beside it."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from typing import Any

import aiohttp
import pytest
import uvicorn
from django.db import connections

from accounts.models import Organisation, User
from channels.models import Channel, Model
from newapi.gateway import engine
from tests import cast
from tests.processes import MockUpstream, free_port


@pytest.fixture
def mock_channel(transactional_db: None, mock: MockUpstream) -> Channel:
    """A channel that leads to the mock."""
    return cast.channel(base_url=mock.base_url)


@dataclass
class Gateway:
    """The served gateway, as a client sees it."""

    url: str
    key: str
    session: aiohttp.ClientSession

    async def post(
        self, body: Any = None, *, path: str = "/v1/chat/completions", key: str | None = None, **options: Any
    ) -> aiohttp.ClientResponse:
        """POST and read. A dict or list is sent as JSON, bytes as they are."""
        headers = {"Authorization": f"Bearer {self.key if key is None else key}", **options.pop("headers", {})}
        sent = {"data": body} if isinstance(body, bytes) else {"json": body}
        async with self.session.post(f"{self.url}{path}", headers=headers, **sent, **options) as response:
            await response.read()
            return response

    async def chat(self, content: str = "Hello", **fields: Any) -> aiohttp.ClientResponse:
        """One chat call."""
        return await self.post({"model": "mock-gpt", "messages": [{"role": "user", "content": content}], **fields})

    async def get(self, path: str, *, key: str | None = None) -> aiohttp.ClientResponse:
        """GET and read."""
        headers = {"Authorization": f"Bearer {self.key if key is None else key}"}
        async with self.session.get(f"{self.url}{path}", headers=headers) as response:
            await response.read()
            return response


@pytest.fixture
async def gateway(
    transactional_db: None, acme: Organisation, ben: User, chat_model: Model, raw_key: str
) -> AsyncIterator[Gateway]:
    """The product's ASGI application behind a real uvicorn in this event loop, with Ben's key."""
    from newapi.asgi import application

    port = free_port()
    server = uvicorn.Server(
        uvicorn.Config(application, port=port, log_level="warning", access_log=False, proxy_headers=False)
    )
    task = asyncio.ensure_future(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    async with aiohttp.ClientSession() as session:
        yield Gateway(f"http://127.0.0.1:{port}", raw_key, session)
    server.should_exit = True
    await task
    assert engine.running() is None


@pytest.fixture
def no_database() -> Iterator[Callable[[], None]]:
    """A switch that leads every connection to a database that is not there."""
    settings = connections["default"].settings_dict
    kept = dict(settings)

    def switch_off() -> None:
        settings.update(NAME="/nowhere/at/all.sqlite3", HOST="127.0.0.1", PORT="9")

    yield switch_off
    settings.update(kept)
