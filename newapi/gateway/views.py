"""The views of model calls. Each is a table of contents: parse, admit, relay."""

from typing import Any, ClassVar

import orjson
from asgiref.sync import markcoroutinefunction
from django.conf import settings
from django.http import HttpRequest
from redis.exceptions import RedisError
from rest_framework.authentication import BaseAuthentication
from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.views import APIView

from newapi.gateway import admission, engine, metrics, parsing, policy
from newapi.gateway.auth import HasPassport, KeyAuthentication, presented_key
from newapi.gateway.catalogue import ModelEntry
from newapi.gateway.engine import Engine
from newapi.gateway.parsing import Call
from newapi.gateway.policy import Origin
from newapi.gateway.relay import Relay
from newapi.gateway.responses import CallResponse
from newapi.gateway.streaming import EventStreamResponse
from newapi.gateway.ticket import Caller
from newapi.gateway.uses import shown
from newapi.kernel import clock, errors, ids, places, secrets
from newapi.middleware import client_address

Answer = CallResponse | EventStreamResponse


class CallView(APIView):
    """DRF's view with an async dispatch of its own: no thread hop, no content negotiation, no I/O in its classes."""

    authentication_classes = [KeyAuthentication]
    permission_classes = [HasPassport]
    endpoint: ClassVar[str] = ""
    # They hold no state, so one of each serves all calls.
    authenticator: ClassVar[KeyAuthentication] = KeyAuthentication()
    permissions: ClassVar[list[BasePermission]] = [HasPassport()]

    @classmethod
    def as_view(cls, **initkwargs: Any) -> Any:
        """An async view, exempt from CSRF because keys are no cookies."""

        async def view(request: HttpRequest, *args: Any, **kwargs: Any) -> Answer:
            self = cls(**initkwargs)
            self.setup(request, *args, **kwargs)
            return await self.dispatch(request, *args, **kwargs)

        view.cls = cls  # type: ignore[attr-defined]
        view.csrf_exempt = True  # type: ignore[attr-defined]
        markcoroutinefunction(view)
        return view

    async def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Answer:  # type: ignore[override]
        """Authenticate, check, answer; every failure becomes the dialect's envelope, every answer has its id."""
        request_id = ids.uuid7_text()
        started_ms = clock.now_ms()
        self.request = drf_request = Request(request)
        self.headers = {}
        try:
            if request.method not in self.methods:
                refusal = errors.MethodNotAllowed(f"{request.method} is not possible here.")
                refusal.headers = [(b"allow", ", ".join(sorted(self.methods)))]
                raise refusal
            self.engine = engine.running() or await engine.started()
            raw_key = presented_key(request.META)
            passport = await self.engine.passport_of(raw_key)
            self.caller = Caller(raw_key, passport, _origin(request), request_id, started_ms)
            request.caller = self.caller  # type: ignore[attr-defined]
            # What DRF would do at the first look at `request.auth`, without its guards against broken classes.
            if (found := self.authenticator.authenticate(drf_request)) is not None:
                drf_request.auth = found[1]
            self.check_permissions(drf_request)
            response = await self.answer(request, *args, **kwargs)
        except (RedisError, OSError) as error:
            metrics.dependency_down("redis", type(error).__name__)
            response = self.handle_exception(
                errors.Unavailable("The service is temporarily unavailable.", retry_after_s=2)
            )
        except Exception as error:
            response = self.handle_exception(error)
            self.tell_refusal(error)
        response.put(b"x-request-id", request_id)
        metrics.answered(self.endpoint, response.status_code, clock.now_ms() - started_ms)
        return response

    def get_permissions(self) -> list[BasePermission]:
        """Those of the class, made once."""
        return self.permissions

    def get_authenticators(self) -> list[BaseAuthentication]:
        """The same; asked for the challenge of a 401."""
        return [self.authenticator]

    def handle_exception(self, exc: Exception) -> Any:
        """A CallResponse in the dialect of the path: newapi.gateway.dialects makes it."""
        return super().handle_exception(exc)

    methods: ClassVar[frozenset[str]] = frozenset({"POST"})
    engine: Engine
    caller: Caller | None = None
    call: Call | None = None
    # From then on the relay tells what becomes of the call.
    is_admitted = False

    async def answer(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Answer:
        """Parse, admit, relay."""
        assert self.caller is not None
        if len(request.body) > settings.GATEWAY_BODY_BYTES_MAX:
            raise errors.BodyTooLarge(too_large())
        self.call = self.parse(request.body)
        ticket = await admission.admit(self.engine, self.caller, self.call)
        self.is_admitted = True
        return await Relay(self.engine, ticket).run()

    def tell_refusal(self, error: Exception) -> None:
        """Let the detectors know of a caller who was refused."""
        if isinstance(error, errors.CallError) and self.caller is not None and not self.is_admitted:
            self.engine.witness.saw_refusal(self.caller, self.call, error)

    def parse(self, raw: bytes) -> Call:
        """From bytes to a call. Raises InvalidRequest."""
        raise errors.RouteNotFound("There is nothing at this address.")


class ChatCompletions(CallView):
    """POST /v1/chat/completions"""

    endpoint = "chat.completions"

    def parse(self, raw: bytes) -> Call:
        """A chat call."""
        return parsing.chat(raw)


class Embeddings(CallView):
    """POST /v1/embeddings"""

    endpoint = "embeddings"

    def parse(self, raw: bytes) -> Call:
        """An embeddings call."""
        return parsing.embeddings(raw)


class Models(CallView):
    """GET /v1/models and /v1/models/{id}: what this key can call now."""

    endpoint = "models"
    methods = frozenset({"GET", "HEAD"})

    async def answer(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Answer:
        """The list, or one model of it. Raises ModelNotFound."""
        caller = self.caller
        assert caller is not None
        catalogue = await admission.confirm(self.engine, caller)
        found = policy.callable_models(caller.passport, catalogue, caller.origin.place, now_ms=caller.started_ms)
        name = kwargs.get("name")
        if name is None:
            return _json({"object": "list", "data": [_shape(called, entry) for called, entry in found]})
        for called, entry in found:
            if called == name:
                return _json(_shape(called, entry))
        raise errors.ModelNotFound(f"The model '{shown(name)}' does not exist here.", param="model")


class Nothing(CallView):
    """Any other path below /v1/: a 404 in the dialect, whoever asks."""

    endpoint = "unknown"

    async def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Answer:  # type: ignore[override]
        """The 404."""
        self.request, self.headers = Request(request), {}
        response = self.handle_exception(errors.RouteNotFound(f"There is nothing at {shown(request.path)}."))
        response.put(b"x-request-id", ids.uuid7_text())
        return response


def tell_of_unread(request: HttpRequest, error: errors.CallError) -> None:
    """Let the detectors know of a request whose body was refused unread (GW-31), if this worker knows its key."""
    running = engine.running()
    try:
        raw_key = presented_key(request.META)
    except errors.InvalidKey:
        return
    passport = running.passports.cached(secrets.digest(raw_key)) if running else None
    if running is not None and passport is not None:
        caller = Caller(raw_key, passport, _origin(request), ids.uuid7_text(), clock.now_ms())
        running.witness.saw_refusal(caller, None, error)


def too_large() -> str:
    """What a caller with too large a body is told."""
    return f"The request body is larger than {settings.GATEWAY_BODY_BYTES_MAX:,} bytes."


def _origin(request: HttpRequest) -> Origin:
    address = client_address(request)
    return Origin(address, places.of(address), request.META.get("HTTP_USER_AGENT", ""))


def _shape(name: str, entry: ModelEntry) -> dict[str, Any]:
    return {
        "id": name,
        "object": "model",
        "created": entry.created_s,
        "owned_by": entry.owned_by or "newapi",
    }


def _json(body: dict[str, Any]) -> CallResponse:
    return CallResponse(orjson.dumps(body), content_type="application/json")
