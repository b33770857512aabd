"""What providers send, as pages may show it: without what could be used, and without who paid."""

import re
from typing import Any

MASK = "•••"
DEPTH_MAX = 12
TEXT_LENGTH_MAX = 500
# Whole words between underscores, so that `signature` is one and `design` is none.
_SECRET = re.compile(
    r"(^|_)(secret|sign|signature|key|token|password|fingerprint|email|phone|address|url|name|buyer|ip)(_|$)", re.I
)


def shown(payload: Any, *, depth: int = 0) -> Any:
    """The same, with secrets, signatures and personal data masked, and nothing endless in it."""
    if depth > DEPTH_MAX:
        return "…"
    if isinstance(payload, dict):
        return {
            name: MASK if value and _SECRET.search(str(name)) else shown(value, depth=depth + 1)
            for name, value in payload.items()
        }
    if isinstance(payload, list):
        return [shown(value, depth=depth + 1) for value in payload]
    if isinstance(payload, str) and len(payload) > TEXT_LENGTH_MAX:
        return f"{payload[:TEXT_LENGTH_MAX]}…"
    return payload
