"""The usage event on its way from the gateway to the database: JSON in the stream, one field a column.

The gateway and the sweeper write it, the poster reads it. Columns are those of billing.models.UsageEvent.
"""

import uuid
from dataclasses import dataclass
from typing import Any

import orjson

from billing.pricing import Costs, Tokens


@dataclass
class UsageRecord:
    """Ids are primary keys; times are ms since the epoch; money is nano of `currency`.

    Without slots, because orjson writes an instance's dictionary four times faster.
    """

    # The gateway writes it as text; what `decode` returns has a UUID.
    id: uuid.UUID | str
    at_ms: int
    organisation: int
    project: int
    user: int
    api_key: int
    model: int
    channel: int | None
    upstream_key: int | None
    price: int
    currency: str
    endpoint: str
    is_stream: bool
    status: int
    outcome: str
    attempts: int
    usage_source: str
    tokens: Tokens
    costs: Costs
    latency_ms: int
    first_byte_ms: int | None
    upstream_id: str
    client_address: str | None
    # What follows has defaults, because a worker of an earlier version leaves it out.
    country: str = ""
    modality: str = "text"
    source: str = "api"
    domain: str = ""
    is_test: bool = False
    asked_model: int | None = None
    # The attempts before the last: {"channel": id, "key": id, "status": int | None, "outcome": str, "ms": int}.
    failed_attempts: list[dict[str, Any]] | None = None
    # The purse that the call's hold was taken from; None: the wallet's general money.
    purse: int | None = None
    # The place whose price applied (empty: any), how the place was known, and the tier that the provider served.
    region: str = ""
    price_basis: str = "default"
    service_tier: str = ""

    def encode(self) -> bytes:
        """The record as JSON."""
        return orjson.dumps(self)


def decode(raw: bytes) -> UsageRecord:
    """Read what `encode` wrote. Raises ValueError, TypeError or KeyError when it is something else."""
    fields = orjson.loads(raw)
    fields["id"] = uuid.UUID(fields["id"])
    fields["tokens"] = Tokens(**fields["tokens"])
    fields["costs"] = Costs(**fields["costs"])
    return UsageRecord(**fields)
