"""How an error reads in the dialect of the path that was called. One envelope on every status."""

import logging
from collections.abc import Callable, Mapping
from typing import Any

import orjson
from django.conf import settings
from django.core.exceptions import RequestDataTooBig
from django.http import Http404
from rest_framework import exceptions

from newapi.gateway.responses import CallResponse
from newapi.kernel import errors

log = logging.getLogger(__name__)

# The page of this site that says what each policy code means (GW-38).
POLICY_PATH = "/policy"


def openai_error(error: errors.CallError) -> bytes:
    """`{"error": {"message", "type", "param", "code"}}`, with the details beside them."""
    body = {
        "message": error.message,
        "type": error.type,
        "param": error.param,
        "code": error.code,
        **error.details,
    }
    if code := error.details.get("policy_code"):
        body["help"] = f"{POLICY_PATH}#{code}"
        # Where abuse is reported, and what was refused wrongly can be told (MOD-12).
        body["contact"] = f"mailto:{settings.ABUSE_CONTACT}"
    return orjson.dumps({"error": body})


BODIES: Mapping[str, Callable[[errors.CallError], bytes]] = {"openai": openai_error}


def response_of(error: errors.CallError, *, dialect: str = "openai") -> CallResponse:
    """The error as a response, with Retry-After where it has one."""
    response = CallResponse(BODIES[dialect](error), status=error.status, content_type="application/json")
    if error.retry_after_s is not None:
        response.put(b"retry-after", str(max(1, error.retry_after_s)))
    for name, value in error.headers:
        response.put(name, value)
    return response


def handle_exception(exc: Exception, context: Mapping[str, Any]) -> CallResponse:
    """DRF's exception handler for every API of the project. Nothing of the request reaches the log."""
    error = as_call_error(exc)
    if error.status >= 500 and not isinstance(exc, errors.CallError):
        log.error("unexpected %s while serving %s", type(exc).__name__, context["request"].path, exc_info=exc)
    return response_of(error)


def as_call_error(exc: Exception) -> errors.CallError:
    """Turn what Django and DRF raise into our own types; the unforeseen becomes a plain 500."""
    match exc:
        case errors.CallError():
            return exc
        case exceptions.MethodNotAllowed():
            return errors.MethodNotAllowed(str(exc.detail))
        case exceptions.NotAuthenticated() | exceptions.AuthenticationFailed():
            return errors.InvalidKey()
        case exceptions.PermissionDenied():
            return errors.Forbidden(str(exc.detail))
        case exceptions.NotFound() | Http404():
            return errors.RouteNotFound("There is nothing at this address.")
        case RequestDataTooBig():
            return errors.BodyTooLarge("The request body is too large.")
        case exceptions.APIException():
            return errors.InvalidRequest(str(exc.detail))
        case _:
            return errors.CallError("Something went wrong on our side. The request id helps us to find it.")
