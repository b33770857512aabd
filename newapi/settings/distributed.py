"""Many machines: PostgreSQL and Redis by address, secrets from the environment. Refuses to start half-configured."""

from newapi.settings import env, mail_url
from newapi.settings.base import *  # noqa: F403
from newapi.settings.database_url import postgresql

DATABASES = {
    "default": env.read("DATABASE_URL", postgresql, example="postgresql://newapi:secret@db.internal:5432/newapi")
}
REDIS_URL = env.text("REDIS_URL", example="redis://redis.internal:6379/0")
CELERY_BROKER_URL = env.text("CELERY_BROKER_URL", example="redis://redis.internal:6379/1", default=REDIS_URL)
CACHES = {"default": {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": REDIS_URL}}

SECRET_KEY = env.text("SECRET_KEY", example="at-least-50-random-characters")
API_KEY_PEPPER = env.text("API_KEY_PEPPER", example="at-least-32-random-characters").encode()
FIELD_KEYS = env.keyring("FIELD_KEYS")

# The base settings print mail without it, and what a server prints is kept in logs: links that set passwords too.
env.read("EMAIL_URL", mail_url.parse, example=mail_url.EXAMPLE)

SECURE_SSL_REDIRECT = env.flag("SECURE_SSL_REDIRECT", default=False)
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = env.flag("COOKIES_SECURE", default=True)
