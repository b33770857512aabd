"""The OpenAI SDK, unchanged, against the running product."""

import openai
import pytest
import requests
from openai import OpenAI

from tests.processes import MockUpstream
from tests.product.conftest import Product

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("product")]
QUESTION = [{"role": "user", "content": "What is the capital of France?"}]
WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}


@pytest.fixture
def client(product: Product, upstream: MockUpstream) -> OpenAI:
    """The SDK as its documentation says, with a base URL and a key."""
    upstream.forget()
    return OpenAI(
        base_url=product.demo["base_url"].replace(":8000", f":{product.port}"),
        api_key=product.demo["api_key"],
        max_retries=0,
    )


def test_it_lists_the_models_that_can_be_called(client: OpenAI, product: Product) -> None:
    assert {model.id for model in client.models.list()} == set(product.demo["models"])
    assert client.models.retrieve("mock-gpt").id == "mock-gpt"
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("nobody")


def test_it_completes_a_chat(client: OpenAI) -> None:
    done = client.chat.completions.create(model="mock-gpt", messages=QUESTION)
    assert done.choices[0].message.content
    assert done.usage and done.usage.total_tokens > 0


def test_it_streams_a_chat_with_and_without_usage(client: OpenAI) -> None:
    plain = list(client.chat.completions.create(model="mock-gpt", messages=QUESTION, stream=True))
    assert "".join(chunk.choices[0].delta.content or "" for chunk in plain)
    assert all(chunk.usage is None for chunk in plain)
    asked = list(
        client.chat.completions.create(
            model="mock-gpt", messages=QUESTION, stream=True, stream_options={"include_usage": True}
        )
    )
    assert asked[-1].usage and asked[-1].usage.total_tokens > 0
    assert asked[-1].choices == []


def test_it_calls_tools(client: OpenAI) -> None:
    done = client.chat.completions.create(model="mock-gpt", messages=QUESTION, tools=[WEATHER], tool_choice="required")
    [call] = done.choices[0].message.tool_calls or []
    assert call.function.name == "weather"
    stream = client.chat.completions.create(
        model="mock-gpt", messages=QUESTION, tools=[WEATHER], tool_choice="required", stream=True
    )
    names = [
        call.function.name
        for chunk in stream
        for choice in chunk.choices
        for call in choice.delta.tool_calls or []
        if call.function and call.function.name
    ]
    assert names == ["weather"]


def test_it_embeds(client: OpenAI) -> None:
    done = client.embeddings.create(model="mock-embed", input=["one", "two"])
    assert len(done.data) == 2
    assert len(done.data[0].embedding) > 0


def test_its_exceptions_are_the_right_ones(client: OpenAI, upstream: MockUpstream) -> None:
    chat = client.chat.completions
    with pytest.raises(openai.AuthenticationError):
        client.with_options(api_key="na-wrong").models.list()
    with pytest.raises(openai.NotFoundError) as missing:
        chat.create(model="nobody", messages=QUESTION)
    assert missing.value.code == "model_not_found"
    with pytest.raises(openai.BadRequestError) as bad:
        chat.create(model="mock-gpt", messages=QUESTION, max_tokens=-1)
    assert bad.value.param == "max_tokens"
    upstream.behave(status="400")
    with pytest.raises(openai.BadRequestError):
        chat.create(model="mock-gpt", messages=QUESTION)
    upstream.behave(status="500")
    with pytest.raises(openai.InternalServerError) as broken:
        chat.create(model="mock-gpt", messages=QUESTION)
    assert broken.value.status_code == 502
    assert broken.value.request_id
    upstream.behave(status="429")
    # Of a model of its own, because its quota rests for some seconds afterwards.
    with pytest.raises(openai.InternalServerError) as busy:
        chat.create(model="mock-gpt-mini", messages=QUESTION, stream=True)
    assert busy.value.status_code == 503


def test_answers_on_a_kept_connection_are_not_held_back(product: Product, upstream: MockUpstream) -> None:
    """Nagle's algorithm costs 40 ms an answer where acknowledgements are delayed; the fastest of 15 has none."""
    upstream.forget()
    body = {"model": "mock-gpt", "messages": QUESTION, "stream": True}
    headers = {"Authorization": f"Bearer {product.demo['api_key']}"}
    times = []
    with requests.Session() as session:
        for _ in range(15):
            answer = session.post(f"{product.url}/v1/chat/completions", json=body, headers=headers, timeout=10)
            assert answer.status_code == 200
            times.append(answer.elapsed.total_seconds())
    assert min(times[1:]) < 0.03
