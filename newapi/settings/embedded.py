"""One machine, nothing to install first: SQLite and a private Redis in `var/`, secrets made on the first start.

The default. `manage.py serve` starts every part of it.
"""

import base64
import hashlib
import json
import os
import secrets as randomness
import tempfile
from pathlib import Path

from newapi.settings import env
from newapi.settings.base import *  # noqa: F403
from newapi.settings.base import BASE_DIR

VAR_DIR = Path(env.text("VAR_DIR", example="/srv/newapi/var", default=str(BASE_DIR / "var"))).resolve()
VAR_DIR.mkdir(mode=0o700, parents=True, exist_ok=True)


def _own_secrets() -> dict[str, str]:
    """Return the secrets of this installation, making them (readable by the owner only) the first time."""
    path = VAR_DIR / "secrets.json"
    try:
        return json.loads(path.read_text())
    except FileNotFoundError:
        made = {
            "SECRET_KEY": randomness.token_urlsafe(48),
            "API_KEY_PEPPER": randomness.token_urlsafe(32),
            "FIELD_KEY": base64.b64encode(randomness.token_bytes(32)).decode(),
        }
        fd, draft = tempfile.mkstemp(dir=VAR_DIR)
        with os.fdopen(fd, "w") as file:
            json.dump(made, file)
        try:
            # A link fails when another process was first; then its secrets are the ones.
            os.link(draft, path)
        except FileExistsError:
            return json.loads(path.read_text())
        finally:
            os.unlink(draft)
        return made


def _socket_path() -> str:
    """A Unix socket address may have about 100 bytes; a deep folder gets a short stand-in."""
    path = VAR_DIR / "redis.sock"
    if len(os.fsencode(path)) <= 100:
        return str(path)
    digest = hashlib.sha256(os.fsencode(VAR_DIR)).hexdigest()[:16]
    folder = Path(tempfile.gettempdir()) / f"newapi-{os.getuid()}-{digest}"
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.stat().st_uid != os.getuid():
        raise PermissionError(f"{folder} belongs to someone else")
    return str(folder / "redis.sock")


_secrets = _own_secrets()
SECRET_KEY = _secrets["SECRET_KEY"]
API_KEY_PEPPER = _secrets["API_KEY_PEPPER"].encode()
FIELD_KEYS = {"embedded": base64.b64decode(_secrets["FIELD_KEY"])}

DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": VAR_DIR / "newapi.sqlite3",
        "CONN_MAX_AGE": 60,
        "OPTIONS": {
            # A deferred transaction that upgrades to a write fails at once, whatever the timeout.
            "transaction_mode": "IMMEDIATE",
            "timeout": 20,
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA foreign_keys=ON;",
        },
    }
}

EMBEDDED_REDIS_SOCKET = _socket_path()
# everysec: a power cut may lose the last second of holds and usage; always: nothing, at the price of a disk sync each.
EMBEDDED_REDIS_FSYNC = env.text("EMBEDDED_REDIS_FSYNC", example="always", default="everysec")
REDIS_URL = f"unix://{EMBEDDED_REDIS_SOCKET}?db=0"
CELERY_BROKER_URL = f"redis+socket://{EMBEDDED_REDIS_SOCKET}"
CACHES = {"default": {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": REDIS_URL}}

# The local mock provider and other servers on this machine are ordinary upstreams here.
GATEWAY_UPSTREAM_PRIVATE_ADDRESSES = env.flag("GATEWAY_UPSTREAM_PRIVATE_ADDRESSES", default=True)
