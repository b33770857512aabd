"""The ASGI application: model calls go to the gateway's lane, everything else to Django."""

import asyncio
import gc
import os
from typing import Any

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "newapi.settings.embedded")
django_application: Any = get_asgi_application()

# After Django is set up: these import models.
from newapi.gateway import engine, lane, urls  # noqa: E402

# A call makes some hundred objects and no cycles; the default of 700 would look for them several times a call.
GC_THRESHOLD = 50_000


async def application(scope: lane.Message, receive: lane.Receive, send: lane.Send) -> None:
    """One ASGI connection."""
    if scope["type"] == "lifespan":
        await _lifespan(receive, send)
    elif scope["type"] == "http" and scope["path"].startswith(urls.PREFIX):
        await lane.handle(scope, receive, send)
    else:
        await django_application(scope, receive, send)


async def _lifespan(receive: lane.Receive, send: lane.Send) -> None:
    """Start the engine with the worker and stop it with it; Django's own handler refuses this scope."""
    while True:
        message = await receive()
        if message["type"] == "lifespan.startup":
            await engine.started()
            # What lives as long as the process need not be looked at by every collection.
            gc.collect()
            gc.freeze()
            gc.set_threshold(GC_THRESHOLD, 20, 50)
            await send({"type": "lifespan.startup.complete"})
        else:
            await asyncio.shield(engine.stop())
            await send({"type": "lifespan.shutdown.complete"})
            return
