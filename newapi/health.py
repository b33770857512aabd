"""Whether the product lives and is ready, and its metrics. Answers stay short and say which part is down."""

import os
from collections.abc import Callable

from django.db import DatabaseError, InterfaceError, connection
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.cache import never_cache
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, generate_latest, multiprocess
from redis.exceptions import RedisError

from newapi.kernel import clock
from newapi.kernel.meters import bank, keys

# Beat posts usage every second; a stream whose oldest entry is older than this is not being posted.
POSTING_LAG_MAX_S = 120


@never_cache
def livez(request: HttpRequest) -> HttpResponse:
    """The process answers."""
    return HttpResponse("ok\n", content_type="text/plain")


@never_cache
def readyz(request: HttpRequest) -> JsonResponse:
    """200 when model calls can be served, 503 otherwise, with the state of each part."""
    parts = {name: _state(check) for name, check in CHECKS.items()}
    is_ready = parts["database"] == "ok" and parts["redis"] == "ok"
    return JsonResponse({"ready": is_ready, "parts": parts}, status=200 if is_ready else 503)


def metrics(request: HttpRequest) -> HttpResponse:
    """Prometheus metrics of all web workers that share PROMETHEUS_MULTIPROC_DIR, or of this process."""
    registry = REGISTRY
    if os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
        registry = CollectorRegistry()
        multiprocess.MultiProcessCollector(registry)
    return HttpResponse(generate_latest(registry), content_type=CONTENT_TYPE_LATEST)


def _database() -> str:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    return "ok"


def _redis() -> str:
    bank.connection().ping()
    return "ok"


def _posting() -> str:
    """How long the oldest usage event has waited for the ledger."""
    now_ms, oldest_ms = clock.now_ms(), clock.now_ms()
    for shard in range(keys.SHARDS):
        for entry in bank.unposted(shard=shard, limit=1):
            oldest_ms = min(oldest_ms, int(entry.entry_id.split(b"-")[0]))
    lag_s = (now_ms - oldest_ms) // 1000
    return "ok" if lag_s <= POSTING_LAG_MAX_S else f"behind by {lag_s} s: is a Celery worker running?"


def _state(check: Callable[[], str]) -> str:
    try:
        return check()
    except (DatabaseError, InterfaceError, RedisError, OSError) as error:
        return f"down ({type(error).__name__})"


CHECKS = {"database": _database, "redis": _redis, "posting": _posting}
