"""Signals: one for each finding, raised while it goes on, judged by people, and never any text."""

import asyncio
from datetime import timedelta

import pytest
from django.apps import apps
from django.conf import settings
from django.core.exceptions import ValidationError
from redis import Redis

from accounts.models import APIKey, AuditEvent, Organisation, User
from moderation import permissions
from moderation.models import Signal
from moderation.services import signals
from moderation.services.signals import Subject
from moderation.tasks import detect
from newapi.gateway.observing import Observer, Phrases, hashes, text_of
from newapi.kernel import clock
from newapi.kernel.meters.pipe import Pipe
from newapi.kernel.observations import Observation
from tests import cast
from tests.moderation import calls, desk
from tests.moderation.calls import call

CANARY = "zebra-canary tell me the secret of the blue vault"


@pytest.fixture
def key(acme: Organisation, ben: User) -> APIKey:
    """A key of Ben's."""
    return cast.api_key(acme, ben).api_key


def notice(key: APIKey, count: int = 20, **changes: object) -> Signal | None:
    """A finding about a key."""
    words: dict[str, object] = {
        "about": "attack:v1:",
        "subject": Subject(f"k:{key.pk}", key.organisation_id, key.pk, key.user_id),
        "category_id": desk.category("CY-ATTACK").pk,
        "rule_id": None,
        "source": Signal.Source.DETECTOR,
        "is_shadow": False,
        "count": count,
        "facts": {"calls": count},
        "request_ids": [f"r{count}"],
        "window": timedelta(minutes=10),
    }
    return signals.notice(**{**words, **changes})


@pytest.mark.req("GW-08")
@pytest.mark.django_db
def test_a_finding_that_goes_on_is_one_signal_whose_count_only_rises(key: APIKey) -> None:
    first = notice(key)
    assert first is not None
    for after, count in ((60, 25), (120, 31), (180, 28), (599, 31)):
        with clock.shifted(after):
            assert notice(key, count) is None
    [signal] = Signal.objects.all()
    assert (signal.count, signal.facts, signal.request_ids) == (31, {"calls": 31}, ["r31"])
    assert signal.first_at == first.first_at
    assert timedelta(seconds=119) < signal.last_at - signal.first_at < timedelta(seconds=122)


@pytest.mark.django_db
def test_after_its_window_or_about_another_it_is_another_signal(key: APIKey, acme: Organisation, ben: User) -> None:
    other = cast.api_key(acme, ben, "Other").api_key
    notice(key)
    assert notice(other) is not None
    assert notice(key, about="attack:v2:") is not None
    with clock.shifted(601):
        assert notice(key) is not None
    # k:1 is not the beginning of k:17.
    assert notice(key, subject=Subject(f"k:{key.pk}0", key.organisation_id, key.pk, key.user_id)) is not None
    assert Signal.objects.count() == 5


@pytest.mark.django_db
def test_facts_are_numbers_and_request_ids_are_few(key: APIKey) -> None:
    for facts in ({"prompt": "Tell me"}, {"share": 0.5}, {"is": True}, {"list": [1]}):
        with pytest.raises(ValueError, match="whole numbers"):
            notice(key, facts=facts)
    assert not Signal.objects.exists()
    notice(key, request_ids=[str(number) for number in range(50)])
    assert Signal.objects.get().request_ids == ["0", "1", "2", "3", "4"]


@pytest.mark.req("GW-35")
@pytest.mark.django_db
def test_a_person_judges_a_signal_and_may_change_their_mind(key: APIKey, rex: User, roy: User) -> None:
    for person in (rex, roy):
        desk.grant(person, permissions.JUDGE_SIGNAL)
    signal = notice(key)
    assert signal is not None
    assert signals.judge(signal=signal, verdict="confirmed", actor=rex, reason="Seen in the log")
    copy = Signal.objects.get()
    assert not signals.judge(signal=copy, verdict="confirmed", actor=roy, reason="As well")
    assert signals.judge(signal=copy, verdict="false_positive", actor=roy, reason="A test of theirs")
    signal.refresh_from_db()
    assert (signal.verdict, signal.verdict_by) == ("false_positive", roy)
    rows = AuditEvent.objects.filter(action="signal.judge").order_by("pk")
    assert [(row.actor, row.reason, row.organisation, row.changes["verdict"]) for row in rows] == [
        (rex, "Seen in the log", key.organisation, ["open", "confirmed"]),
        (roy, "A test of theirs", key.organisation, ["confirmed", "false_positive"]),
    ]


@pytest.mark.django_db
@pytest.mark.parametrize(("verdict", "reason"), [("confirmed", " "), ("open", "Undo it"), ("guilty", "Looks so")])
def test_nonsense_judges_nothing(key: APIKey, rex: User, verdict: str, reason: str) -> None:
    desk.grant(rex, permissions.JUDGE_SIGNAL)
    signal = notice(key)
    assert signal is not None
    with pytest.raises(ValidationError):
        signals.judge(signal=signal, verdict=verdict, actor=rex, reason=reason)
    assert Signal.objects.get().verdict == "open"


@pytest.mark.req("GW-16", "GW-09")
@pytest.mark.django_db
def test_no_text_of_a_call_is_in_redis_or_the_database_after_the_job_ran(key: APIKey, redis: Redis) -> None:
    """From the gateway's own hashing to the signals, with every detector tripped by the same text."""
    calls.seed()
    # This much of the text stands in the rule, where an admin wrote it.
    rule = calls.publish("jailbreak", "signal", phrases=["the blue vault"])
    body = {"messages": [{"role": "user", "content": CANARY}], "model": "mock-gpt"}
    prompt, shape = hashes(body, "chat.completions")
    shown = {
        "prompt": prompt,
        "shape": shape,
        "is_refused": True,
        "wants_logprobs": True,
        "rules": Phrases([(rule.pk, "the blue vault")]).found_in(text_of(body)),
        "categories": ("HT-HATE",),
    }
    asyncio.run(_observe([call(key, verdict=v, **shown) for v in ("ok", "restricted", "invalid_request")] * 300))
    assert redis.xlen("{obs}calls") == 18
    _look_for_canary_in_redis(redis)
    detect()
    _look_for_canary_in_redis(redis)
    assert set(Signal.objects.values_list("category__code", flat=True)) >= {
        "PA-ACCESS", "PA-PROBE", "PA-EXTRACT", "PA-JAILBREAK", "CY-ATTACK", "HT-HATE",
    }  # fmt: skip
    _look_for_canary_in_the_database()


async def _observe(shown: list[Observation]) -> None:
    pipe = Pipe(settings.REDIS_URL)
    observer = Observer(pipe)
    for one in shown:
        observer.note(one)
    await observer.flush()
    await pipe.close()


WORDS = ("zebra", "canary", "tell me", "secret of", CANARY)


def _look_for_canary_in_redis(redis: Redis) -> None:
    for name in redis.scan_iter("*"):
        assert not any(word.encode() in redis.dump(name) + name for word in WORDS), name


def _look_for_canary_in_the_database() -> None:
    for app in ("accounts", "channels", "billing", "moderation"):
        for model in apps.get_app_config(app).get_models():
            for row in model._default_manager.values_list():
                assert not any(word in str(row) for word in WORDS), model
