"""The mock provider: real SDKs take it for the real one, and it does wrong exactly what it is told to."""

import base64
import json
import os
import re
import socket
import struct
import subprocess
import sys
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest
import requests
from openai import OpenAI

ROOT = Path(__file__).resolve().parents[2]
HELLO = [{"role": "user", "content": "Hello there, how are you?"}]  # 25 bytes: 7 tokens
WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}, "days": {"type": "integer"}, "unit": {"enum": ["C", "F"]}},
            "required": ["city"],
        },
    },
}


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """A running `manage.py mock_upstream`."""
    process = subprocess.Popen(
        [sys.executable, "manage.py", "mock_upstream", "--port", "0"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "newapi.settings.testing"},
    )
    assert process.stdout is not None
    line = process.stdout.readline()
    found = re.fullmatch(r"mock upstream on (http://127\.0\.0\.1:\d+)\n", line)
    assert found, line
    yield found[1]
    process.terminate()
    assert process.wait(timeout=10) == 0


@pytest.fixture(autouse=True)
def fresh(url: str) -> None:
    """No defaults, no memory of earlier tests."""
    requests.delete(f"{url}/_mock/defaults", timeout=5)
    requests.delete(f"{url}/_mock/requests", timeout=5)


@pytest.fixture
def client(url: str) -> OpenAI:
    """The real SDK."""
    return OpenAI(base_url=f"{url}/v1", api_key="sk-good", max_retries=0)


def chat(url: str, model: str = "mock-gpt", **body: Any) -> requests.Response:
    """One plain call."""
    headers = {"Authorization": "Bearer sk-good", **body.pop("headers", {})}
    body = {"model": model, "messages": HELLO, **body}
    return requests.post(f"{url}/v1/chat/completions{body.pop('query', '')}", json=body, headers=headers, timeout=10)


def raw_chat(url: str, **body: Any) -> bytes:
    """One call over a bare socket: every byte that comes back, until the server closes."""
    host, port = url.removeprefix("http://").split(":")
    content = json.dumps({"model": "mock-gpt", "messages": HELLO, **body}).encode()
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer sk-good\r\n"
        f"Content-Length: {len(content)}\r\nConnection: close\r\n\r\n"
    )
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.sendall(head.encode() + content)
        received = b""
        try:
            while data := connection.recv(65536):
                received += data
        except ConnectionResetError:
            pass
    return received


def chunks_of(response: bytes) -> tuple[list[bytes], bool]:
    """Undo the chunked encoding: the chunks, and whether the end was marked."""
    rest = response.partition(b"\r\n\r\n")[2]
    chunks = []
    while rest:
        size, _, rest = rest.partition(b"\r\n")
        if int(size, 16) == 0:
            return chunks, True
        chunks.append(rest[: int(size, 16)])
        rest = rest[int(size, 16) + 2 :]
    return chunks, False


def events_of(body: bytes) -> list[Any]:
    """The JSON of each event of a stream, without the closing [DONE]."""
    lines = [line.removeprefix(b"data: ") for line in body.splitlines() if line.startswith(b"data: ")]
    return [json.loads(line) for line in lines if line != b"[DONE]"]


# As the OpenAI SDK sees it


def test_a_completion_is_typed_and_counted(client: OpenAI) -> None:
    answer = client.chat.completions.create(model="mock-gpt", messages=HELLO)

    assert answer.id.startswith("chatcmpl-")
    assert answer.choices[0].message.content.startswith("the sun was hot")
    assert answer.choices[0].finish_reason == "stop"
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens, answer.usage.total_tokens) == (7, 16, 23)


def test_usage_can_say_what_was_cached_and_thought(client: OpenAI) -> None:
    model = "mock-gpt;cached-tokens=1000;reasoning-tokens=30;reply-tokens=5"
    usage = client.chat.completions.create(model=model, messages=HELLO).usage

    assert (usage.prompt_tokens, usage.prompt_tokens_details.cached_tokens) == (1000, 1000)
    assert (usage.completion_tokens, usage.completion_tokens_details.reasoning_tokens) == (35, 30)


def test_a_stream_gives_usage_last_and_only_when_asked(client: OpenAI) -> None:
    ask = {"model": "mock-gpt;chunks=3", "messages": HELLO, "stream": True}
    silent = list(client.chat.completions.create(**ask))
    telling = list(client.chat.completions.create(**ask, stream_options={"include_usage": True}))

    assert [chunk.usage for chunk in silent] == [None] * 5
    assert all(len(chunk.choices) == 1 for chunk in silent)
    assert [chunk.usage for chunk in telling[:-1]] == [None] * 5
    assert telling[-1].choices == []
    assert telling[-1].usage.completion_tokens == 3
    assert "".join(chunk.choices[0].delta.content or "" for chunk in silent) == "the sun was "
    assert [chunk.choices[0].finish_reason for chunk in silent] == [None] * 4 + ["stop"]


def test_include_usage_is_null_in_every_chunk_but_the_last_on_the_wire(url: str) -> None:
    events = events_of(chat(url, "mock-gpt;chunks=2", stream=True, stream_options={"include_usage": True}).content)

    assert all("usage" in event for event in events)
    assert [event["usage"] is None for event in events] == [True] * 4 + [False]
    assert not any("usage" in event for event in events_of(chat(url, stream=True).content))


@pytest.mark.parametrize("field", ["max_tokens", "max_completion_tokens"])
def test_max_tokens_cuts_the_reply(client: OpenAI, field: str) -> None:
    answer = client.chat.completions.create(model="mock-gpt", messages=HELLO, **{field: 4})

    assert answer.choices[0].finish_reason == "length"
    assert answer.usage.completion_tokens == 4


def test_each_choice_is_made_and_counted(client: OpenAI) -> None:
    answer = client.chat.completions.create(model="mock-gpt;reply-tokens=5", messages=HELLO, n=3)
    stream = client.chat.completions.create(model="mock-gpt;reply-tokens=5", messages=HELLO, n=3, stream=True)

    assert [choice.index for choice in answer.choices] == [0, 1, 2]
    assert answer.usage.completion_tokens == 15
    finished = [chunk.choices[0].index for chunk in stream if chunk.choices[0].finish_reason]
    assert finished == [0, 1, 2]


@pytest.mark.parametrize(
    ("model", "choice"),
    [
        ("mock-gpt", "required"),
        ("mock-gpt", {"type": "function", "function": {"name": "weather"}}),
        ("mock-gpt;tool-calls=1", "auto"),
    ],
)
def test_a_forced_tool_is_called_with_fitting_arguments(client: OpenAI, model: str, choice: Any) -> None:
    ask = {"model": model, "messages": HELLO, "tools": [WEATHER], "tool_choice": choice}
    answer = client.chat.completions.create(**ask).choices[0]
    deltas = [chunk.choices[0].delta for chunk in client.chat.completions.create(**ask, stream=True)]

    assert answer.finish_reason == "tool_calls"
    call = answer.message.tool_calls[0]
    assert call.function.name == "weather"
    assert json.loads(call.function.arguments) == {"city": "mock", "days": 1, "unit": "C"}
    parts = [delta.tool_calls[0] for delta in deltas if delta.tool_calls]
    assert parts[0].id.startswith("call_") and parts[0].function.name == "weather"
    assert "".join(part.function.arguments for part in parts) == call.function.arguments


def test_tools_that_are_only_offered_are_not_called(client: OpenAI) -> None:
    answer = client.chat.completions.create(model="mock-gpt", messages=HELLO, tools=[WEATHER])

    assert answer.choices[0].message.tool_calls is None


def test_embeddings_are_stable_unit_vectors_in_both_encodings(client: OpenAI, url: str) -> None:
    first = client.embeddings.create(model="mock-embed", input=["one", "two"], dimensions=64)
    again = client.embeddings.create(model="mock-embed", input="one", dimensions=64, encoding_format="float")

    assert [len(item.embedding) for item in first.data] == [64, 64]
    assert first.data[0].embedding == pytest.approx(again.data[0].embedding, abs=1e-6)
    assert first.data[0].embedding != first.data[1].embedding
    assert sum(value**2 for value in again.data[0].embedding) == pytest.approx(1)
    assert first.usage.prompt_tokens == first.usage.total_tokens == 2
    body = {"model": "mock-embed", "input": [1, 2, 3], "encoding_format": "base64", "dimensions": 2}
    answer = requests.post(f"{url}/v1/embeddings", json=body, headers={"Authorization": "Bearer k"}, timeout=5).json()
    assert len(struct.unpack("<2f", base64.b64decode(answer["data"][0]["embedding"]))) == 2
    assert answer["usage"]["prompt_tokens"] == 3


def test_models_are_listed_and_any_model_is_served(client: OpenAI) -> None:
    names = [model.id for model in client.models.list()]

    assert names == ["mock-gpt", "mock-gpt-mini", "mock-embed", "mock-claude", "mock-gemini"]
    assert client.models.retrieve("mock-gpt").owned_by == "mock"
    assert client.chat.completions.create(model="never-heard-of", messages=HELLO).model == "never-heard-of"


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, openai.BadRequestError),
        (403, openai.PermissionDeniedError),
        (404, openai.NotFoundError),
        (429, openai.RateLimitError),
        (500, openai.InternalServerError),
        (503, openai.InternalServerError),
    ],
)
def test_errors_become_the_sdks_exceptions(client: OpenAI, status: int, error: type[openai.APIStatusError]) -> None:
    with pytest.raises(error) as caught:
        client.chat.completions.create(model=f"mock-gpt;status={status};retry-after=7", messages=HELLO)

    assert caught.value.status_code == status
    assert caught.value.response.headers["retry-after"] == "7"
    assert caught.value.body["message"] == f"The mock provider was asked to answer {status}."


def test_a_key_must_be_given_and_must_not_be_bad(url: str) -> None:
    with pytest.raises(openai.AuthenticationError, match="Incorrect API key provided: sk-bad"):
        OpenAI(base_url=f"{url}/v1", api_key="sk-bad", max_retries=0).models.list()
    answer = requests.post(f"{url}/v1/chat/completions", json={"model": "m", "messages": HELLO}, timeout=5)
    assert (answer.status_code, answer.json()["error"]["code"]) == (401, "invalid_api_key")
    anthropic = requests.post(f"{url}/v1/messages", json={"model": "m"}, timeout=5)
    assert (anthropic.status_code, anthropic.json()["error"]["type"]) == (401, "authentication_error")
    gemini = requests.post(f"{url}/v1beta/models/m:generateContent", json={}, timeout=5)
    assert (gemini.status_code, gemini.json()["error"]["status"]) == (401, "UNAUTHENTICATED")


@pytest.mark.parametrize(
    ("body", "param"),
    [
        (b"{", None),
        (b"[]", None),
        (b'{"messages": []}', "model"),
        (b'{"model": "m"}', "messages"),
        (b'{"model": "m", "messages": [{"content": "x"}], "max_tokens": 0}', "max_tokens"),
        (b'{"model": "m", "messages": [{"content": "x"}], "n": true}', "n"),
        (b'{"model": "m", "messages": [{"content": "x"}], "tools": [7]}', "tools"),
    ],
)
def test_wrong_bodies_are_refused_as_the_real_one_does(url: str, body: bytes, param: str | None) -> None:
    answer = requests.post(f"{url}/v1/chat/completions", data=body, headers={"Authorization": "Bearer k"}, timeout=5)

    assert answer.status_code == 400
    assert answer.json()["error"]["type"] == "invalid_request_error"
    assert answer.json()["error"]["param"] == param


# The other dialects


def test_anthropic_whole_and_streamed_agree(url: str) -> None:
    body = {"model": "mock-claude;cached-tokens=4;cache-write-tokens=2;prompt-tokens=10", "max_tokens": 3}
    body["messages"] = HELLO
    post = {"url": f"{url}/v1/messages", "headers": {"x-api-key": "k"}, "timeout": 5}
    whole = requests.post(json=body, **post).json()
    streamed = requests.post(json={**body, "stream": True}, **post).content

    assert whole["content"] == [{"type": "text", "text": "the sun was "}]
    assert (whole["type"], whole["stop_reason"]) == ("message", "max_tokens")
    usage = whole["usage"]
    assert (usage["input_tokens"], usage["cache_read_input_tokens"], usage["cache_creation_input_tokens"]) == (4, 4, 2)
    assert usage["output_tokens"] == 3
    events = events_of(streamed)
    assert [event["type"] for event in events] == [
        "message_start",
        "content_block_start",
        "ping",
        *["content_block_delta"] * 3,
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]
    assert b"event: message_delta\ndata: " in streamed
    assert events[0]["message"]["usage"]["input_tokens"] == 4
    assert events[-2]["usage"]["output_tokens"] == 3
    assert "".join(event["delta"]["text"] for event in events[3:6]) == whole["content"][0]["text"]


def test_anthropic_calls_tools(url: str) -> None:
    tool = {"name": "weather", "input_schema": WEATHER["function"]["parameters"]}
    body = {"model": "m", "max_tokens": 99, "messages": HELLO, "tools": [tool], "tool_choice": {"type": "any"}}
    post = {"url": f"{url}/v1/messages", "headers": {"x-api-key": "k"}, "timeout": 5}
    whole = requests.post(json=body, **post).json()
    events = events_of(requests.post(json={**body, "stream": True}, **post).content)

    assert whole["stop_reason"] == "tool_use"
    assert whole["content"][0]["input"] == {"city": "mock", "days": 1, "unit": "C"}
    parts = [event["delta"]["partial_json"] for event in events if event["type"] == "content_block_delta"]
    assert json.loads("".join(parts)) == whole["content"][0]["input"]


def test_gemini_whole_and_streamed_agree(url: str) -> None:
    body = {"contents": [{"role": "user", "parts": [{"text": "Hello there, how are you?"}]}]}
    body["generationConfig"] = {"maxOutputTokens": 5}
    model = f"{url}/v1beta/models/mock-gemini;reasoning-tokens=2"
    post = {"json": body, "headers": {"x-goog-api-key": "k"}, "timeout": 5}
    whole = requests.post(f"{model}:generateContent", **post).json()
    streamed = requests.post(f"{model}:streamGenerateContent?alt=sse", **post).content
    array = requests.post(f"{model}:streamGenerateContent", **post).json()

    assert whole["candidates"][0]["finishReason"] == "MAX_TOKENS"
    assert whole["usageMetadata"] == {
        "promptTokenCount": 7,
        "candidatesTokenCount": 3,
        "thoughtsTokenCount": 2,
        "totalTokenCount": 12,
    }
    events = events_of(streamed)
    assert streamed.count(b"\r\n\r\n") == len(events) == len(array) == 3
    text = "".join(event["candidates"][0]["content"]["parts"][0]["text"] for event in events)
    assert text == whole["candidates"][0]["content"]["parts"][0]["text"] == "the sun was "
    assert events[-1]["usageMetadata"] == array[-1]["usageMetadata"] == whole["usageMetadata"]


# What it can be told to do wrong


@pytest.mark.parametrize(
    "call",
    [
        {"headers": {"x-mock-status": "418"}},
        {"query": "?mock-status=418"},
        {"model": "mock-gpt;status=418"},
        {"metadata": {"mock-status": "418"}},
    ],
    ids=["header", "query", "model", "metadata"],
)
def test_a_knob_can_be_turned_from_four_places(url: str, call: dict[str, Any]) -> None:
    assert chat(url, **call).status_code == 418


def test_a_misspelt_knob_is_refused_with_the_right_ones(url: str) -> None:
    answer = chat(url, "mock-gpt;statsu=500")

    assert answer.status_code == 400
    assert "no knob is called 'statsu'" in answer.json()["error"]["message"]
    assert chat(url, "mock-gpt;chunks=many").status_code == 400


def test_defaults_break_everything_or_one_key_only(url: str) -> None:
    requests.put(f"{url}/_mock/defaults", json={"status": 503}, timeout=5)
    assert chat(url).status_code == 503
    requests.put(f"{url}/_mock/defaults", json={}, timeout=5)
    assert chat(url).status_code == 200

    requests.put(f"{url}/_mock/defaults?key=sk-other", json={"status": 500}, timeout=5)
    assert chat(url).status_code == 200
    assert chat(url, headers={"Authorization": "Bearer sk-other"}).status_code == 500
    assert requests.put(f"{url}/_mock/defaults", json={"nope": 1}, timeout=5).status_code == 400


def test_the_body_arrives_in_pieces_of_the_size_asked_for(url: str) -> None:
    chunks, is_complete = chunks_of(raw_chat(url, model="mock-gpt;split-bytes=7;chunks=2", stream=True))

    assert {len(chunk) for chunk in chunks[:-1]} == {7}
    assert is_complete
    assert len(events_of(b"".join(chunks))) == 4


def test_events_can_end_their_lines_the_other_way(url: str) -> None:
    body = chat(url, "mock-gpt;crlf;chunks=2", stream=True).content

    assert body.count(b"\r\n\r\n") == 5
    assert b"\n" not in body.replace(b"\r\n", b"")


@pytest.mark.parametrize("stream", [False, True])
def test_the_body_can_be_compressed(url: str, stream: bool) -> None:
    answer = chat(url, "mock-gpt;gzip", stream=stream)
    assert answer.headers["content-encoding"] == "gzip"
    assert b"the" in answer.content

    raw = raw_chat(url, model="mock-gpt;gzip;chunks=2", stream=True)
    chunks, _ = chunks_of(raw)
    unzip = zlib.decompressobj(wbits=31)
    assert unzip.decompress(chunks[0]).endswith(b"\n\n"), "each event can be read as soon as it arrives"


def test_a_connection_can_be_cut_before_the_headers(url: str) -> None:
    assert raw_chat(url, model="mock-gpt;drop-after=0") == b""


def test_a_stream_can_be_cut_after_some_events(url: str) -> None:
    chunks, is_complete = chunks_of(raw_chat(url, model="mock-gpt;drop-after=2", stream=True))

    assert not is_complete
    assert len(events_of(b"".join(chunks))) == 2


def test_a_whole_answer_can_be_cut_in_the_middle(url: str) -> None:
    with pytest.raises(requests.exceptions.ChunkedEncodingError):
        chat(url, "mock-gpt;drop-after=1")


def test_usage_can_be_missing_or_odd(url: str) -> None:
    assert "usage" not in chat(url, "mock-gpt;no-usage").json()
    odd = {"prompt_tokens": -3, "completion_tokens": "many"}
    assert chat(url, headers={"x-mock-usage": json.dumps(odd)}).json()["usage"] == odd
    wanted = {"stream": True, "stream_options": {"include_usage": True}}
    assert not any("usage" in event for event in events_of(chat(url, "mock-gpt;no-usage", **wanted).content))
    assert events_of(chat(url, headers={"x-mock-usage": "null"}, **wanted).content)[-1]["usage"] is None


@pytest.mark.parametrize("stream", [False, True])
def test_the_answer_can_be_garbage(url: str, stream: bool) -> None:
    answer = chat(url, "mock-gpt;garbage", stream=stream)

    assert answer.status_code == 200
    with pytest.raises(ValueError, match=r"JSON|Expecting"):
        events_of(answer.content) if stream else answer.json()


def test_time_passes_where_it_is_told_to(url: str) -> None:
    started = time.monotonic()
    with requests.post(
        f"{url}/v1/chat/completions",
        json={
            "model": "m;latency-ms=100;first-byte-ms=100;chunk-delay-ms=50;chunks=2",
            "messages": HELLO,
            "stream": True,
        },
        headers={"Authorization": "Bearer k"},
        stream=True,
        timeout=5,
    ) as answer:
        headers_s = time.monotonic() - started
        stream = answer.iter_lines()
        next(stream)
        first_byte_s = time.monotonic() - started
        list(stream)
        end_s = time.monotonic() - started

    assert headers_s >= 0.1
    assert first_byte_s >= 0.2
    assert end_s >= 0.4  # five events, four pauses


# What it remembers


def test_requests_are_remembered_to_the_byte(url: str) -> None:
    body = b'{"model":  "mock-gpt", "messages":[{"role":"user","content":"\xc3\xa9"}] }'
    headers = {"Authorization": "Bearer sk-good", "X-Extra": "yes"}
    requests.post(f"{url}/v1/chat/completions?a=1", data=body, headers=headers, timeout=5)

    (record,) = requests.get(f"{url}/_mock/requests", timeout=5).json()
    assert (record["method"], record["path"], record["query"]) == ("POST", "/v1/chat/completions", "a=1")
    assert base64.b64decode(record["body_base64"]) == body
    assert record["headers"]["x-extra"] == "yes"
    assert (record["status"], record["key"], record["aborted"]) == (200, "sk-good", False)
    assert record["time"] == pytest.approx(time.time(), abs=60)
    requests.delete(f"{url}/_mock/requests", timeout=5)
    assert requests.get(f"{url}/_mock/requests", timeout=5).json() == []


def test_calls_are_counted_per_key(url: str) -> None:
    for key in ("sk-a", "sk-a", "sk-b"):
        chat(url, headers={"Authorization": f"Bearer {key}"})
    chat(url, "mock-gpt;status=500", headers={"Authorization": "Bearer sk-b"})

    stats = requests.get(f"{url}/_mock/stats", timeout=5).json()
    assert stats["requests"] == 4
    assert stats["keys"]["sk-a"] == {"requests": 2, "status_200": 2}
    assert stats["keys"]["sk-b"] == {"requests": 2, "status_200": 1, "status_500": 1}


@pytest.mark.parametrize("knobs", ["chunk-delay-ms=50;chunks=100", "latency-ms=5000"])
def test_a_client_that_leaves_is_noticed(url: str, knobs: str) -> None:
    host, port = url.removeprefix("http://").split(":")
    content = json.dumps({"model": f"m;{knobs}", "messages": HELLO, "stream": True})
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer k\r\nContent-Length: {len(content)}"
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.sendall(f"{head}\r\n\r\n{content}".encode())
        if "chunk" in knobs:
            connection.recv(100)
        else:
            wait_until(url, lambda stats: stats["in_flight"] == 1)

    stats = wait_until(url, lambda stats: stats["aborted"] == 1)
    (record,) = requests.get(f"{url}/_mock/requests", timeout=5).json()
    assert record["aborted"] is True
    assert record["events"] < 100
    assert stats["in_flight"] == 0


def wait_until(url: str, is_so: Any) -> dict[str, Any]:
    """Return the provider's counts once they are so; five seconds at most."""
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        stats = requests.get(f"{url}/_mock/stats", timeout=5).json()
        if is_so(stats):
            return stats
        time.sleep(0.02)
    pytest.fail(f"it never became so: {stats}")
