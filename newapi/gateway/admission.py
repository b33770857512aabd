"""From a parsed call to a hold: policy, price, upper bound, ADMIT; and the usage row it will become."""

from billing.pricing import Costs, Tokens
from billing.usage_record import UsageRecord
from newapi.gateway import limits, policy
from newapi.gateway.catalogue import Catalogue
from newapi.gateway.engine import Engine
from newapi.gateway.limits import Rules
from newapi.gateway.parsing import Call
from newapi.gateway.policy import Permit
from newapi.gateway.refusals import refusal
from newapi.gateway.ticket import Caller, Ticket
from newapi.kernel import clock, errors
from newapi.kernel.meters.till import Admission, Admitted, MeterSet, Refused, Stale

# Each round may find one more thing to load; a call that is still stale after so many is told to come back.
ROUNDS_MAX = 8
# The fewest output tokens that are worth a call when the balance is short.
OUTPUT_TOKENS_MIN = 16
# How far an output that the caller left open may be lowered to fit a token meter.
OPEN_OUTPUT_TOKENS_MIN = 256


async def confirm(engine: Engine, caller: Caller) -> Catalogue:
    """Refuse a caller whose key opens nothing; a refusal is believed only when what we know is fresh."""
    for _ in range(ROUNDS_MAX):
        catalogue = await engine.catalogue_now()
        stale = await _staleness(engine, caller, catalogue)
        if stale is None:
            policy.check_key(caller.passport, catalogue, caller.origin, now_ms=clock.now_ms())
            return catalogue
        await _freshen(engine, caller, stale)
    raise errors.Unavailable("The service is busy. Try again shortly.", retry_after_s=1)


async def admit(engine: Engine, caller: Caller, call: Call) -> Ticket:
    """Charge the meters and place the hold. Raises CallError, and redis' errors when it is out of reach."""
    for _ in range(ROUNDS_MAX):
        catalogue = await engine.catalogue_now()
        try:
            permit, rules, matched = _allowed(caller, call, catalogue)
        except errors.CallError:
            # What refuses may have changed since it was loaded; ask before believing it.
            stale = await _staleness(engine, caller, catalogue)
            if stale is None:
                raise
            await _freshen(engine, caller, stale)
            continue
        fallbacks = _fallbacks(caller, call, catalogue, permit)
        record = _record(caller, call, permit)
        admission = _admission(engine, caller, call, (permit, *fallbacks), rules, catalogue.version, record)
        try:
            answer = await engine.till.admit(admission)
        except BaseException:
            # It may have been admitted all the same, once Redis finds the time.
            engine.settler.void(admission)
            raise
        if isinstance(answer, Admitted):
            hold = engine.settler.opened(admission, answer)
            bound = _bounded_output(call, answer)
            return Ticket(caller, call, permit, fallbacks, rules, hold, record, bound, matched)
        if isinstance(answer, Refused):
            raise refusal(answer, admission, caller.passport)
        await _freshen(engine, caller, answer, admission.meters)
    raise errors.Unavailable("The service is busy. Try again shortly.", retry_after_s=1)


def _allowed(caller: Caller, call: Call, catalogue: Catalogue) -> tuple[Permit, Rules, tuple[int, ...]]:
    """What policy says of a call, and the phrase rules that it met. Raises CallError."""
    passport, now_ms = caller.passport, caller.started_ms
    policy.check_key(passport, catalogue, caller.origin, now_ms=now_ms)
    permit = policy.check_call(
        passport,
        catalogue,
        caller.origin.place,
        feature=call.feature,
        model=call.model,
        now_ms=now_ms,
        service_tier=call.service_tier,
        tools=call.tools,
    )
    rules = passport.rules_for(permit.model.id)
    policy.check_size(rules.caps, body_bytes=len(call.raw), max_tokens=call.max_tokens)
    return permit, rules, policy.check_text(passport, catalogue, call, now_ms=now_ms)


def _fallbacks(caller: Caller, call: Call, catalogue: Catalogue, permit: Permit) -> tuple[Permit, ...]:
    if not permit.model.fallbacks:
        return ()
    return policy.fallback_permits(
        caller.passport,
        catalogue,
        caller.origin.place,
        permit=permit,
        feature=call.feature,
        now_ms=caller.started_ms,
        service_tier=call.service_tier,
        tools=call.tools,
    )


async def _staleness(engine: Engine, caller: Caller, catalogue: Catalogue) -> Stale | None:
    return await engine.till.check(
        organisation_id=caller.passport.organisation_id,
        epoch=caller.passport.epoch,
        catalogue_version=catalogue.version,
    )


async def _freshen(engine: Engine, caller: Caller, stale: Stale, meters: MeterSet | None = None) -> None:
    known = meters.meters if meters else ()
    await engine.freshen(stale, raw_key=caller.raw_key, passport=caller.passport, meters=known)
    if stale.what == "passport":
        caller.passport = await engine.passport_of(caller.raw_key)


def _admission(
    engine: Engine,
    caller: Caller,
    call: Call,
    permits: tuple[Permit, ...],
    rules: Rules,
    version: int,
    record: UsageRecord,
) -> Admission:
    """What to ask of the meters: enough for the dearest of the models that may serve the call."""
    model, passport = permits[0].model, caller.passport
    input_tokens = max(call.input_tokens_max(permit.model.context_tokens) for permit in permits)
    asked = model.output_tokens_max if call.max_tokens is None else call.max_tokens
    if call.max_tokens is None and rules.caps.output_tokens is not None:
        asked = min(asked, rules.caps.output_tokens.most)
    output_tokens = asked * call.choices if call.feature == "chat" else 0
    least = min(output_tokens, OUTPUT_TOKENS_MIN * call.choices)
    open_least = min(output_tokens, OPEN_OUTPUT_TOKENS_MIN * call.choices)
    meters = rules.meters
    if passport.slowings and (slowings := passport.slowings_at(caller.started_ms)):
        meters = limits.with_slowings(meters, organisation_id=passport.organisation_id, slowings=slowings)
    bounds = [permit.rates.bound(input_tokens, asked=call.service_tier, tools=call.tools) for permit in permits]
    return Admission(
        organisation_id=passport.organisation_id,
        epoch=passport.epoch,
        catalogue_version=version,
        request_id=caller.request_id,
        meters=meters,
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        output_tokens_min_for_money=least,
        output_tokens_min_for_meters=open_least if call.max_tokens is None else output_tokens,
        input_nano=0 if passport.is_test else max(bound.input_nano for bound in bounds),
        output_token_nano=0 if passport.is_test else max(bound.output_token_nano for bound in bounds),
        record=record.encode(),
        deadline_ms=clock.now_ms() + engine.settler.deadline_ms,
        unposted_max=engine.unposted_max,
        purse=record.purse,
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
        client_address=caller.origin.address or None,
        country=caller.origin.place.country,
        modality=call.modality,
        domain=passport.domain,
        is_test=passport.is_test,
        purse=passport.purse_for(permit.model.id),
        region=permit.rates.region,
        price_basis=policy.price_basis(passport, permit.rates),
    )


def _bounded_output(call: Call, answer: Admitted) -> int | None:
    """The output bound that must be written into the forwarded body, for one choice; None when it stands already."""
    if call.feature != "chat":
        return None
    bound = answer.output_tokens // call.choices
    return None if call.max_tokens is not None and bound >= call.max_tokens else bound
