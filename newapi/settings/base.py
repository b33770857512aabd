"""What every size of the product shares. `embedded`, `distributed` and `testing` add the addresses and the secrets."""

from pathlib import Path
from typing import Any

from newapi.settings import env, mail_url
from newapi.settings.admin import UNFOLD  # noqa: F401

BASE_DIR = Path(__file__).resolve().parent.parent.parent

DEBUG = False
ROOT_URLCONF = "newapi.urls"
ASGI_APPLICATION = "newapi.asgi.application"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
AUTH_USER_MODEL = "accounts.User"
SITE_NAME = env.text("SITE_NAME", example="Acme AI", default="newapi")

INSTALLED_APPS = [
    "newapi.apps.NewapiConfig",
    "unfold",
    "unfold.contrib.filters",
    "unfold.contrib.forms",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.humanize",
    "rest_framework",
    "django_filters",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "allauth",
    "allauth.account",
    "allauth.mfa",
    "axes",
    "django_celery_beat",
    "accounts.apps.AccountsConfig",
    "channels.apps.ChannelsConfig",
    "billing.apps.BillingConfig",
    "moderation.apps.ModerationConfig",
]

# Only pages pass through here. Model calls enter through newapi/gateway/lane.py, ahead of all middleware.
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "servestatic.middleware.ServeStaticMiddleware",
    "newapi.middleware.ClientAddressMiddleware",
    "csp.middleware.CSPMiddleware",
    "newapi.middleware.AdminScriptsMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "axes.middleware.AxesMiddleware",
]

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "newapi.portal.context.site",
            ],
        },
    },
]

# Time and language
TIME_ZONE = "UTC"
USE_TZ = True
LANGUAGE_CODE = "en"

# Static files: served by the web workers themselves, with names that change with the content.
STATIC_URL = "/static/"
STATIC_ROOT = Path(env.text("STATIC_ROOT", example="/srv/newapi/static", default=str(BASE_DIR / "staticfiles")))
STATICFILES_DIRS = [BASE_DIR / "newapi" / "portal" / "static"]
# Where evidence of cases lies, sealed: one folder that every web and worker process sees, and no web server serves.
_var_dir = env.text("VAR_DIR", example="/srv/newapi/var", default=str(BASE_DIR / "var"))
EVIDENCE_DIR = Path(env.text("EVIDENCE_DIR", example="/srv/newapi/evidence", default=f"{_var_dir}/evidence"))


def evidence_storage(folder: Path) -> dict[str, Any]:
    """The storage for evidence in a folder, which only the product's own user may open."""
    options = {
        "location": folder,
        "base_url": None,
        "file_permissions_mode": 0o600,
        "directory_permissions_mode": 0o700,
    }
    return {"BACKEND": "django.core.files.storage.FileSystemStorage", "OPTIONS": options}


STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "evidence": evidence_storage(EVIDENCE_DIR),
    "staticfiles": {"BACKEND": "servestatic.storage.CompressedManifestStaticFilesStorage"},
}

# Who may log in, and how
AUTHENTICATION_BACKENDS = [
    "axes.backends.AxesStandaloneBackend",
    "django.contrib.auth.backends.ModelBackend",
    "allauth.account.auth_backends.AuthenticationBackend",
]
PASSWORD_HASHERS = [
    "django.contrib.auth.hashers.Argon2PasswordHasher",
    "django.contrib.auth.hashers.PBKDF2PasswordHasher",
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 10}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "django.contrib.auth.password_validation.NumericPasswordValidator"},
]
LOGIN_URL = "account_login"
LOGIN_REDIRECT_URL = "/"
LOGOUT_REDIRECT_URL = "/"
ACCOUNT_LOGIN_METHODS = {"email"}
ACCOUNT_SIGNUP_FIELDS = ["email*", "password1*", "password2*"]
ACCOUNT_USER_MODEL_USERNAME_FIELD = None
ACCOUNT_EMAIL_VERIFICATION = "none"
ACCOUNT_ADAPTER = "accounts.adapters.InviteOnlyAdapter"
ACCOUNT_PREVENT_ENUMERATION = True
# The organisation gave the address; nobody has to confirm it before a second factor can be set up.
MFA_ALLOW_UNVERIFIED_EMAIL = True
MFA_TOTP_ISSUER = SITE_NAME
ACCOUNT_RATE_LIMITS = {"login": "30/m/ip", "login_failed": "10/m/ip,5/5m/key"}
AXES_FAILURE_LIMIT = 10
AXES_COOLOFF_TIME = 0.25  # hours
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]
AXES_LOCKOUT_TEMPLATE = "429.html"
AXES_CLIENT_IP_CALLABLE = "newapi.middleware.client_address"
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
CSRF_COOKIE_SAMESITE = "Lax"
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"

# Mail, such as links that set a password
_mail = env.read("EMAIL_URL", mail_url.parse, example=mail_url.EXAMPLE, default=mail_url.CONSOLE)
EMAIL_BACKEND = _mail.backend
EMAIL_HOST, EMAIL_PORT = _mail.host, _mail.port
EMAIL_HOST_USER, EMAIL_HOST_PASSWORD = _mail.user, _mail.password
EMAIL_USE_TLS, EMAIL_USE_SSL = _mail.starts_tls, _mail.is_tls
EMAIL_TIMEOUT = 10
DEFAULT_FROM_EMAIL = SERVER_EMAIL = env.text("EMAIL_FROM", example="newapi@example.com", default="newapi@localhost")

# Who may stand in front of us. Only these peers are believed when they say X-Forwarded-For.
TRUSTED_PROXIES = env.listing("TRUSTED_PROXIES", example="10.0.0.0/8,127.0.0.1", default=[])
ALLOWED_HOSTS = env.listing("ALLOWED_HOSTS", example="ai.example.com", default=["127.0.0.1", "localhost", "[::1]"])
CSRF_TRUSTED_ORIGINS = env.listing("CSRF_TRUSTED_ORIGINS", example="https://ai.example.com", default=[])

# Files in MaxMind's format that say where addresses are; a comma between them. None: no country is known.
GEO_DATABASES = env.listing("GEO_DATABASES", example="/var/lib/geo/country.mmdb,/var/lib/geo/asn.mmdb", default=[])

# Behind a proxy that ends TLS: name the header by which it says so, such as X-Forwarded-Proto. Trust it only there.
for _name in env.listing("SECURE_PROXY_HEADER", example="X-Forwarded-Proto", default=[])[:1]:
    SECURE_PROXY_SSL_HEADER = (f"HTTP_{_name.upper().replace('-', '_')}", "https")

# Strict for the portal; newapi.middleware relaxes it for the admin, whose Alpine needs unsafe-eval.
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": ["'self'"],
        "img-src": ["'self'", "data:"],
        "style-src": ["'self'", "'unsafe-inline'"],
        "script-src": ["'self'"],
        "form-action": ["'self'"],
        "frame-ancestors": ["'none'"],
        "base-uri": ["'self'"],
    }
}

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["rest_framework.authentication.SessionAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["rest_framework.parsers.JSONParser"],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "EXCEPTION_HANDLER": "newapi.gateway.dialects.handle_exception",
}
SPECTACULAR_SETTINGS = {
    "TITLE": "newapi",
    "VERSION": "0.1.0",
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "REDOC_DIST": "SIDECAR",
}

# Celery: what must not be lost is a database row or a stream entry first, a task second.
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = True
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_TASK_TIME_LIMIT = 300
CELERY_TASK_SOFT_TIME_LIMIT = 240
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_TRANSPORT_OPTIONS = {
    "visibility_timeout": 600,
    "socket_timeout": 5,
    "socket_connect_timeout": 2,
}
CELERY_BEAT_SCHEDULER = "django_celery_beat.schedulers:DatabaseScheduler"
CELERY_TIMEZONE = "UTC"
CELERY_WORKER_HIJACK_ROOT_LOGGER = False

# The gateway. Each number is a limit, with its unit in its name.
GATEWAY_BODY_BYTES_MAX = env.number("GATEWAY_BODY_BYTES_MAX", example="10485760", default=10 * 2**20, least=1024)
GATEWAY_HOLD_DEADLINE_S = env.number("GATEWAY_HOLD_DEADLINE_S", example="60", default=60, least=5, most=3600)
GATEWAY_ATTEMPTS_MAX = env.number("GATEWAY_ATTEMPTS_MAX", example="4", default=4, least=1, most=20)
GATEWAY_UNPOSTED_EVENTS_MAX = env.number(
    "GATEWAY_UNPOSTED_EVENTS_MAX", example="1000000", default=1_000_000, least=1000
)
# After so many seconds of silence a running stream gets an SSE comment, so that proxies do not cut it.
GATEWAY_KEEPALIVE_S = env.number("GATEWAY_KEEPALIVE_S", example="15", default=15, least=1, most=300)
# Whether a channel needs approved authorisation evidence before calls go to it.
CHANNEL_EVIDENCE_REQUIRED = env.flag("CHANNEL_EVIDENCE_REQUIRED", default=True)
GATEWAY_UPSTREAM_PRIVATE_ADDRESSES = env.flag("GATEWAY_UPSTREAM_PRIVATE_ADDRESSES", default=False)
DATA_UPLOAD_MAX_MEMORY_SIZE = 2_621_440
DATA_UPLOAD_MAX_NUMBER_FIELDS = 2000

# Money in. Internal: nobody buys; redemption codes and operators bring money in.
TOP_UPS_INTERNAL = env.flag("TOP_UPS_INTERNAL", default=False)
# More orders of an organisation within an hour, or more than so many times the provider's largest top-up within a
# day, wait for a person.
TOP_UPS_AN_HOUR = env.number("TOP_UPS_AN_HOUR", example="5", default=5, least=1, most=1000)
TOP_UPS_A_DAY = env.number("TOP_UPS_A_DAY", example="3", default=3, least=1, most=1000)
# What people book by hand above so many whole units of a wallet's currency waits for a second person. 0: all of it.
ADJUSTMENT_SECOND_PERSON_ABOVE = env.number(
    "ADJUSTMENT_SECOND_PERSON_ABOVE", example="1000", default=1000, most=1_000_000_000
)

# Prices are published ahead of their effect; an unpriced model is refused.
DEFAULT_CURRENCY = env.text("DEFAULT_CURRENCY", example="USD", default="USD")
# A price that makes something dearer holds no earlier than so many days after it was published.
PRICE_NOTICE_DAYS = env.number("PRICE_NOTICE_DAYS", example="14", default=14, least=0, most=365)

# Case work
CASE_CALENDAR_COUNTRY = env.text("CASE_CALENDAR_COUNTRY", example="DE", default="US")
CASE_CALENDAR_TIME_ZONE = env.text("CASE_CALENDAR_TIME_ZONE", example="Europe/Berlin", default="UTC")
ABUSE_CONTACT = env.text("ABUSE_CONTACT", example="abuse@example.com", default="abuse@localhost")
# Whether organisations may have their notices posted to addresses inside the network. Never where customers do.
NOTICE_WEBHOOK_PRIVATE_ADDRESSES = env.flag("NOTICE_WEBHOOK_PRIVATE_ADDRESSES", default=False)

SILENCED_SYSTEM_CHECKS = [
    # Django's own RedisCache increments atomically, which is what django-ratelimit asks for.
    "django_ratelimit.W001",
]

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "%(asctime)s %(levelname)s %(name)s %(message)s"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["console"], "level": env.text("LOG_LEVEL", example="INFO", default="WARNING")},
}
