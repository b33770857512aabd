"""A call on its way: who makes it, what it was allowed, what it will be charged."""

from dataclasses import dataclass, replace
from typing import Any

from billing.pricing import Costs, Rates, Tokens, price
from billing.rates import NEVER_DEARER
from billing.usage_record import UsageRecord
from newapi.gateway.limits import Rules
from newapi.gateway.parsing import Call
from newapi.gateway.passports import Passport
from newapi.gateway.policy import Origin, Permit, price_basis
from newapi.gateway.settlement import OpenHold
from newapi.kernel import clock


@dataclass(slots=True)
class Caller:
    """Who calls, and when: known before the body is looked at."""

    raw_key: str
    passport: Passport
    origin: Origin
    # A UUIDv7 as text, which the caller sees in x-request-id.
    request_id: str
    started_ms: int


@dataclass(slots=True)
class Ticket:
    """An admitted call."""

    caller: Caller
    call: Call
    # What was allowed; after a fallback, of the model that serves the call.
    permit: Permit
    fallbacks: tuple[Permit, ...]
    rules: Rules
    hold: OpenHold
    # The row as a sweeper would write it; `close` makes it what it becomes.
    record: UsageRecord
    # Set when the output had to be lowered, or was left open by the caller and must be bounded.
    output_tokens: int | None
    # Codes of the phrase rules that the text met, for the detectors.
    matched: tuple[int, ...] = ()

    def stand_in(self, permit: Permit) -> None:
        """Go on with a fallback; the usage row says which model was asked for."""
        self.record.asked_model = self.record.asked_model or self.permit.model.id
        self.record.model = permit.model.id
        self.record.price = permit.rates.price_id
        self.record.region = permit.rates.region
        self.record.price_basis = price_basis(self.caller.passport, permit.rates)
        self.permit = permit

    def close(
        self,
        *,
        status: int,
        outcome: str,
        tokens: Tokens | None,
        source: str,
        channel_id: int | None,
        upstream_key_id: int | None,
        attempts: int,
        first_byte_ms: int | None,
        failed_attempts: list[dict[str, Any]] | None,
        upstream_id: str = "",
        served_tier: str = "",
    ) -> UsageRecord:
        """The usage row of this call as it ends now. Without tokens, or with a test key, nothing is charged.

        served_tier: the service tier that the provider says it served; empty: it says nothing.
        """
        record, rates = self.record, self.permit.rates
        record.status = status
        record.outcome = outcome
        record.usage_source = source
        record.service_tier = rates.charged_service(asked=self.call.service_tier, served=served_tier)
        if tokens is not None and served_tier and _is_unsold(served_tier, record.service_tier, rates):
            tokens = replace(tokens, extras={**(tokens.extras or {}), "claim:service_tier": 1})
        record.tokens = tokens or Tokens()
        is_charged = tokens is not None and not record.is_test
        record.costs = price(tokens, rates, record.service_tier) if is_charged and tokens else Costs()
        record.channel = channel_id
        record.upstream_key = upstream_key_id
        record.attempts = attempts
        record.first_byte_ms = first_byte_ms
        record.failed_attempts = failed_attempts or None
        record.upstream_id = upstream_id[:100]
        record.latency_ms = max(0, clock.now_ms() - self.caller.started_ms)
        return record


def _is_unsold(served: str, charged: str, rates: Rates) -> bool:
    """Whether the provider served a tier that may be dearer than what is charged: an admin should see it."""
    return served not in NEVER_DEARER and (charged != served or served not in (rates.ladders or ()))
