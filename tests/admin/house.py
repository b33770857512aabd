"""A house in which every table that the admin shows has a row, with secrets to look out for."""

from dataclasses import dataclass
from datetime import UTC, datetime

from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from axes.models import AccessAttempt, AccessFailureLog, AccessLog
from django.contrib.auth.models import Group
from django_celery_beat.models import ClockedSchedule, CrontabSchedule, SolarSchedule

from accounts.models import APIKey, Notice, Organisation, RetentionRule, User
from accounts.models.retention import seed
from accounts.services import notices, retention
from billing.models import (
    PostingFault,
    PriceVersion,
    Rollup15m,
    RollupDay,
    RollupDirty,
    RollupHour,
    RollupMonth,
    UsageEvent,
    UsagePurge,
    VerifierRun,
)
from channels.models import Channel, Model, ModelAlias, ModelFallback, ModelLimit
from newapi.kernel import clock, ids, money
from tests import cast
from tests.admin import (
    house_of_codes,
    house_of_notices,
    house_of_payments,
    house_of_reports,
    house_of_truth,
    house_of_wallets,
    price_records,
)
from tests.billing import offers

TOTP_SECRET = "totp-canary-JBSWY3DP"
TYPED_PASSWORD = "typed-canary-hunter2"


@dataclass(frozen=True)
class House:
    """Who and what is in it. `secrets` must never stand in any page."""

    organisation: Organisation
    user: User
    api_key: APIKey
    channel: Channel
    model: Model
    price: PriceVersion
    usage: UsageEvent
    secrets: tuple[str, ...]


def usage(
    api_key: APIKey,
    model: Model,
    channel: Channel,
    version: PriceVersion,
    *,
    at_ms: int | None = None,
    **fields: object,
) -> UsageEvent:
    """A call of 1,000 tokens in and 500 out, for 0.006."""
    at_ms = at_ms or clock.now_ms()
    values: dict[str, object] = {
        "id": ids.uuid7(),
        "at": clock.from_ms(at_ms),
        "organisation": api_key.organisation,
        "project": api_key.project,
        "user": api_key.user,
        "api_key": api_key,
        "model": model,
        "channel": channel,
        "upstream_key": channel.keys.first(),
        "price": version,
        "endpoint": "chat.completions",
        "is_stream": False,
        "status": 200,
        "outcome": "ok",
        "attempts": 1,
        "usage_source": "provider",
        "input_tokens": 1000,
        "cached_input_tokens": 0,
        "cache_write_tokens": 0,
        "output_tokens": 500,
        "reasoning_tokens": 0,
        "input_cost_nano": 2_000_000,
        "cached_input_cost_nano": 0,
        "cache_write_cost_nano": 0,
        "output_cost_nano": 4_000_000,
        "reasoning_cost_nano": 0,
        "call_cost_nano": 0,
        "cost_nano": 6_000_000,
        "currency": version.currency,
        "latency_ms": 321,
        "first_byte_ms": 100,
        "upstream_id": "up-1",
        "client_address": "203.0.113.7",
    }
    return UsageEvent.objects.create(**{**values, **fields})


def rollup(
    kind: type, api_key: APIKey, model: Model, channel: Channel, *, days_ago: int = 0, **fields: object
) -> object:
    """A row of sums: 100 calls, 5 errors, 150,000 tokens, 1.50."""
    day = clock.now().replace(hour=0, minute=0, second=0, microsecond=0)
    values: dict[str, object] = {
        "bucket": clock.from_ms(clock.to_ms(day) - days_ago * 86_400_000),
        "organisation": api_key.organisation,
        "project": api_key.project,
        "user": api_key.user,
        "api_key": api_key,
        "model": model,
        "channel": channel,
        "currency": api_key.organisation.currency,
        "calls": 100,
        "errors": 5,
        "input_tokens": 100_000,
        "output_tokens": 50_000,
        "cost_nano": 3 * money.NANO // 2,
        "latency_ms_sum": 32_100,
    }
    return kind.objects.create(**{**values, **fields})


def fill(*, user: User, api_key: APIKey, raw_key: str, channel: Channel, model: Model, upstream_secret: str) -> House:
    """Put a row into every table that the cast leaves empty."""
    version = model.prices.first()
    event = usage(api_key, model, channel, version)
    for kind in (Rollup15m, RollupHour, RollupDay, RollupMonth):
        rollup(kind, api_key, model, channel)
    RollupDirty.objects.create(level="day", organisation=api_key.organisation, bucket=clock.now())
    PostingFault.objects.create(
        entry="0:1-1", organisation_id=api_key.organisation_id, cost_nano=1, payload="{}", error="not JSON"
    )
    VerifierRun.objects.create(duration_ms=12, findings=[])
    price_records.fill(model=model, actor=user, usage=event)
    _logins(user)
    _kept(api_key.organisation, user)
    _news(api_key.organisation, user)
    offers.traces(api_key.organisation, user)
    codes = house_of_codes.fill(organisation=api_key.organisation, user=user)
    house_of_payments.fill(organisation=api_key.organisation, user=user)
    house_of_wallets.fill(organisation=api_key.organisation, user=user, model=model)
    cast.terms(channel)
    ModelAlias.objects.create(name="our-best", model=model)
    ModelFallback.objects.create(model=model, fallback=cast.model("stand-in", on=channel, priced=False))
    ModelLimit.objects.create(organisation=api_key.organisation, model=model, requests_per_day=1000)
    Group.objects.create(name="Support")
    CrontabSchedule.objects.create(minute="5")
    SolarSchedule.objects.create(event="sunrise", latitude=52, longitude=13)
    ClockedSchedule.objects.create(clocked_time=clock.now())
    return House(
        organisation=api_key.organisation,
        user=user,
        api_key=api_key,
        channel=channel,
        model=model,
        price=version,
        usage=event,
        secrets=(
            raw_key,
            upstream_secret,
            bytes(api_key.digest).hex(),
            user.password,
            user.password.rpartition("$")[2],
            TOTP_SECRET,
            TYPED_PASSWORD,
            *house_of_payments.SECRETS,
            *house_of_reports.SECRETS,
            *house_of_notices.SECRETS,
            *house_of_truth.SECRETS,
            *codes,
            channel.keys.get().sealed,
        ),
    )


def _news(organisation: Organisation, user: User) -> None:
    notices.post(once="house", kind="test", title="News", audience="members", organisation=organisation)
    notices.mark_read(user=user, notices=Notice.objects.all())


def _kept(organisation: Organisation, user: User) -> None:
    seed(RetentionRule)
    retention.impose(organisation=organisation, log_class="", actor=user, reason="A dispute")
    UsagePurge.objects.create(
        month=datetime(2024, 1, 1, tzinfo=UTC),
        organisation=organisation,
        currency=organisation.currency,
        rows=5,
        test_rows=1,
        cost_nano=money.NANO,
    )


def _logins(user: User) -> None:
    EmailAddress.objects.create(user=user, email=user.email, primary=True, verified=True)
    Authenticator.objects.create(user=user, type="totp", data={"secret": TOTP_SECRET})
    seen = {"ip_address": "203.0.113.7", "username": user.email, "path_info": "/accounts/login/", "user_agent": "x"}
    AccessAttempt.objects.create(**seen, failures_since_start=3, post_data=f"password={TYPED_PASSWORD}", get_data="")
    AccessFailureLog.objects.create(**seen, locked_out=False)
    AccessLog.objects.create(**seen, session_hash="not-a-session")
