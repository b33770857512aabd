"""Jobs that wait for providers do not crowd out the others, and secrets outlive the key that sealed them."""

import io

import pytest
from django.conf import LazySettings
from django.core.management import CommandError, call_command

from accounts.models import Organisation
from billing.models import PaymentProvider, TopUpOrder
from billing.payments import runs
from billing.services import orders, payment_providers
from billing.tasks import open_top_ups
from newapi.kernel import secrets
from tests.payments import fake_stripe
from tests.payments.conftest import Order


def test_a_job_runs_once_at_a_time_and_again_afterwards(stripe: PaymentProvider, order: Order) -> None:
    order(stripe)
    assert runs.alone("open_top_ups", open_top_ups) == 0
    assert open_top_ups() == 1
    assert runs.alone("another", lambda: 7) == 7


def test_a_job_that_fails_leaves_no_lease(stripe: PaymentProvider, order: Order) -> None:
    order(stripe)
    with pytest.raises(ZeroDivisionError):
        runs.alone("open_top_ups", lambda: 1 // 0)
    assert open_top_ups() == 1


def test_without_redis_the_work_is_done_all_the_same(
    stripe: PaymentProvider, order: Order, settings: LazySettings
) -> None:
    order(stripe)
    nobody = {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": "redis://127.0.0.1:9/0"}
    settings.CACHES = {"default": nobody}
    assert open_top_ups() == 1


def test_a_run_that_is_out_of_time_leaves_the_rest_to_the_next(
    acme: Organisation, stripe: PaymentProvider, order: Order, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(3):
        order(stripe)
    with monkeypatch.context() as patched:
        patched.setattr(runs, "RUN_S_MAX", -1)
        assert orders.open_waiting() == 0
    assert set(TopUpOrder.objects.values_list("state", "polls")) == {("created", 0)}
    assert orders.open_waiting() == 3


def test_secrets_are_sealed_again_under_the_current_key(stripe: PaymentProvider, settings: LazySettings) -> None:
    payment_providers.add_webhook_secret(provider=stripe, secret="whsec_second", actor=None, reason="Rotation")
    settings.FIELD_KEYS = {"new": b"1" * 32, **settings.FIELD_KEYS}
    out = io.StringIO()
    call_command("rotate_payment_secrets", stdout=out)
    call_command("rotate_payment_secrets", stdout=out)
    assert out.getvalue().splitlines() == ["Secrets of 1 providers were sealed again.", "Nothing is left to do."]
    settings.FIELD_KEYS = {"new": b"1" * 32}
    stripe.refresh_from_db()
    assert stripe.secret() == fake_stripe.SECRET
    assert stripe.webhook_secrets() == ["whsec_second", fake_stripe.WEBHOOK_SECRET]


def test_a_secret_that_does_not_open_stops_the_rotation_and_changes_nothing(
    stripe: PaymentProvider, settings: LazySettings
) -> None:
    before = PaymentProvider.objects.values("sealed_secret", "sealed_webhook_secrets").get()
    settings.FIELD_KEYS = {"new": b"1" * 32}
    with pytest.raises(CommandError, match="Nothing was changed"):
        call_command("rotate_payment_secrets")
    assert PaymentProvider.objects.values("sealed_secret", "sealed_webhook_secrets").get() == before
    with pytest.raises(secrets.SealBroken):
        PaymentProvider.objects.get().secret()


def test_broken_settings_of_a_provider_refuse_orders_in_words(
    stripe: PaymentProvider, order: Order, settings: LazySettings
) -> None:
    settings.FIELD_KEYS = {"new": b"1" * 32}
    with pytest.raises(Exception, match="settings are broken"):
        order(stripe)
    assert not TopUpOrder.objects.exists()
