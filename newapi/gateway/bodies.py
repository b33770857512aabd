"""What is sent to an upstream and what is put on its answer: the documented exceptions to passing bytes unchanged."""

from typing import Any

import orjson

from newapi.gateway.refusals import limit_headers
from newapi.gateway.responses import PlainHeaders
from newapi.gateway.routing import Hop
from newapi.gateway.ticket import Ticket
from newapi.kernel import clock


def body_for(ticket: Ticket, hop: Hop) -> bytes:
    """The client's bytes, unchanged (GW-18) but for four things, each decided by an admin or by the meters:

    the model's name on that channel, the channel's parameter overrides, `stream_options.include_usage`, and
    the bound on output tokens that was held for. Parsing has written anew what might say a governed member twice.
    """
    call, route = ticket.call, hop.route
    adds_usage = call.is_stream and not call.wants_usage and hop.channel.asks_stream_usage
    bound = _output_bound(ticket)
    if route.upstream_name == call.model and not adds_usage and bound is None and not hop.channel.parameters:
        return call.raw
    body = dict(call.body)
    body["model"] = route.upstream_name
    for name, value in hop.channel.parameters.items():
        if value is None:
            body.pop(name, None)
        else:
            body[name] = value
    if adds_usage:
        body["stream_options"] = {**(body.get("stream_options") or {}), "include_usage": True}
    if bound is not None:
        body[call.max_tokens_field] = bound
    return orjson.dumps(body)


def _output_bound(ticket: Ticket) -> int | None:
    """The bound to write into the body; a model that stands in may write less than the one asked for."""
    if ticket.record.asked_model is None or ticket.call.feature != "chat":
        return ticket.output_tokens
    held = ticket.output_tokens if ticket.output_tokens is not None else ticket.call.max_tokens
    most = ticket.permit.model.output_tokens_max
    return most if held is None else min(held, most)


def put_headers(response: PlainHeaders, ticket: Ticket) -> None:
    """What a caller learns beside the answer: limits, which model served, and the marks of generated content.

    The marks are headers, so that the answer's JSON stays what the upstream said (GW-23); the request id,
    which every answer has, is the trace that stays even after an opt-out.
    """
    for name, value in limit_headers(ticket):
        response.put(name, value)
    if ticket.record.asked_model is not None:
        response.put(b"x-model-served", ticket.permit.model.name)
    passport = ticket.caller.passport
    if not passport.is_label_waived(clock.now_ms()):
        response.put(b"x-ai-generated", "true")
    if passport.domain:
        response.put(b"x-human-review", "required")


def cost_headers(response: PlainHeaders, ticket: Ticket, cost_nano: int) -> None:
    """What the call cost, on answers that are not streamed."""
    response.put(b"x-cost-nano", str(cost_nano))
    response.put(b"x-cost-currency", ticket.permit.rates.currency)


def cost_note(ticket: Ticket, cost_nano: int) -> bytes:
    """The same as an SSE comment, for streams."""
    note: dict[str, Any] = {"cost_nano": str(cost_nano), "currency": ticket.permit.rates.currency}
    return b": " + orjson.dumps(note) + b"\n"
