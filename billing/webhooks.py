"""Where payment providers tell us news: a plain view, which reads the body before anything else looks at it."""

import logging

from django.db import DatabaseError, InterfaceError
from django.http import HttpRequest, HttpResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_http_methods

from billing.models import PaymentProvider
from billing.payments.refusals import BadNews, NotConfigured
from billing.payments.registry import SEAMS
from billing.services import inbox
from newapi.kernel.secrets import SealBroken

log = logging.getLogger(__name__)

RETRY_AFTER_S = 60


@csrf_exempt
@never_cache
@require_http_methods(["GET", "POST"])
def receive(request: HttpRequest, provider: str) -> HttpResponse:
    """Answer 2xx once the news is committed, 400 to what is not signed right, 503 when we cannot keep or verify it.

    Who may send: whoever signs with the provider's webhook secret.
    """
    body = _body(request)
    if body is None:
        return _answer("too large", 413)
    try:
        found = PaymentProvider.objects.filter(slug=provider).first()
        if found is None:
            return _answer("unknown", 404)
        headers = {name.lower(): value for name, value in request.headers.items()}
        inbox.receive(provider=found, body=body, headers=headers)
    except BadNews as error:
        log.warning("news to %s refused: %s", provider, error)
        return _answer("refused", 400)
    except (NotConfigured, SealBroken):
        log.error("news to %s cannot be verified: its secret is missing or does not open", provider)
        return _later()
    except (DatabaseError, InterfaceError) as error:
        log.error("news to %s not kept: %s", provider, type(error).__name__)
        return _later()
    return _answer(SEAMS[found.protocol].answer, 200)


def _body(request: HttpRequest) -> bytes | None:
    """The body, of a GET its query string; None when it is too large."""
    if request.method == "GET":
        text = request.META.get("QUERY_STRING", "").encode()
        return text if len(text) <= inbox.BODY_BYTES_MAX else None
    try:
        announced = int(request.META.get("CONTENT_LENGTH") or 0)
    except ValueError:
        return None
    if announced > inbox.BODY_BYTES_MAX:
        return None
    body = request.read(inbox.BODY_BYTES_MAX + 1)
    return body if len(body) <= inbox.BODY_BYTES_MAX else None


def _later() -> HttpResponse:
    response = _answer("try again later", 503)
    response["Retry-After"] = str(RETRY_AFTER_S)
    return response


def _answer(text: str, status: int) -> HttpResponse:
    return HttpResponse(text, status=status, content_type="text/plain")
