"""Addresses of mail servers, as Django wants them."""

from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

EXAMPLE = "smtp+tls://user:password@mail.example.com:587"
# smtp: as it is; smtp+tls: encrypted once connected; smtps: encrypted from the start.
PORTS = {"smtp": 25, "smtp+tls": 587, "smtps": 465}


@dataclass(frozen=True, slots=True, repr=False)
class Mail:
    """Where mail goes."""

    backend: str
    host: str = ""
    port: int = 0
    user: str = ""
    password: str = ""
    starts_tls: bool = False
    is_tls: bool = False


# Into the terminal, for one machine without a mail server.
CONSOLE = Mail("django.core.mail.backends.console.EmailBackend")


def parse(url: str) -> Mail:
    """Read smtp://, smtp+tls:// or smtps:// with an optional user, password and port. Raises ValueError."""
    parts = urlsplit(url)
    if parts.scheme not in PORTS or not parts.hostname:
        raise ValueError(f"must start with {', '.join(f'{scheme}://' for scheme in PORTS)} and name a host")
    return Mail(
        backend="django.core.mail.backends.smtp.EmailBackend",
        host=parts.hostname,
        port=parts.port or PORTS[parts.scheme],
        user=unquote(parts.username or ""),
        password=unquote(parts.password or ""),
        starts_tls=parts.scheme == "smtp+tls",
        is_tls=parts.scheme == "smtps",
    )
