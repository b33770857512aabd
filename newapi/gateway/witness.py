"""What each call shows to the detectors: ids, numbers and keyed hashes, handed to the observer and not kept."""

from newapi.gateway import observing, safety
from newapi.gateway.observing import Observer
from newapi.gateway.parsing import Call
from newapi.gateway.ticket import Caller, Ticket
from newapi.kernel import clock, errors
from newapi.kernel.observations import Observation, address_hash

# Members of a request that ask for what a model computes beside its words (GW-10).
LOGPROBS = ("logprobs", "top_logprobs")


class Witness:
    """Notes every call and every refusal. Which rules are on is the job's business."""

    def __init__(self, observer: Observer) -> None:
        self._observer = observer

    def saw_call(self, ticket: Ticket, *, said: bytes) -> None:
        """A call was settled. `said` are the last bytes of its answer."""
        observation = _of(ticket.caller, ticket.call, ticket.record.outcome)
        observation.model = ticket.permit.model.id
        tokens = ticket.record.tokens.folded()
        observation.output_tokens = tokens.output + tokens.reasoning
        observation.rules = ticket.matched
        if said and safety.is_refusal(said):
            observation.is_refused = True
            observation.categories = safety.categories_of(said)
        self._observer.note(observation)

    def saw_refusal(self, caller: Caller, call: Call | None, error: errors.CallError) -> None:
        """A call was refused before any upstream was asked."""
        observation = _of(caller, call, error.code)
        if isinstance(error, errors.JailbreakRefused):
            observation.rules = error.rules
        self._observer.note(observation)


def _of(caller: Caller, call: Call | None, verdict: str) -> Observation:
    passport, origin = caller.passport, caller.origin
    prompt, shape = observing.hashes(call.body, call.endpoint) if call else (0, 0)
    return Observation(
        at_ms=clock.now_ms(),
        request_id=caller.request_id,
        organisation=passport.organisation_id,
        project=passport.project_id,
        user=passport.user_id,
        api_key=passport.api_key_id,
        verdict=verdict,
        country=origin.place.country,
        asn=origin.place.asn,
        address=address_hash(origin.address),
        prompt=prompt,
        shape=shape,
        wants_logprobs=bool(call and any(call.body.get(name) for name in LOGPROBS)),
    )
