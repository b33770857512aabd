"""The admin of people, organisations, keys, notices, and the record of who did what."""

from accounts.admin import api_keys, audit, logins, notices, organisations, people, retention

__all__ = ["api_keys", "audit", "logins", "notices", "organisations", "people", "retention"]
