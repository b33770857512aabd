"""Which verdicts of the gateway mean what to the detectors. The words are wire codes of newapi.kernel.errors.

How a caller presents itself is not among them: a script's user agent, or no browser, says nothing (GW-34).
"""

SERVED = frozenset({"ok", "left"})
RATE_REFUSED = "rate_limit_exceeded"
UNKNOWN_KEY = "invalid_api_key"
# The caller was told that this way is closed to it. Trying again and again is trying to get past.
BLOCKED = frozenset({
    "restricted",
    "blocked",
    "model_not_allowed",
    "address_not_allowed",
    "approval_required",
    "adult_not_approved",
    "domain_not_approved",
    "country_sanctioned",
    "export_restricted",
    # Of a key that we know: revoked or expired.
    UNKNOWN_KEY,
})  # fmt: skip
# What no well-behaved client sends in bursts.
MALFORMED = frozenset({"invalid_request", "body_too_large"})
