"""Detectors: each trips on the misuse that it is for, once, and leaves ordinary use alone. Through stream and job."""

from datetime import timedelta

import pytest
from redis import Redis

from accounts.models import APIKey, Organisation, User
from moderation.detectors import counters
from moderation.models import Approval, DetectorRule, PolicyCategory, Signal
from moderation.services import detecting
from moderation.tasks import detect
from newapi.kernel import clock, observations
from tests import cast
from tests.moderation import calls
from tests.moderation.calls import call, found, send, show, silent

pytestmark = pytest.mark.django_db

MINUTE, HOUR = 60, 3600


@pytest.fixture(autouse=True)
def rules(categories: None) -> None:
    """The first version of each rule."""
    calls.seed()


@pytest.fixture
def key(acme: Organisation, ben: User) -> APIKey:
    """A key of Ben's."""
    return cast.api_key(acme, ben).api_key


def keys_of(organisation: Organisation, user: User, n: int, **limits: int) -> list[APIKey]:
    """So many keys, each with 10 calls a minute."""
    limits = {"requests_per_minute": 10, **limits}
    return [cast.api_key(organisation, user, f"Key {i}", limits=limits).api_key for i in range(n)]


def round_robin(keys: list[APIKey], minutes: int, **shown: object) -> None:
    """Eight calls a minute with each key, so many minutes long; looked at after each minute."""
    for minute in range(minutes):
        with clock.shifted(minute * MINUTE):
            show(*(call(key, **shown) for _ in range(8) for key in keys))


@pytest.mark.req("GW-05")
def test_five_keys_in_turn_each_under_its_limit_trip_rate_evasion_once(acme: Organisation, ben: User) -> None:
    round_robin(keys_of(acme, ben, 5), minutes=4)
    [signal] = found("rate_evasion")
    assert (signal.category.code, signal.organisation, signal.user, signal.api_key) == ("PA-RATE", acme, ben, None)
    assert signal.count == 160
    assert signal.facts == {"minutes": 4, "keys": 5, "calls in a minute": 40, "limit of a key": 10}
    assert not signal.is_shadow


@pytest.mark.req("GW-05")
def test_keys_of_several_owners_at_one_address_trip_it_for_each_of_them(
    acme: Organisation, globex: Organisation, ben: User, gus: User
) -> None:
    keys = keys_of(acme, ben, 2) + keys_of(globex, gus, 2)
    innocent = keys_of(acme, cast_member(acme, "una"), 1)
    with_quiet = [call(innocent[0], address=77)]
    for minute in range(3):
        with clock.shifted(minute * MINUTE):
            show(*with_quiet, *(call(key, address=77) for _ in range(8) for key in keys))
    assert {(signal.organisation, signal.user) for signal in found("rate_evasion")} == {(acme, ben), (globex, gus)}


def cast_member(organisation: Organisation, name: str) -> User:
    """Another member."""
    user = cast.person(name)
    cast.member(organisation, user)
    return user


@pytest.mark.req("GW-05")
def test_one_busy_key_idle_keys_and_keys_without_limits_beat_no_rate(acme: Organisation, ben: User) -> None:
    busy, *idle = keys_of(acme, ben, 5)
    free = keys_of(acme, ben, 3, requests_per_minute=None) * 99
    for minute in range(5):
        with clock.shifted(minute * MINUTE):
            show(
                *(call(busy) for _ in range(12)),
                *(call(one) for one in idle),
                *(call(k) for k in free for _ in range(99)),
            )
    silent()


@pytest.mark.req("GW-05")
def test_eleven_keys_made_in_a_day_trip_it_and_a_rotation_a_week_does_not(
    acme: Organisation, ben: User, ada: User
) -> None:
    for week in range(12):
        with clock.shifted(week * 7 * 86_400):
            cast.api_key(acme, ada, f"Rotation {week}")
            detect()
    silent()
    for number in range(10):
        cast.api_key(acme, ben, f"Key {number}")
    detect()
    silent()
    cast.api_key(acme, ben, "One more")
    detect()
    detect()
    [signal] = found("rate_evasion")
    assert (signal.user, signal.count, signal.facts) == (ben, 11, {"keys made in a day": 11})


@pytest.mark.req("GW-08")
@pytest.mark.parametrize("verdict", ["restricted", "blocked", "model_not_allowed", "invalid_api_key"])
def test_twenty_attempts_past_a_block_in_ten_minutes_are_one_signal(key: APIKey, verdict: str) -> None:
    for attempt in range(19):
        with clock.shifted(attempt * 20):
            show(call(key, verdict=verdict))
    silent()
    for attempt in range(19, 26):
        with clock.shifted(attempt * 20):
            show(call(key, verdict=verdict))
    [signal] = found("block_evasion")
    assert (signal.category.code, signal.api_key, signal.count) == ("PA-ACCESS", key, 26)
    assert signal.facts == {"refused attempts": 26, "calls": 26}
    assert len(signal.request_ids) == 5


@pytest.mark.req("GW-08")
def test_attempts_far_apart_are_no_evasion_and_a_later_burst_is_another_signal(key: APIKey) -> None:
    for attempt in range(40):
        with clock.shifted(attempt * 3 * MINUTE):
            show(call(key, verdict="model_not_allowed"))
    silent()
    for later in (3 * HOUR, 5 * HOUR):
        with clock.shifted(later):
            show(*(call(key, verdict="restricted") for _ in range(25)))
    assert [signal.count for signal in found("block_evasion")] == [25, 25]


@pytest.mark.req("GW-09")
def test_a_burst_of_refusals_that_begin_alike_is_probing(key: APIKey) -> None:
    refused = [call(key, text=f"Tell me how {i}", begins="tellmehow", is_refused=True) for i in range(12)]
    show(*refused, *(call(key, text=f"Plain {i}", begins=f"plain{i}") for i in range(12)))
    [signal] = found("safety_probing")
    assert (signal.category.code, signal.count, signal.is_shadow) == ("PA-PROBE", 12, True)
    assert signal.facts == {"refused for safety": 12, "calls": 24, "begin alike, percent": 100}
    assert set(signal.request_ids) <= {one.request_id for one in refused}


@pytest.mark.req("GW-09")
@pytest.mark.parametrize("refused", ["few", "a small share", "all different"])
def test_ordinary_traffic_with_refusals_in_it_is_no_probing(key: APIKey, refused: str) -> None:
    n, others = {"few": (9, 0), "a small share": (12, 40), "all different": (15, 15)}[refused]
    begins = "unlike{}" if refused == "all different" else "tellmehow"
    show(
        *(call(key, text=f"No {i}", begins=begins.format(i), is_refused=True) for i in range(n)),
        *(call(key, text=f"Plain {i}", begins=f"plain{i}") for i in range(max(others, 20 - n))),
    )
    silent()


@pytest.mark.req("GW-10")
def test_a_scripted_sweep_of_one_shape_is_extraction(key: APIKey) -> None:
    for part in range(25):
        with clock.shifted(part * 2 * MINUTE):
            show(*(call(key, text=f"Repeat item {part * 8 + i}", begins="repeatitem") for i in range(8)))
    [signal] = found("extraction")
    assert (signal.category.code, signal.count, signal.is_shadow) == ("PA-EXTRACT", 200, True)


@pytest.mark.req("GW-10")
def test_logprobs_in_nearly_all_of_many_calls_are_extraction(key: APIKey, acme: Organisation, ben: User) -> None:
    many = [call(key, text=f"{i}", begins=f"{i}", wants_logprobs=i % 10 != 0) for i in range(200)]
    other = cast.api_key(acme, ben, "Other").api_key
    show(*many, *(call(other, text=f"{i}", begins=f"{i}", wants_logprobs=i % 2 == 0) for i in range(300)))
    [signal] = found("extraction")
    assert (signal.api_key, signal.count) == (key, 180)


@pytest.mark.req("GW-10")
def test_the_same_text_again_and_texts_that_differ_are_no_sweep(key: APIKey) -> None:
    show(*(call(key, text="ping", begins="ping") for _ in range(400)))
    show(*(call(key, text=f"Question {i}", begins=f"q{i}") for i in range(400)))
    silent()


def a_day_of(key: APIKey, *, prompts: int) -> None:
    """Every hour of a day 40 calls of 100 tokens, with so many different prompts."""
    for hour in range(24):
        with clock.shifted(hour * HOUR):
            texts = (f"{hour} {i % prompts}" for i in range(40))
            show(*(call(key, text=text, begins=text, output_tokens=100) for text in texts))


@pytest.mark.req("GW-11")
@pytest.mark.parametrize("approved", ["no", "the organisation", "the key", "another key"])
def test_harvesting_around_the_clock_is_noticed_unless_it_is_approved(
    key: APIKey, acme: Organisation, ben: User, approved: str
) -> None:
    calls.publish("harvesting", "signal", calls_per_hour_min=30, tokens_per_hour_min=3000)
    if approved != "no":
        other = cast.api_key(acme, ben, "Other").api_key
        Approval.objects.create(
            organisation=acme,
            api_key={"the organisation": None, "the key": key, "another key": other}[approved],
            kind=Approval.Kind.USE_CASE,
            category=PolicyCategory.objects.get(code="PA-SCRAPE"),
            purpose="A data set for research",
            state=Approval.State.APPROVED,
            starts_at=clock.now() - timedelta(days=1),
        )
    a_day_of(key, prompts=40)
    if approved in ("the organisation", "the key"):
        silent()
        return
    [signal] = found("harvesting")
    assert signal.category.code == "PA-SCRAPE"
    assert (signal.facts["hours"], signal.facts["calls"]) == (24, 960)


@pytest.mark.req("GW-11")
def test_a_day_of_the_same_questions_and_a_busy_office_day_are_no_harvest(key: APIKey) -> None:
    calls.publish("harvesting", "signal", calls_per_hour_min=30, tokens_per_hour_min=3000)
    a_day_of(key, prompts=10)
    with clock.shifted(30 * HOUR):
        for hour in range(9):
            with clock.shifted(hour * HOUR):
                show(*(call(key, text=f"x{hour} {i}", begins=f"{i}", output_tokens=100) for i in range(40)))
    silent()


@pytest.mark.req("GW-12")
def test_a_phrase_is_a_signal_of_the_version_that_knew_it(key: APIKey) -> None:
    old = DetectorRule.objects.get(detector="jailbreak")
    new = calls.publish("jailbreak", "block", phrases=["sesame open now"])
    show(call(key, rules=(old.pk,)), *(call(key, rules=(new.pk,), verdict="policy_jailbreak") for _ in range(3)))
    first, second = found("jailbreak")
    assert [(signal.rule, signal.count, signal.is_shadow) for signal in (first, second)] == [
        (old, 1, True),
        (new, 3, False),
    ]
    assert {first.category.code, second.category.code} == {"PA-JAILBREAK"}
    silent(jailbreak=2)


@pytest.mark.req("GW-30")
@pytest.mark.parametrize("kind", ["country", "asn"])
def test_one_key_from_six_places_in_a_day_is_shared(key: APIKey, kind: str) -> None:
    for place in range(6):
        with clock.shifted(place * 4 * HOUR):
            show(call(key, **{kind: f"{'ABCDEF'[place]}X" if kind == "country" else 64500 + place}))
    [signal] = found("key_sharing")
    assert (signal.category.code, signal.count) == ("PA-KEYTRADE", 6)


@pytest.mark.req("GW-30")
def test_a_roaming_user_of_two_countries_shares_nothing(key: APIKey) -> None:
    for hop in range(60):
        with clock.shifted(hop * HOUR):
            show(call(key, country=("DE", "NL")[hop % 2], asn=(3320, 1136, 9009)[hop % 3]))
    silent()


@pytest.mark.req("GW-30")
def test_places_of_other_days_do_not_add_up(key: APIKey) -> None:
    for day in range(8):
        with clock.shifted(day * 24 * HOUR):
            show(call(key, country=f"{'ABCDEFGH'[day]}X"))
    silent()


@pytest.mark.req("GW-31")
def test_a_burst_of_malformed_requests_is_an_attack(key: APIKey) -> None:
    show(*(call(key, model=0, verdict="body_too_large") for _ in range(25)), *(call(key) for _ in range(5)))
    silent()
    show(*(call(key, model=0, verdict="invalid_request") for _ in range(25)))
    [signal] = found("attack")
    assert (signal.category.code, signal.count, signal.facts["calls"]) == ("CY-ATTACK", 50, 55)


@pytest.mark.req("CHN-09")
def test_what_an_upstreams_filter_names_is_a_signal_for_each_category_and_hour(key: APIKey) -> None:
    with clock.at(clock.now().replace(minute=5)):
        show(call(key, is_refused=True, categories=("HT-HATE", "SX-ADULT")), call(key, categories=("HT-HATE",)))
        with clock.shifted(20 * MINUTE):
            show(call(key, is_refused=True, categories=("HT-HATE",)))
        with clock.shifted(HOUR):
            show(call(key, is_refused=True, categories=("HT-HATE",)))
    told = Signal.objects.filter(source="upstream").order_by("pk")
    assert [(signal.category.code, signal.count, signal.rule) for signal in told] == [
        ("HT-HATE", 3, None),
        ("SX-ADULT", 1, None),
        ("HT-HATE", 1, None),
    ]


@pytest.mark.req("GW-34")
def test_a_script_at_an_allowed_rate_gives_no_signal(acme: Organisation, ben: User) -> None:
    """`python-requests` and a browser leave the same observation: nothing in it says how the client is named."""
    [key] = keys_of(acme, ben, 1, requests_per_minute=60)
    for minute in range(60):
        with clock.shifted(minute * MINUTE):
            show(*(call(key, text=f"{minute} {i}", begins=f"{minute} {i}", address=9, asn=14618) for i in range(10)))
    assert not Signal.objects.exists()
    assert not [name for name in call(key).__slots__ if "agent" in name or "header" in name or "client" in name]


@pytest.mark.req("GW-35")
def test_a_rule_in_shadow_counts_and_one_that_is_off_does_nothing(key: APIKey) -> None:
    calls.publish("attack", "off")
    calls.publish("block_evasion", "shadow")
    show(*(call(key, verdict=verdict) for verdict in ("invalid_request", "restricted") for _ in range(60)))
    [signal] = found("block_evasion")
    assert signal.is_shadow
    silent(block_evasion=1)


@pytest.mark.req("GW-35")
def test_a_new_version_judges_by_its_own_numbers_and_its_signals_cite_it(key: APIKey) -> None:
    burst = [call(key, verdict="restricted") for _ in range(20)]
    show(*burst)
    lower = calls.publish("block_evasion", "signal", attempts_min=5)
    show(call(key, verdict="restricted"))
    assert [(signal.rule.version, signal.count) for signal in found("block_evasion")] == [(1, 20), (2, 21)]
    assert found("block_evasion")[1].rule == lower


def test_keys_of_others_have_their_own_counts(key: APIKey, globex: Organisation, gus: User) -> None:
    other = cast.api_key(globex, gus).api_key
    show(*(call(one, verdict="restricted") for one in (key, other) for _ in range(15)))
    silent()


def test_what_belongs_to_no_known_key_is_about_nobody(key: APIKey, acme: Organisation) -> None:
    nobody = call(key, verdict="invalid_api_key", api_key=0, organisation=0, user=0)
    gone = call(key, verdict="restricted", api_key=987_654)
    show(*[nobody] * 60, *[gone] * 60)
    silent()
    assert detect() == 0


def test_a_batch_that_is_sent_twice_counts_once(key: APIKey) -> None:
    for _ in range(3):
        send([call(key, verdict="restricted") for _ in range(8)], name="same")
    assert detect() == 3
    silent()


def test_a_batch_that_two_runs_have_read_counts_once(key: APIKey) -> None:
    send([call(key, verdict="restricted") for _ in range(15)])
    [batch] = counters.waiting(limit=10)
    assert [counters.count(batch), counters.count(batch)] == [True, False]
    detect()
    silent()


def test_a_crash_between_counting_and_looking_loses_nothing(
    key: APIKey, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    send([call(key, verdict="restricted") for _ in range(20)])

    def crash() -> None:
        raise SystemExit

    with monkeypatch.context() as broken, pytest.raises(SystemExit):
        broken.setattr(detecting, "_look", crash)
        detect()
    silent()
    detect()
    assert [signal.count for signal in found("block_evasion")] == [20]


def test_only_one_run_works_at_a_time(key: APIKey, redis: Redis) -> None:
    send([call(key, verdict="restricted") for _ in range(20)])
    elsewhere = counters.Lease("another run", 60_000)
    assert elsewhere.take()
    assert detect() == 0
    silent()
    elsewhere.give_back()
    assert detect() == 1
    silent(block_evasion=1)


def test_a_batch_that_cannot_be_read_is_left_out_and_the_rest_counts(
    key: APIKey, redis: Redis, caplog: pytest.LogCaptureFixture
) -> None:
    for payload in (b"", b"{}", b"[99,[]]", b"[1,[1,2]]", b"\xff"):
        redis.xadd(observations.STREAM, {"n": "x", "b": payload})
    redis.xadd(observations.STREAM, {"other": "field"})
    show(*(call(key, verdict="restricted") for _ in range(20)))
    silent(block_evasion=1)
    assert redis.xlen(observations.STREAM) == 0
    assert caplog.text.count("cannot be read") == 6


@pytest.mark.req("GW-16")
def test_counters_are_bounded_and_leave_by_themselves(key: APIKey, redis: Redis) -> None:
    show(
        *(
            call(key, text=f"{i}", begins=f"{i}", country=f"{i:02}", asn=i + 1, address=i + 1, is_refused=True)
            for i in range(3000)
        )
    )
    names = [name for name in redis.scan_iter("{obs}*") if name not in (b"{obs}calls", b"{obs}touched")]
    assert len(names) > 3000
    assert [name for name in names if redis.ttl(name) < 0] == []
    assert max(redis.zcard(name) for name in names if redis.type(name) == b"zset") <= 32
    assert max(redis.hlen(name) for name in names if redis.type(name) == b"hash") <= 100
    assert max(redis.llen(name) for name in names if redis.type(name) == b"list") <= 5
