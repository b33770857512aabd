"""For tests inside the test process: a throw-away folder, a private Redis, SQLite or the PostgreSQL that is named.

Tests that start processes of their own give them `embedded` or `distributed` instead.
"""

import atexit
import shutil
import tempfile
from pathlib import Path

from newapi.settings import env
from newapi.settings.base import *  # noqa: F403
from newapi.settings.base import evidence_storage
from newapi.settings.database_url import postgresql

TEST_DIR = Path(tempfile.mkdtemp(prefix="newapi-test-"))
atexit.register(shutil.rmtree, TEST_DIR, ignore_errors=True)

SECRET_KEY = "testing-only-" + "x" * 50
API_KEY_PEPPER = b"testing-only-pepper-of-some-length"
FIELD_KEYS = {"test": b"0" * 32}

SQLITE = {
    "ENGINE": "django.db.backends.sqlite3",
    "NAME": TEST_DIR / "db.sqlite3",
    "OPTIONS": {
        "transaction_mode": "IMMEDIATE",
        "timeout": 20,
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=OFF; PRAGMA foreign_keys=ON;",
    },
    # A file, because threads and processes must see the same database.
    "TEST": {"NAME": TEST_DIR / "test.sqlite3"},
}
DATABASES = {
    "default": env.read(
        "TEST_DATABASE_URL",
        postgresql,
        example="postgresql://postgres@127.0.0.1:5433/postgres",
        default=SQLITE,
    )
}
# Each reading opens its own connection, so that a test can take the database away.
DATABASES["default"]["CONN_MAX_AGE"] = 0

EMBEDDED_REDIS_SOCKET = str(TEST_DIR / "redis.sock")
REDIS_URL = f"unix://{EMBEDDED_REDIS_SOCKET}?db=0"
CELERY_BROKER_URL = f"redis+socket://{EMBEDDED_REDIS_SOCKET}"
CACHES = {"default": {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": REDIS_URL}}

PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
ALLOWED_HOSTS = ["*"]
GATEWAY_UPSTREAM_PRIVATE_ADDRESSES = True
EVIDENCE_DIR = TEST_DIR / "evidence"
STORAGES = {
    "evidence": evidence_storage(EVIDENCE_DIR),
    "default": {"BACKEND": "django.core.files.storage.InMemoryStorage"},
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
}
# From where they are written, so that nothing has to be collected first.
SERVESTATIC_USE_FINDERS = True
EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
