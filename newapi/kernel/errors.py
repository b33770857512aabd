"""What can go wrong with a call, as types with a wire code. newapi.gateway.dialects turns them into bodies.

`message` is for the caller and never carries a secret. `details` are extra members of the error object.
"""

from collections.abc import Mapping
from typing import Any


class CallError(Exception):
    """Base of every answer that is not the upstream's. Subclasses fix status, code and type."""

    status = 500
    code = "internal_error"
    type = "api_error"

    def __init__(
        self,
        message: str,
        *,
        param: str | None = None,
        retry_after_s: int | None = None,
        details: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        self.retry_after_s = retry_after_s
        self.details = dict(details or {})
        # x-ratelimit-* headers, when the meters were asked.
        self.headers: list[tuple[bytes, str]] = []


class InvalidRequest(CallError):
    status, code, type = 400, "invalid_request", "invalid_request_error"


class InvalidKey(CallError):
    """Unknown, malformed, expired and revoked keys share one answer (GW-01)."""

    status, code, type = 401, "invalid_api_key", "authentication_error"

    def __init__(self) -> None:
        super().__init__("The API key is missing or not valid. Send it as: Authorization: Bearer na-…")


class InsufficientFunds(CallError):
    status, code, type = 402, "insufficient_quota", "insufficient_quota"


class BudgetExceeded(CallError):
    status, code, type = 402, "budget_exceeded", "insufficient_quota"


class Forbidden(CallError):
    status, code, type = 403, "forbidden", "permission_error"


class ModelNotAllowed(Forbidden):
    code = "model_not_allowed"


class AddressNotAllowed(Forbidden):
    code = "address_not_allowed"


class Restricted(Forbidden):
    """A decision of moderation. details: policy_code, case, until, appeal_url."""

    code = "restricted"


class Blocked(Forbidden):
    """An entry of a blocklist. details: policy_code."""

    code = "blocked"


class CountrySanctioned(Blocked):
    code = "country_sanctioned"


class ExportRestricted(Forbidden):
    """The model, or every way to it, may not be used where the caller is."""

    code = "export_restricted"


class UpstreamTermsForbid(Forbidden):
    """Every way to the model leads to a provider whose terms do not allow this use (CHN-10)."""

    code = "upstream_terms"


class ApprovalRequired(Forbidden):
    """A restricted use without an approval. details: policy_code."""

    code = "approval_required"


class AdultNotApproved(ApprovalRequired):
    code = "adult_not_approved"


class DomainNotApproved(ApprovalRequired):
    code = "domain_not_approved"


class JailbreakRefused(Forbidden):
    """A detector in block mode knows a phrase of the request. details: policy_code.

    `rules`: ids of the rules whose phrases were found, for the detectors and not for the caller.
    """

    code = "policy_jailbreak"
    rules: tuple[int, ...] = ()


class StreamTooLong(CallError):
    """Only ever said inside a stream: it has run for as long as the caller's limits allow."""

    status, code, type = 403, "stream_too_long", "permission_error"


class ModelNotFound(CallError):
    status, code, type = 404, "model_not_found", "invalid_request_error"


class RouteNotFound(CallError):
    status, code, type = 404, "route_not_found", "invalid_request_error"


class MethodNotAllowed(CallError):
    status, code, type = 405, "method_not_allowed", "invalid_request_error"


class BodyTooLarge(CallError):
    status, code, type = 413, "body_too_large", "invalid_request_error"


class HeadTooLarge(CallError):
    status, code, type = 431, "headers_too_large", "invalid_request_error"


class TooManyOutputTokens(CallError):
    """max_tokens is more than a limit of the caller allows."""

    status, code, type = 413, "max_tokens_exceeded", "invalid_request_error"


class ModelRetired(CallError):
    """details: retired_at, replacement."""

    status, code, type = 410, "model_retired", "invalid_request_error"


class RateLimited(CallError):
    status, code, type = 429, "rate_limit_exceeded", "rate_limit_error"


class UpstreamFailed(CallError):
    status, code, type = 502, "upstream_error", "upstream_error"


class Unavailable(CallError):
    """A part of ours is down. Never 401 for an outage."""

    status, code, type = 503, "unavailable", "api_error"


class UpstreamBusy(CallError):
    """Every upstream that could serve the call is out of quota or switched off for now."""

    status, code, type = 503, "upstream_unavailable", "upstream_error"


class UpstreamTimeout(CallError):
    status, code, type = 504, "upstream_timeout", "upstream_error"
