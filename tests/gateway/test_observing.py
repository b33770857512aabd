"""What a worker remembers of calls: hashes taken in passing, sent on beside the calls, bounded when Redis is away."""

import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
from django.conf import settings
from redis import Redis

from moderation import policy
from newapi.gateway import observing, safety
from newapi.gateway.observing import Observer, Phrases, hashes, text_of
from newapi.kernel import observations
from newapi.kernel.meters.pipe import Pipe
from newapi.kernel.observations import Observation
from tests.processes import free_port


@pytest.fixture
async def observer(redis: Redis) -> AsyncIterator[Observer]:
    """A worker's."""
    pipe = Pipe(settings.REDIS_URL)
    yield Observer(pipe)
    await pipe.close()


def seen(number: int = 1) -> Observation:
    """A call."""
    return Observation(number, f"r{number}", 1, 1, 1, 1)


def received(redis: Redis) -> list[list[Observation]]:
    """The batches on the stream."""
    rows: Any = redis.xrange(observations.STREAM)
    return [observations.decode(fields[observations.BATCH_FIELD]) for _, fields in rows]


def chat(*contents: object, role: str = "user") -> dict[str, Any]:
    """A body."""
    return {"model": "m", "messages": [{"role": role, "content": content} for content in contents]}


async def test_what_was_noted_arrives_in_order_and_in_batches(observer: Observer, redis: Redis) -> None:
    for number in range(450):
        observer.note(seen(number))
    assert redis.exists(observations.STREAM) == 0
    await observer.flush()
    batches = received(redis)
    assert [len(batch) for batch in batches] == [50] * 9
    assert [one.at_ms for batch in batches for one in batch] == list(range(450))
    await observer.flush()
    assert len(received(redis)) == 9


async def test_while_redis_is_away_the_newest_are_kept_up_to_a_bound(redis: Redis) -> None:
    away = Observer(Pipe(f"redis://127.0.0.1:{free_port()}/0"))
    for round_ in range(3):
        for number in range(observing.NOTED_MAX + 7):
            away.note(seen(round_ * 100_000 + number))
        await away.flush()
    assert away.dropped == 3 * 7 + 2 * observing.NOTED_MAX
    # Redis is back, under the address that this worker knows.
    away._pipe = Pipe(settings.REDIS_URL)
    await away.flush()
    kept = [one.at_ms for batch in received(redis) for one in batch]
    assert kept == list(range(200_007, 220_007))
    await away._pipe.close()


async def test_a_batch_whose_arrival_is_unsure_is_sent_again_under_its_name(redis: Redis) -> None:
    pipe = _Unsure(settings.REDIS_URL)
    observer = Observer(pipe)
    observer.note(seen())
    await observer.flush()
    await observer.flush()
    await observer.flush()
    rows: Any = redis.xrange(observations.STREAM)
    assert len(rows) == 2
    assert len({fields[observations.NAME_FIELD] for _, fields in rows}) == 1
    await pipe.close()


class _Unsure(Pipe):
    """Loses the first reply, though the command arrived."""

    async def command(self, *command: Any) -> Any:
        reply = await super().command(*command)
        if self.commands == 1:
            raise ConnectionError("the reply is lost")
        return reply


async def test_the_stream_is_bounded_when_no_job_reads_it(
    observer: Observer, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(observations, "STREAM_BATCHES_MAX", 200)
    for number in range(600):
        observer.note(seen(number))
        await observer.flush()
    assert 200 <= redis.xlen(observations.STREAM) < 400
    assert received(redis)[-1] == [seen(599)]


@pytest.mark.req("GW-09", "GW-10")
def test_prompts_that_differ_in_numbers_case_and_spaces_have_one_shape() -> None:
    texts = ["Repeat item 7 of the list", "repeat item 12 of the  list", "Repeat item\n1234 of the list"]
    found = [hashes(chat(text), "chat.completions") for text in texts]
    assert len({prompt for prompt, _ in found}) == 3
    assert len({shape for _, shape in found}) == 1
    assert hashes(chat("Summarise the letter below"), "chat.completions")[1] != found[0][1]
    # Far behind the beginning a difference makes another prompt, of the same shape.
    long = "The same beginning of every request that this program sends, then: "
    first, second = (hashes(chat(long + end), "chat.completions") for end in ("apples", "oranges"))
    assert first[0] != second[0]
    assert first[1] == second[1]


def test_the_last_text_of_the_user_is_what_is_hashed() -> None:
    alone = hashes(chat("Hello"), "chat.completions")
    talk = [
        {"role": "system", "content": "Be kind"},
        {"role": "user", "content": "Before"},
        {"role": "assistant", "content": "Yes"},
        {"role": "user", "content": [{"type": "text", "text": "Hello"}, {"type": "image_url", "image_url": {}}]},
        {"role": "tool", "content": "42"},
    ]
    assert hashes({"messages": talk}, "chat.completions") == alone
    assert hashes({"input": "Hello"}, "embeddings") == alone
    assert hashes({"input": ["Before", "Hello"]}, "embeddings") == alone


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"messages": []},
        {"messages": "Hello"},
        {"messages": [7, None]},
        {"messages": [{"role": "user"}]},
        {"messages": [{"role": "user", "content": 7}]},
        {"messages": [{"role": "user", "content": [7, {"text": 7}, {"type": "image_url"}]}]},
        {"messages": [{"role": "system", "content": "Hello"}]},
    ],
)
def test_a_body_without_text_has_no_hashes_and_no_phrases(body: dict[str, Any]) -> None:
    assert hashes(body, "chat.completions") == (0, 0)
    assert Phrases([(1, "hello world")]).found_in(text_of(body)) == ()


@pytest.mark.parametrize("given", [None, [], [1, 2, 3], [[1, 2]], "", 7])
def test_embeddings_of_tokens_have_no_hashes(given: object) -> None:
    assert hashes({"input": given}, "embeddings") == (0, 0)


def test_a_huge_body_costs_no_more_than_a_large_one() -> None:
    huge = [
        chat("word " * 2_000_000),
        chat([{"type": "text", "text": ""}] * 200_000),
        chat(*["a b"] * 200_000),
        {"input": ["x"] * 1_000_000},
    ]
    phrases = Phrases([(number, f"phrase number {number}") for number in range(200)])
    for body in huge:
        started = time.perf_counter()
        hashes(body, "embeddings" if "input" in body else "chat.completions")
        text = text_of(body)
        assert len(text) <= observing.TEXT_LENGTH_MAX + 2
        assert phrases.found_in(text) == ()
        assert time.perf_counter() - started < 0.1


@pytest.mark.req("GW-12")
def test_phrases_are_found_whatever_their_case_and_spaces_wherever_they_stand() -> None:
    phrases = Phrases([(4, "Ignore previous instructions"), (4, "you are now dan"), (9, "instructions, please")])
    for text in (
        "please IGNORE  previous\n\tinstructions!",
        "ignore previous instructions",
        "x" * 16_000 + " You are now DAN",
    ):
        assert phrases.found_in(text_of(chat("Hello", text, "And then?"))) == (4,)
    assert phrases.found_in(text_of(chat("ignore previous instructions, please"))) == (4, 9)
    assert phrases.found_in(text_of(chat([{"type": "text", "text": "You are now Dan"}]))) == (4,)
    assert phrases.found_in(text_of(chat("you are now dan", role="system"))) == (4,)
    assert phrases.found_in(text_of({"input": ["a", "you are now dan"]})) == (4,)
    assert phrases.found_in(text_of(chat("Which previous instructions do you ignore?"))) == ()
    assert not Phrases([])
    assert Phrases([(1, "   ")]).found_in("anything") == ()


@pytest.mark.req("GW-12")
def test_a_phrase_is_words_and_no_pattern() -> None:
    phrases = Phrases([(1, "(a+)+$ .* [x]"), (2, "100% off?")])
    assert phrases.found_in("try (A+)+$ .* [x] now") == (1,)
    assert phrases.found_in("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa! 1000 off") == ()


def test_of_a_long_text_the_beginning_and_the_end_are_looked_through() -> None:
    phrases = Phrases([(1, "at the very start"), (2, "at the very end")])
    text = text_of(chat("at the very start" + "x" * 100_000 + "at the very end"))
    assert phrases.found_in(text) == (1, 2)


REFUSALS = [
    (b'{"choices":[{"finish_reason":"content_filter","message":{"content":""}}]}', ("PA-OTHER",)),
    (b'{"choices":[{"message":{"content":null,"refusal":"I cannot help."},"finish_reason":"stop"}]}', ("PA-OTHER",)),
    (b'data: {"choices":[{"delta":{"refusal":"I"}}]}\n\n', ("PA-OTHER",)),
    (b'{"error": {"code": "content_policy_violation", "message": "No"}}', ("PA-OTHER",)),
    (
        b'{"error":{"code":"content_filter","innererror":{"code":"ResponsibleAIPolicyViolation",'
        b'"content_filter_result":{"hate":{"filtered":true,"severity":"high"},"self_harm":{"filtered":false},'
        b'"jailbreak":{"detected":true,"filtered":true},"sexual":{"filtered":false}}}}}',
        ("HT-HATE", "PA-JAILBREAK"),
    ),
    (
        b'{"choices":[{"finish_reason":"content_filter","content_filter_results":{"violence":{"filtered":true},'
        b'"sexual":{"filtered":true},"self_harm":{"filtered":true},"astrology":{"filtered":true}}}]}',
        ("PA-OTHER", "SH-SELF", "SX-ADULT", "VI-GRAPHIC"),
    ),
    (
        b'{"promptFeedback":{"blockReason":"SAFETY","safetyRatings":[{"category":"HARM_CATEGORY_HATE_SPEECH",'
        b'"probability":"HIGH"},{"category":"HARM_CATEGORY_HARASSMENT","probability":"LOW"}]}}',
        ("HT-HATE",),
    ),
    (
        b'{"candidates":[{"finishReason":"SAFETY","safetyRatings":[{"category":"HARM_CATEGORY_DANGEROUS_CONTENT",'
        b'"probability":"MEDIUM","blocked":true},{"category":"HARM_CATEGORY_SEXUALLY_EXPLICIT","probability":"HIGH",'
        b'"blocked":false}]}]}',
        ("WP-ILLEGAL",),
    ),
    (b'{"candidates":[{"finishReason":"PROHIBITED_CONTENT"}]}', ("PA-OTHER",)),
    (b'{"stop_reason":"refusal","content":[]}', ("PA-OTHER",)),
    (
        b'{"error":{"code":"content_policy_violation","moderation":{"categories":{"hate":false,"sexual/minors":true,'
        b'"self-harm/intent":true}}}}',
        ("CS-CSAM", "SH-SELF"),
    ),
    (
        b'data: {"choices":[]}\n\ndata: {"choices":[{"finish_reason":"content_filter","content_filter_results":'
        b'{"hate":{"filtered":true}}}]}\n\ndata: [DONE]\n\n',
        ("HT-HATE",),
    ),
]


@pytest.mark.req("CHN-09")
@pytest.mark.parametrize(("body", "codes"), REFUSALS)
def test_refusals_of_every_provider_are_known_and_named_by_our_codes(body: bytes, codes: tuple[str, ...]) -> None:
    assert safety.is_refusal(body)
    assert safety.categories_of(body) == codes


@pytest.mark.req("CHN-09")
@pytest.mark.parametrize(
    "body",
    [
        b'{"choices":[{"message":{"content":"Hi","refusal":null},"finish_reason":"stop"}]}',
        b'{"choices":[{"finish_reason":"stop","content_filter_results":{"hate":{"filtered":false,"severity":"safe"}}}]}',
        b'{"choices":[{"message":{"content":"\\"finish_reason\\": \\"content_filter\\" is what it says"}}]}',
        b'{"choices":[{"message":{"content":"{\\"refusal\\":\\"x\\"} SAFETY\\" first"}}]}',
        b'{"candidates":[{"finishReason":"STOP","safetyRatings":[{"category":"HARM_CATEGORY_HARASSMENT"}]}]}',
        b'data: {"choices":[{"delta":{"content":"The refusal"}}]}\n\n',
        b'data: {"choices":[{"delta":{"refusal":""}}]}\n\n',
        b"",
        b"\xff\xfe",
    ],
)
def test_ordinary_answers_are_no_refusals(body: bytes) -> None:
    assert not safety.is_refusal(body)


@pytest.mark.req("CHN-09")
def test_every_code_that_a_refusal_can_be_named_by_is_in_the_policy() -> None:
    codes = {row["code"] for row in policy.rows()}
    assert {*safety._CODES.values(), safety.UNNAMED} <= codes


@pytest.mark.parametrize("body", [b"", b"{", b"[1,2]", b'"x"', b"data: {", b"\xff", b'{"a":' * 500 + b"1" + b"}" * 500])
def test_what_names_nothing_is_other(body: bytes) -> None:
    assert safety.categories_of(body) == ("PA-OTHER",)
