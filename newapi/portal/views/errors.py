"""What people see when something broke: an outage is told apart from a mistake of ours."""

import sys
from smtplib import SMTPException
from socket import gaierror

from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string
from redis.exceptions import RedisError

# Redis, the database, and the mail server.
OUTAGES = (RedisError, OperationalError, InterfaceError, SMTPException, ConnectionError, TimeoutError, gaierror)
RETRY_AFTER_S = 30


def broken(request: HttpRequest) -> HttpResponse:
    """Django's handler of uncaught errors: 503 while a part that is needed is out of reach, else 500.

    The page is rendered without request and context, because what they need may be what is broken.
    """
    if isinstance(sys.exc_info()[1], OUTAGES):
        response = HttpResponse(render_to_string("503.html"), status=503)
        response["Retry-After"] = str(RETRY_AFTER_S)
        return response
    return HttpResponse(render_to_string("500.html"), status=500)
