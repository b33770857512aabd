"""Lines that work when pasted: the first call with curl, and with the OpenAI SDK for Python."""

import json
from dataclasses import dataclass

from django.http import HttpRequest

from channels.models import Model

PLACEHOLDER_KEY = "YOUR_API_KEY"
PLACEHOLDER_MODEL = "MODEL_NAME"


@dataclass(frozen=True, slots=True)
class Snippets:
    """Two ways to make the same first call."""

    curl: str
    python: str


def base_url(request: HttpRequest) -> str:
    """Where the OpenAI-compatible interface of this installation is, as the caller reached it."""
    return request.build_absolute_uri("/v1")


def first_call(*, base: str, api_key: str, model: Model | None) -> Snippets:
    """The first call to a model, or to a placeholder when the organisation has none yet."""
    name = model.name if model else PLACEHOLDER_MODEL
    if model is not None and model.kind == Model.Kind.EMBEDDING:
        return _embedding(base, api_key, name)
    return _chat(base, api_key, name)


def _chat(base: str, api_key: str, model: str) -> Snippets:
    body = json.dumps({"model": model, "messages": [{"role": "user", "content": "Hello!"}]})
    python = f"""from openai import OpenAI

client = OpenAI(
    base_url="{base}",
    api_key="{api_key}",
)
answer = client.chat.completions.create(
    model="{model}",
    messages=[{{"role": "user", "content": "Hello!"}}],
)
print(answer.choices[0].message.content)"""
    return Snippets(_curl(f"{base}/chat/completions", api_key, body), python)


def _embedding(base: str, api_key: str, model: str) -> Snippets:
    body = json.dumps({"model": model, "input": "Hello!"})
    python = f"""from openai import OpenAI

client = OpenAI(
    base_url="{base}",
    api_key="{api_key}",
)
answer = client.embeddings.create(model="{model}", input="Hello!")
print(len(answer.data[0].embedding))"""
    return Snippets(_curl(f"{base}/embeddings", api_key, body), python)


def _curl(url: str, api_key: str, body: str) -> str:
    return f"""curl {url} \\
  -H "Authorization: Bearer {api_key}" \\
  -H "Content-Type: application/json" \\
  -d '{body}'"""
