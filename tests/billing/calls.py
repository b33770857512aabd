"""Model calls as billing sees them: admitted and settled at the real till, without a gateway in front."""

import asyncio
import uuid
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from django.conf import settings

from accounts.models import APIKey, Organisation
from billing import funds, selectors
from billing.models import PriceVersion
from billing.pricing import Costs, Tokens, price
from billing.usage_record import UsageRecord
from channels.models import Model
from newapi.kernel import clock, ids
from newapi.kernel.meters import bank, keys
from newapi.kernel.meters.pipe import Pipe
from newapi.kernel.meters.till import Admission, Admitted, Meter, MeterSet, Till
from tests import cast

T = TypeVar("T")
DEADLINE_MS = 60_000


@dataclass(frozen=True, slots=True)
class Line:
    """What a call is made with: a key, a model and its price."""

    api_key: APIKey
    model: Model
    version: PriceVersion

    @property
    def organisation(self) -> Organisation:
        return self.api_key.organisation


def line(organisation: Organisation, model: Model) -> Line:
    """A new key of the organisation's first member, and the newest price of a model."""
    user = organisation.memberships.order_by("pk").first().user
    api_key = cast.api_key(organisation, user).api_key
    return Line(api_key, model, model.prices.latest("effective_from"))


def lost(line: Line, *, input_tokens: int = 1000) -> UsageRecord:
    """What the gateway leaves with a hold, for a sweeper."""
    return UsageRecord(
        id=ids.uuid7(),
        at_ms=clock.now_ms(),
        organisation=line.organisation.pk,
        project=line.api_key.project_id,
        user=line.api_key.user_id,
        api_key=line.api_key.pk,
        model=line.model.pk,
        channel=None,
        upstream_key=None,
        price=line.version.pk,
        currency=line.version.currency,
        endpoint="chat.completions",
        is_stream=False,
        status=0,
        outcome="lost",
        attempts=1,
        usage_source="estimate",
        tokens=Tokens(input=input_tokens),
        costs=Costs(),
        latency_ms=0,
        first_byte_ms=None,
        upstream_id="",
        client_address="203.0.113.7",
    )


def answered(line: Line, tokens: Tokens | None = None, **fields: Any) -> UsageRecord:
    """What the gateway settles with; by default 1,000 tokens in and 100 out."""
    tokens = tokens or Tokens(input=1000, output=100)
    record = replace(
        lost(line),
        status=200,
        outcome="ok",
        usage_source="provider",
        tokens=tokens,
        costs=price(tokens, selectors.rates_of(line.version)),
        latency_ms=800,
        first_byte_ms=200,
        upstream_id="chatcmpl-1",
    )
    return replace(record, **fields)


def with_till(work: Callable[[Till], Awaitable[T]]) -> T:
    """Run something against the till as a web worker would."""

    async def run() -> T:
        pipe = Pipe(settings.REDIS_URL)
        try:
            return await work(Till(pipe))
        finally:
            await pipe.close()

    return asyncio.run(run())


def warm(organisation: Organisation) -> None:
    """Open an organisation's till with what the database says."""
    bank.publish_catalogue(1)
    organisation.refresh_from_db()
    told = funds.of_organisation(organisation.pk)
    with_till(lambda till: till.load(told))


def admission(record: UsageRecord, *, hold_nano: int, meters: tuple[Meter, ...] = ()) -> Admission:
    """Asks for a hold of exactly so much."""
    return Admission(
        organisation_id=record.organisation,
        epoch=10**9,
        catalogue_version=10**9,
        request_id=str(record.id),
        meters=MeterSet.of(meters),
        input_tokens=1000,
        output_tokens=0,
        output_tokens_min_for_money=0,
        output_tokens_min_for_meters=0,
        input_nano=hold_nano,
        output_token_nano=0,
        record=record.encode(),
        deadline_ms=clock.now_ms() + DEADLINE_MS,
        unposted_max=1_000_000,
        purse=None if record.purse is None else int(record.purse),
    )


def admit(
    record: UsageRecord, *, hold_nano: int = 10**9, seen: int | None = None, meters: tuple[Meter, ...] = ()
) -> Admission:
    """Place a hold, with the mark of a worker that has seen so many output tokens."""
    ask = admission(record, hold_nano=hold_nano, meters=meters)

    async def place(till: Till) -> None:
        assert isinstance(await till.admit(ask), Admitted)
        if seen is not None:
            shard = keys.shard_of(ask.organisation_id)
            await till.renew(shard=shard, deadline_ms=ask.deadline_ms, seen=[(ask.request_id, seen)])

    with_till(place)
    return ask


def serve(records: Iterable[UsageRecord], *, hold_nano: int = 10**9) -> list[UsageRecord]:
    """Admit calls, then settle them. The tills must be warm."""
    done = list(records)

    async def run(till: Till) -> None:
        born = []
        for record in done:
            answer = await till.admit(admission(record, hold_nano=hold_nano))
            assert isinstance(answer, Admitted), answer
            born.append(answer.born)
        for record, when in zip(done, born, strict=True):
            await settle_at(till, admission(record, hold_nano=hold_nano), record, born=when)

    with_till(run)
    return done


async def settle_at(till: Till, ask: Admission, record: UsageRecord, *, born: str) -> None:
    """Settle a hold with what the call came to."""
    await till.settle(
        admission=ask, born=born, cost_nano=record.costs.total, tokens=record.tokens.total, event=record.encode()
    )


def settle_late(record: UsageRecord) -> None:
    """Settle a call whose hold stands no more, from before the till was wiped or after a sweep."""
    ask = admission(record, hold_nano=0)
    with_till(lambda till: settle_at(till, ask, record, born="another"))


def new_id(moment_ms: int | None = None) -> uuid.UUID:
    """A request id, of now or of another moment."""
    made = ids.uuid7()
    return made if moment_ms is None else uuid.UUID(int=(moment_ms << 80) | (made.int & ((1 << 80) - 1)))
