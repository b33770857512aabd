"""What one worker process keeps between calls: connections, caches, open holds, and the tasks that tend them."""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Coroutine, Hashable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from django.conf import settings
from django.db import DatabaseError, InterfaceError, close_old_connections
from redis.exceptions import RedisError

from billing import funds
from billing import selectors as billing
from billing.services import expiry
from channels.services import upstream_keys
from newapi.gateway import catalogue_loader
from newapi.gateway import passports as passport_loader
from newapi.gateway.catalogue import Catalogue
from newapi.gateway.health import Board
from newapi.gateway.limits import SPENDERS
from newapi.gateway.observing import Observer
from newapi.gateway.passports import Passport, Passports
from newapi.gateway.settlement import Settler
from newapi.gateway.upstream import UpstreamClient
from newapi.gateway.watch import Watch
from newapi.gateway.witness import Witness
from newapi.kernel import clock, errors, secrets
from newapi.kernel.meters.pipe import Pipe
from newapi.kernel.meters.till import Meter, Stale, Till
from newapi.kernel.meters.windows import bounds

log = logging.getLogger(__name__)
T = TypeVar("T")

RECHECK_S = 1.0
DATABASE_TIMEOUT_S = 1.5
DATABASE_THREADS = 2
# A crowd of unknown keys must not queue without end for the database.
DATABASE_WAITING_MAX = 200


class Engine:
    """Started once a process (`started`), stopped with the event loop."""

    def __init__(self) -> None:
        # Settings are read once: each look costs the hot path a quarter of a microsecond.
        self.unposted_max = settings.GATEWAY_UNPOSTED_EVENTS_MAX
        self.attempts_max = settings.GATEWAY_ATTEMPTS_MAX
        self.pipe = Pipe(settings.REDIS_URL)
        self.till = Till(self.pipe)
        self.settler = Settler(self.till, deadline_s=settings.GATEWAY_HOLD_DEADLINE_S)
        self.upstreams = UpstreamClient(allow_private=settings.GATEWAY_UPSTREAM_PRIVATE_ADDRESSES)
        self.passports = Passports()
        self.board = Board(self.pipe)
        self.observer = Observer(self.pipe)
        self.witness = Witness(self.observer)
        self.watch = Watch(
            keepalive_s=settings.GATEWAY_KEEPALIVE_S,
            epoch_of=self.till.epoch,
            passport_at=self.passport_at,
            spawn=self.spawn,
        )
        self._catalogue: Catalogue | None = None
        self._catalogue_loading: asyncio.Future[Catalogue] | None = None
        # Readings on their way, by what is read: a crowd that misses the same thing waits for one.
        self._loading: dict[Hashable, asyncio.Future[Any]] = {}
        self._database = ThreadPoolExecutor(DATABASE_THREADS, thread_name_prefix="gateway-database")
        self._database_waiting = 0
        # What may take long, such as asking an upstream once more, must not keep calls from the database.
        self._duties = ThreadPoolExecutor(1, thread_name_prefix="gateway-duties")
        self._refused_keys: set[int] = set()
        self._tasks: set[asyncio.Task[Any]] = set()

    async def start(self) -> None:
        """Warm up what can be; a part that is down now is asked again by the calls themselves."""
        with contextlib.suppress(RedisError, OSError):
            await self.pipe.teach()
        with contextlib.suppress(errors.Unavailable):
            await self.refresh_catalogue()
        self.spawn(self._recheck_catalogue())
        self.spawn(self.settler.tend())
        self.spawn(self.board.tend())
        self.spawn(self.observer.tend())
        self.spawn(self.watch.tend())

    async def stop(self) -> None:
        """Settle what is still waiting, then close. Bounded by the settler."""
        await self.settler.drain()
        await self.observer.flush()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.upstreams.close()
        await self.pipe.close()
        self._database.shutdown(wait=False)
        self._duties.shutdown(wait=False, cancel_futures=True)

    def spawn(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Run beside the calls; kept referenced until it ends."""
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    # What is known of the database. Only misses and changes come here; a warm call never does.

    @property
    def catalogue(self) -> Catalogue | None:
        """The current snapshot; None until the database could be read once."""
        return self._catalogue

    async def catalogue_now(self) -> Catalogue:
        """The current snapshot, loaded when there is none. Raises Unavailable."""
        return self._catalogue or await self.refresh_catalogue()

    async def refresh_catalogue(self) -> Catalogue:
        """Read and swap the snapshot. Calls that ask meanwhile wait for the same reading. Raises Unavailable."""
        if self._catalogue_loading is None:
            self._catalogue_loading = asyncio.ensure_future(self._database_call(catalogue_loader.load))
            self._catalogue_loading.add_done_callback(self._catalogue_loaded)
        return await asyncio.shield(self._catalogue_loading)

    def _catalogue_loaded(self, done: asyncio.Future[Catalogue]) -> None:
        self._catalogue_loading = None
        if not done.cancelled() and done.exception() is None:
            self._catalogue = done.result()

    async def _recheck_catalogue(self) -> None:
        while True:
            await asyncio.sleep(RECHECK_S)
            with contextlib.suppress(RedisError, OSError, errors.Unavailable):
                known = self._catalogue.version if self._catalogue else -1
                if self._catalogue is None or await self.till.catalogue_version() > known:
                    await self.refresh_catalogue()

    async def passport_of(self, raw_key: str) -> Passport:
        """The passport of a presented key. Raises InvalidKey or Unavailable."""
        digest = secrets.digest(raw_key)
        passport = self.passports.cached(digest)
        if passport is None:
            if not secrets.is_well_formed(raw_key) or self.passports.is_unknown(digest):
                raise errors.InvalidKey
            passport = await self.reload_passport(raw_key)
        return passport

    async def reload_passport(self, raw_key: str) -> Passport:
        """Read a key's passport again. Raises InvalidKey or Unavailable."""
        digest = secrets.digest(raw_key)
        passport = await self._once(("passport", digest), lambda: self._read_passport(digest))
        if passport is None:
            raise errors.InvalidKey
        return passport

    async def _read_passport(self, digest: bytes) -> Passport | None:
        passport = await self._database_call(lambda: passport_loader.load(digest))
        self.passports.keep(digest, passport)
        return passport

    async def _once(self, what: Hashable, read: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Read, or wait for the same reading that has not begun to answer. Raises what it raises."""
        running = self._loading.get(what)
        if running is None:
            running = self._loading[what] = asyncio.ensure_future(read())
            running.add_done_callback(lambda done: self._loading.pop(what, None))
        return await asyncio.shield(running)

    async def passport_at(self, raw_key: str, epoch: int) -> Passport:
        """A key's passport that is no older than an epoch. Raises InvalidKey or Unavailable."""
        passport = await self.passport_of(raw_key)
        return passport if passport.epoch >= epoch else await self.reload_passport(raw_key)

    def tell_refused_key(self, key_id: int, status: int) -> None:
        """An upstream does not take a key: whoever owns the keys decides, beside the calls."""
        if key_id not in self._refused_keys:
            self._refused_keys.add(key_id)
            self.spawn(self._tell_refused_key(key_id, status))

    async def _tell_refused_key(self, key_id: int, status: int) -> None:
        try:
            await asyncio.get_running_loop().run_in_executor(
                self._duties, _with_connection, lambda: upstream_keys.refused(key_id=key_id, status=status)
            )
        except Exception as error:  # the next refusal tells it again
            log.warning("the refusal of upstream key %s could not be told: %s", key_id, type(error).__name__)
        finally:
            self._refused_keys.discard(key_id)

    async def freshen(self, stale: Stale, *, raw_key: str, passport: Passport, meters: tuple[Meter, ...]) -> None:
        """Load what ADMIT or CHECK found missing or old. Raises InvalidKey or Unavailable."""
        if stale.what == "catalogue":
            catalogue = await self.refresh_catalogue()
            await self.till.publish_catalogue(organisation_id=passport.organisation_id, version=catalogue.version)
        elif stale.what == "passport":
            await self.reload_passport(raw_key)
        elif stale.what == "till":
            await self._once(("till", passport.organisation_id), lambda: self._load_till(passport.organisation_id))
        elif stale.what == "funds":
            await self._once(("funds", passport.organisation_id), lambda: self._expire(passport.organisation_id))
        else:
            meter = meters[stale.meter]
            await self._once(("meter", meter.key), lambda: self._load_meter(passport, meter))

    async def _load_till(self, organisation_id: int) -> None:
        # The epoch comes from the database too: a passport may be older than what a wiped Redis knew.
        await self.till.load(await self._database_call(lambda: funds.of_organisation(organisation_id)))

    async def _expire(self, organisation_id: int) -> None:
        """Some money has ended since the till was told of it: take it out first, whatever the job is doing."""
        await self._database_call(lambda: expiry.expire(organisation_id=organisation_id))

    async def _load_meter(self, passport: Passport, meter: Meter) -> None:
        kind = SPENDERS[meter.scope.partition(":")[0]]
        ids = {
            billing.Spender.API_KEY: passport.api_key_id,
            billing.Spender.MEMBER: passport.user_id,
            billing.Spender.PROJECT: passport.project_id,
            billing.Spender.ORGANISATION: passport.organisation_id,
            billing.Spender.MODEL: int(meter.scope.partition(":")[2] or 0),
        }
        since_ms = bounds(meter.window, clock.now_ms())[0]
        used_nano = await self._database_call(
            lambda: billing.spent_nano(
                organisation_id=passport.organisation_id,
                spender=kind,
                spender_id=ids[kind],
                since_ms=since_ms,
            )
        )
        await self.till.load_meter(meter=meter, used_nano=used_nano)

    async def _database_call(self, read: Callable[[], T]) -> T:
        """Run a reading in a database thread. Raises Unavailable when the database is out of reach or slow."""
        if self._database_waiting >= DATABASE_WAITING_MAX:
            raise errors.Unavailable("The service is busy. Try again shortly.", retry_after_s=1)
        self._database_waiting += 1
        try:
            async with asyncio.timeout(DATABASE_TIMEOUT_S):
                return await asyncio.get_running_loop().run_in_executor(self._database, _with_connection, read)
        except (DatabaseError, InterfaceError, OSError) as error:  # TimeoutError is an OSError
            log.warning("the database did not answer: %s", type(error).__name__, exc_info=error)
            raise errors.Unavailable("The service is temporarily unavailable.", retry_after_s=2) from error
        finally:
            self._database_waiting -= 1


def _with_connection(read: Callable[[], T]) -> T:
    close_old_connections()
    try:
        return read()
    finally:
        close_old_connections()


_engines: dict[asyncio.AbstractEventLoop, Engine] = {}


def running() -> Engine | None:
    """The engine of this event loop, when there is one."""
    return _engines.get(asyncio.get_running_loop())


async def started() -> Engine:
    """The engine of this event loop; started by the lane's lifespan, or by the first call under another server."""
    engine = running()
    if engine is None:
        engine = _engines[asyncio.get_running_loop()] = Engine()
        await engine.start()
    return engine


async def stop() -> None:
    """Stop this event loop's engine, if one was started."""
    engine = _engines.pop(asyncio.get_running_loop(), None)
    if engine is not None:
        await engine.stop()
