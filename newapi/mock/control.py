"""`/_mock/…`: how a test looks into the mock provider and changes it as a whole."""

from typing import Any
from urllib.parse import parse_qs

import orjson

from newapi.mock.knobs import PARSERS, PLAIN, Knobs, UnknownKnob, apply
from newapi.mock.recorder import Recorder
from newapi.mock.wire import Message, Receive, Send, read_body

JSON_HEADERS = (b"content-type", b"application/json")


class Control:
    """Answers the control paths, and keeps the knobs turned for all requests, or for all of one upstream key.

    - `GET /_mock` lists the knobs; `GET|DELETE /_mock/requests`; `GET /_mock/stats`.
    - `GET|PUT|DELETE /_mock/defaults[?key=KEY]`: the body of PUT replaces the defaults, as `{"status": 503}`.
    """

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._wanted: dict[str | None, dict[str, object]] = {}
        self._knobs: dict[str | None, Knobs] = {}

    def knobs_for(self, key: str) -> Knobs:
        """Return the defaults for an upstream key."""
        if not self._knobs:
            return PLAIN
        return self._knobs.get(key) or self._knobs.get(None, PLAIN)

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer one control request."""
        status, answer = self._answer(scope, await read_body(receive))
        body = orjson.dumps(answer)
        headers = [JSON_HEADERS, (b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    def _answer(self, scope: Message, body: bytes) -> tuple[int, Any]:
        method, name = scope["method"], scope["path"].removeprefix("/_mock").strip("/")
        if (method, name) == ("GET", ""):
            return 200, {"knobs": list(PARSERS), "defaults": self._wanted.get(None, {})}
        if (method, name) == ("GET", "requests"):
            return 200, self._recorder.requests()
        if (method, name) == ("DELETE", "requests"):
            self._recorder.clear()
            return 200, {"cleared": True}
        if (method, name) == ("GET", "stats"):
            return 200, self._recorder.stats()
        if name == "defaults":
            key = parse_qs(scope["query_string"].decode("latin-1")).get("key", [None])[0]
            return self._defaults(method, key, body)
        return 404, {"error": f"there is no {method} {scope['path']}"}

    def _defaults(self, method: str, key: str | None, body: bytes) -> tuple[int, Any]:
        if method == "PUT":
            try:
                wanted = orjson.loads(body)
                if not isinstance(wanted, dict):
                    raise UnknownKnob("the body must be an object of knobs")
                self._knobs[key] = apply(PLAIN, wanted)
            except ValueError as error:
                return 400, {"error": str(error)}
            self._wanted[key] = wanted
        elif method == "DELETE" and key is None:
            self._wanted.clear()
            self._knobs.clear()
        elif method == "DELETE":
            self._wanted.pop(key, None)
            self._knobs.pop(key, None)
        elif method != "GET":
            return 405, {"error": "GET, PUT or DELETE"}
        return 200, self._wanted.get(key, {})
