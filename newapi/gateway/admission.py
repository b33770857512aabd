"""From a parsed call to a hold: policy, price, upper bound, ADMIT; and the usage row it will become."""

import uuid
from dataclasses import dataclass

from billing.pricing import Costs, Tokens, price
from billing.usage_record import UsageRecord
from newapi.gateway import policy
from newapi.gateway.engine import Engine
from newapi.gateway.parsing import Call
from newapi.gateway.passports import Passport
from newapi.gateway.policy import Permit
from newapi.gateway.settlement import OpenHold
from newapi.kernel import clock, errors
from newapi.kernel.meters.till import Admission, Admitted, Meter, Refused, Stale

# Each round may find one more thing to load; a call that is still stale after so many is told to come back.
ROUNDS_MAX = 8
# The fewest output tokens that are worth a call when the balance is short.
OUTPUT_TOKENS_MIN = 16
# How far an output that the caller left open may be lowered to fit a token meter.
OPEN_OUTPUT_TOKENS_MIN = 256


@dataclass(slots=True)
class Caller:
    """Who calls, and when: known before the body is looked at."""

    raw_key: str
    passport: Passport
    client_address: str
    request_id: uuid.UUID
    started_ms: int


@dataclass(slots=True)
class Ticket:
    """An admitted call."""

    caller: Caller
    call: Call
    permit: Permit
    hold: OpenHold
    # The row as a sweeper would write it; `close` makes it what it becomes.
    record: UsageRecord
    # Set when the output had to be lowered, or was left open by the caller and must be bounded.
    output_tokens: int | None

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
        upstream_id: str = "",
    ) -> UsageRecord:
        """The usage row of this call as it ends now. Without tokens nothing is charged."""
        record = self.record
        record.status = status
        record.outcome = outcome
        record.usage_source = source
        record.tokens = tokens or Tokens()
        record.costs = price(tokens, self.permit.rates) if tokens is not None else Costs()
        record.channel = channel_id
        record.upstream_key = upstream_key_id
        record.attempts = attempts
        record.first_byte_ms = first_byte_ms
        record.upstream_id = upstream_id[:100]
        record.latency_ms = max(0, clock.now_ms() - self.caller.started_ms)
        return record


async def confirm(engine: Engine, caller: Caller) -> None:
    """Refuse a caller whose key opens nothing; a refusal is believed only when what we know is fresh."""
    for _ in range(ROUNDS_MAX):
        catalogue = await engine.catalogue_now()
        stale = await engine.till.check(
            organisation_id=caller.passport.organisation_id,
            epoch=caller.passport.epoch,
            catalogue_version=catalogue.version,
        )
        if stale is None:
            policy.check_key(caller.passport, now_ms=clock.now_ms(), client_address=caller.client_address)
            return
        await _freshen(engine, caller, stale, caller.passport.meters.meters)
    raise errors.Unavailable("The service is busy. Try again shortly.", retry_after_s=1)


async def admit(engine: Engine, caller: Caller, call: Call) -> Ticket:
    """Charge the meters and place the hold. Raises CallError, and redis' errors when it is out of reach."""
    for _ in range(ROUNDS_MAX):
        catalogue = await engine.catalogue_now()
        try:
            policy.check_key(caller.passport, now_ms=caller.started_ms, client_address=caller.client_address)
            permit = policy.check_call(
                caller.passport, catalogue, feature=call.feature, model=call.model, now_ms=caller.started_ms
            )
        except errors.CallError:
            # What refuses may have changed since it was loaded; ask before believing it.
            stale = await engine.till.check(
                organisation_id=caller.passport.organisation_id,
                epoch=caller.passport.epoch,
                catalogue_version=catalogue.version,
            )
            if stale is None:
                raise
            await _freshen(engine, caller, stale, caller.passport.meters.meters)
            continue
        record = _record(caller, call, permit)
        admission = _admission(engine, caller, call, permit, catalogue.version, record)
        answer = await engine.till.admit(admission)
        if isinstance(answer, Admitted):
            hold = engine.settler.opened(admission, answer)
            return Ticket(caller, call, permit, hold, record, _bounded_output(call, answer))
        if isinstance(answer, Refused):
            raise refusal(answer, admission)
        await _freshen(engine, caller, answer, caller.passport.meters.meters)
    raise errors.Unavailable("The service is busy. Try again shortly.", retry_after_s=1)


async def _freshen(engine: Engine, caller: Caller, stale: Stale, meters: tuple[Meter, ...]) -> None:
    await engine.freshen(stale, raw_key=caller.raw_key, passport=caller.passport, meters=meters)
    if stale.what == "passport":
        caller.passport = await engine.passport_of(caller.raw_key)


def _admission(
    engine: Engine, caller: Caller, call: Call, permit: Permit, version: int, record: UsageRecord
) -> Admission:
    model, rates = permit.model, permit.rates
    input_tokens = call.input_tokens_max(model.context_tokens)
    asked = model.output_tokens_max if call.max_tokens is None else call.max_tokens
    output_tokens = asked * call.choices if call.feature == "chat" else 0
    least = min(output_tokens, OUTPUT_TOKENS_MIN * call.choices)
    open_least = min(output_tokens, OPEN_OUTPUT_TOKENS_MIN * call.choices)
    return Admission(
        organisation_id=caller.passport.organisation_id,
        epoch=caller.passport.epoch,
        catalogue_version=version,
        request_id=str(caller.request_id),
        meters=caller.passport.meters,
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        output_tokens_min_for_money=least,
        output_tokens_min_for_meters=open_least if call.max_tokens is None else output_tokens,
        input_nano=rates.input_nano_max(input_tokens),
        output_token_nano=rates.output_token_nano_max,
        record=record.encode(),
        deadline_ms=clock.now_ms() + engine.settler.deadline_ms,
        unposted_max=engine.unposted_max,
    )


def _record(caller: Caller, call: Call, permit: Permit) -> UsageRecord:
    """The row as a sweeper would write it: worker lost, nothing charged yet."""
    passport = caller.passport
    return UsageRecord(
        id=caller.request_id,
        at_ms=caller.started_ms,
        organisation=passport.organisation_id,
        project=passport.project_id,
        user=passport.user_id,
        api_key=passport.api_key_id,
        model=permit.model.id,
        channel=None,
        upstream_key=None,
        price=permit.rates.price_id,
        currency=permit.rates.currency,
        endpoint=call.endpoint,
        is_stream=call.is_stream,
        status=0,
        outcome="lost",
        attempts=1,
        usage_source="estimate",
        tokens=Tokens(input=call.input_tokens_estimate),
        costs=Costs(),
        latency_ms=0,
        first_byte_ms=None,
        upstream_id="",
        client_address=caller.client_address or None,
    )


def _bounded_output(call: Call, answer: Admitted) -> int | None:
    """The output bound that must be written into the forwarded body, for one choice; None when it stands already."""
    if call.feature != "chat":
        return None
    bound = answer.output_tokens // call.choices
    return None if call.max_tokens is not None and bound >= call.max_tokens else bound


def refusal(answer: Refused, admission: Admission) -> errors.CallError:
    """Why ADMIT refused, in words that say what to do."""
    if answer.full:
        return errors.Unavailable("Usage is not being posted at the moment. Try again shortly.", retry_after_s=10)
    if answer.meter is None:
        return errors.InsufficientFunds(
            "The organisation's balance does not cover this call. Top up, or lower max_tokens.",
            details={"available_nano": str(answer.available_nano), "needed_nano": str(answer.needed_nano)},
        )
    meter = admission.meters.meters[answer.meter]
    left = max(0, meter.limit - answer.used)
    wait_s = max(1, -(-(answer.reset_ms - clock.now_ms()) // 1000)) if answer.reset_ms else 1
    whose = meter.scope.partition(":")[0].replace("org", "organisation")
    if meter.kind == "n":
        return errors.BudgetExceeded(f"The budget of this {whose} does not cover this call.", details={"scope": whose})
    name = meter.name.replace("_", " ")
    words = {
        "c": f"This {whose} may make {meter.limit} {name}.",
        "t": f"This {whose} may use {meter.limit} {name}; {left} are left and this call may need "
        f"{admission.input_tokens + admission.output_tokens_min_for_meters}. A lower max_tokens needs less.",
        "f": f"This {whose} may have {meter.limit} calls in flight.",
    }
    error = errors.RateLimited(words[meter.kind], retry_after_s=wait_s, details={"limit": meter.name, "scope": whose})
    if group := _GROUPS.get(meter.kind):
        error.headers = _limit_headers(group, meter.limit, left, wait_s)
    return error


_GROUPS = {"c": "requests", "t": "tokens"}


def limit_headers(ticket: Ticket) -> dict[str, str]:
    """x-ratelimit-{limit,remaining,reset}-{requests,tokens} of the tightest meter of each kind."""
    tightest: dict[str, tuple[int, int, int]] = {}
    admitted = ticket.hold.admitted
    for index, meter in enumerate(ticket.hold.admission.meters.meters if admitted.left else ()):
        if group := _GROUPS.get(meter.kind):
            remaining, reset_ms = admitted.left_of(index)
            if group not in tightest or remaining < tightest[group][1]:
                tightest[group] = (meter.limit, remaining, reset_ms)
    headers: dict[str, str] = {}
    now_ms = clock.now_ms()
    for group, (limit, remaining, reset_ms) in tightest.items():
        headers |= _limit_headers(group, limit, remaining, max(0, -(-(reset_ms - now_ms) // 1000)))
    return headers


def _limit_headers(group: str, limit: int, remaining: int, reset_s: int) -> dict[str, str]:
    return {
        f"x-ratelimit-limit-{group}": str(limit),
        f"x-ratelimit-remaining-{group}": str(max(0, remaining)),
        f"x-ratelimit-reset-{group}": f"{reset_s}s",
    }
