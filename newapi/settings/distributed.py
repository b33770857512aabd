"""Many machines: PostgreSQL and Redis by address, secrets from the environment. Refuses to start half-configured."""

from urllib.parse import unquote, urlsplit

from newapi.settings import env
from newapi.settings.base import *  # noqa: F403


def postgresql(url: str) -> dict[str, object]:
    """Turn postgresql://user:password@host:port/name into Django's DATABASES entry."""
    parts = urlsplit(url)
    if parts.scheme not in ("postgres", "postgresql") or not parts.path.strip("/"):
        raise ValueError("must be a postgresql:// address with a database name")
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": parts.path.lstrip("/"),
        "USER": unquote(parts.username or ""),
        "PASSWORD": unquote(parts.password or ""),
        "HOST": unquote(parts.hostname or ""),
        "PORT": str(parts.port or ""),
        "CONN_HEALTH_CHECKS": True,
        "CONN_MAX_AGE": 60,
        "OPTIONS": {"connect_timeout": 2},
    }


DATABASES = {"default": env.read("DATABASE_URL", postgresql, example="postgresql://newapi:secret@db.internal:5432/newapi")}
REDIS_URL = env.text("REDIS_URL", example="redis://redis.internal:6379/0")
CELERY_BROKER_URL = env.text("CELERY_BROKER_URL", example="redis://redis.internal:6379/1", default=REDIS_URL)
CACHES = {"default": {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": REDIS_URL}}

SECRET_KEY = env.text("SECRET_KEY", example="at-least-50-random-characters")
API_KEY_PEPPER = env.text("API_KEY_PEPPER", example="at-least-32-random-characters").encode()
FIELD_KEYS = env.keyring("FIELD_KEYS")

SECURE_SSL_REDIRECT = env.flag("SECURE_SSL_REDIRECT", default=False)
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = env.flag("COOKIES_SECURE", default=True)
