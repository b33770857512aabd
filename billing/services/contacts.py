"""E-mail addresses and phone numbers of the invited: one spelling each, and a hint. Pure functions.

Ways to write one address that reach the same mailbox count as one: capitals, a tag after a plus sign, a domain in
its own script. Dots stay, because at most providers they tell people apart.
"""

import re

from django.core.exceptions import ValidationError
from django.core.validators import validate_email

EMAIL_LENGTH_MAX = 254
HINT_LENGTH_MAX = 80
_PUNCTUATION = re.compile(r"[\s()./-]+")
# E.164: a country code, which never begins with a zero, and at most fifteen digits in all.
_NUMBER = re.compile(r"[1-9][0-9]{7,14}")


def normal_email(text: str) -> str:
    """The one spelling of an address: `Ada+news@Exämple.com` → `ada@xn--exmple-cua.com`. Raises ValidationError."""
    wrong = ValidationError({"email": "This is no e-mail address."})
    local, at, domain = text.strip().lower().rpartition("@")
    # What stands before a tag; an address that begins with a plus sign has none.
    local = local[:1] + local[1:].partition("+")[0]
    try:
        normal = f"{local}{at}{domain.encode('idna').decode()}"
        validate_email(normal)
    except (UnicodeError, ValidationError):
        raise wrong from None
    if len(normal) > EMAIL_LENGTH_MAX:
        raise wrong
    return normal


def normal_phone(text: str) -> str:
    """The digits of a number with its country code: `+49 (170) 123 45 67` → `491701234567`; empty for a blank text.

    Raises ValidationError.
    """
    if not text.strip():
        return ""
    number = _PUNCTUATION.sub("", text)
    digits = number.removeprefix("+") if number.startswith("+") else number.removeprefix("00")
    if not (digits.isascii() and _NUMBER.fullmatch(digits)):
        raise ValidationError({"phone": "Write the number with its country code, such as +49 170 1234567."})
    return digits


def hint(normal: str) -> str:
    """Enough of a normalised address to recognise it: `ada@example.com` → `a…@example.com`."""
    local, _, domain = normal.rpartition("@")
    return f"{local[:1]}…@{domain}"[:HINT_LENGTH_MAX]
