"""What the meters mean to a caller: why a call was refused, and what is left after one that was not."""

from newapi.gateway import holders, policy
from newapi.gateway.passports import Passport
from newapi.gateway.ticket import Ticket
from newapi.kernel import clock, errors
from newapi.kernel.meters.till import Admission, Meter, Refused


def refusal(answer: Refused, admission: Admission, passport: Passport) -> errors.CallError:
    """Why ADMIT refused, in words that say what to do."""
    if answer.full:
        return errors.Unavailable("Usage is not being posted at the moment. Try again shortly.", retry_after_s=10)
    if answer.meter is None:
        return errors.InsufficientFunds(
            "The organisation's balance does not cover this call. Top up, or lower max_tokens.",
            details={"available_nano": str(answer.available_nano), "needed_nano": str(answer.needed_nano)},
        )
    meter = admission.meters.meters[answer.meter]
    error = _over(meter, answer, admission)
    holder, _, number = meter.scope.partition(":")
    for standing in passport.slowings if holder == "slow" else ():
        if str(standing.id) == number:
            error.details = {**policy.what_is_told(standing), **error.details}
    return error


def _over(meter: Meter, answer: Refused, admission: Admission) -> errors.CallError:
    """A meter that is used up: whose it is, what is left of it, when it begins anew."""
    left = max(0, meter.limit - answer.used)
    wait_s = max(1, -(-(answer.reset_ms - clock.now_ms()) // 1000)) if answer.reset_ms else 1
    whose, scope = holders.named(meter.scope)
    if meter.kind == "n":
        return errors.BudgetExceeded(
            f"{whose} has a budget that does not cover this call.", details={"scope": scope, "limit": meter.name}
        )
    name = meter.name.replace("_", " ")
    words = {
        "c": f"{whose} may make {meter.limit} {name}.",
        "t": f"{whose} may use {meter.limit} {name}; {left} are left and this call may need "
        f"{admission.input_tokens + admission.output_tokens_min_for_meters}. A lower max_tokens needs less.",
        "f": f"{whose} may have {meter.limit} calls in flight.",
    }
    error = errors.RateLimited(words[meter.kind], retry_after_s=wait_s, details={"limit": meter.name, "scope": scope})
    if names := _GROUPS.get(meter.kind):
        error.headers = _limit_headers(names, meter.limit, left, wait_s)
    return error


def limit_headers(ticket: Ticket) -> list[tuple[bytes, str]]:
    """x-ratelimit-{limit,remaining,reset}-{requests,tokens} of the tightest meter of each kind."""
    admitted, meters = ticket.hold.admitted, ticket.hold.admission.meters
    if not admitted.left:
        return []  # a repeated ADMIT does not say what is left
    now_ms = clock.now_ms()
    headers: list[tuple[bytes, str]] = []
    for names, counting in ((_REQUESTS, meters.of_calls), (_TOKENS, meters.of_tokens)):
        if counting:
            remaining, reset_ms, limit = min((*admitted.left_of(index), limit) for index, limit in counting)
            headers += _limit_headers(names, limit, remaining, max(0, -(-(reset_ms - now_ms) // 1000)))
    return headers


Names = tuple[bytes, bytes, bytes]
_REQUESTS: Names = (b"x-ratelimit-limit-requests", b"x-ratelimit-remaining-requests", b"x-ratelimit-reset-requests")
_TOKENS: Names = (b"x-ratelimit-limit-tokens", b"x-ratelimit-remaining-tokens", b"x-ratelimit-reset-tokens")
_GROUPS = {"c": _REQUESTS, "t": _TOKENS}


def _limit_headers(names: Names, limit: int, remaining: int, reset_s: int) -> list[tuple[bytes, str]]:
    return [(names[0], str(limit)), (names[1], str(max(0, remaining))), (names[2], f"{reset_s}s")]
