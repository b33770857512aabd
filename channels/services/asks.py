"""The smallest useful question in each dialect, and how to read the answer. Plain values, no I/O."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from channels.models import Protocol

TOKENS_MAX = 8
PROMPT = "Reply with the word: ready"


@dataclass(frozen=True, slots=True)
class Ask:
    """One request, in the upstream's dialect. Without a body it is a GET."""

    path: str
    body: Mapping[str, Any] | None
    read: Callable[[Any], str]


@dataclass(frozen=True, slots=True)
class Dialect:
    headers: Callable[[str], dict[str, str]]
    chat: Callable[[str], Ask]
    embed: Callable[[str], Ask]
    models: Ask


def _chat_openai(model: str) -> Ask:
    body = {"model": model, "messages": [{"role": "user", "content": PROMPT}], "max_tokens": TOKENS_MAX}
    return Ask("/chat/completions", body, lambda answer: answer["choices"][0]["message"]["content"] or "(no text)")


def _embed_openai(model: str) -> Ask:
    body = {"model": model, "input": PROMPT}
    return Ask("/embeddings", body, lambda answer: f"{len(answer['data'][0]['embedding'])} dimensions")


def _chat_anthropic(model: str) -> Ask:
    body = {"model": model, "messages": [{"role": "user", "content": PROMPT}], "max_tokens": TOKENS_MAX}
    return Ask(
        "/messages", body, lambda answer: "".join(part.get("text", "") for part in answer["content"]) or "(no text)"
    )


def _chat_gemini(model: str) -> Ask:
    body = {
        "contents": [{"role": "user", "parts": [{"text": PROMPT}]}],
        "generationConfig": {"maxOutputTokens": TOKENS_MAX},
    }

    def read(answer: Any) -> str:
        return (
            "".join(part.get("text", "") for part in answer["candidates"][0]["content"].get("parts", [])) or "(no text)"
        )

    return Ask(f"/models/{model}:generateContent", body, read)


def _embed_gemini(model: str) -> Ask:
    body = {"content": {"parts": [{"text": PROMPT}]}}
    return Ask(f"/models/{model}:embedContent", body, lambda answer: f"{len(answer['embedding']['values'])} dimensions")


def _count(answer: Any) -> str:
    return f"{len(answer.get('data', answer.get('models', [])))} models listed"


_MODELS = Ask("/models", None, _count)

DIALECTS: dict[Protocol, Dialect] = {
    Protocol.OPENAI: Dialect(
        headers=lambda secret: {"Authorization": f"Bearer {secret}"},
        chat=_chat_openai,
        embed=_embed_openai,
        models=_MODELS,
    ),
    Protocol.ANTHROPIC: Dialect(
        headers=lambda secret: {"x-api-key": secret, "anthropic-version": "2023-06-01"},
        chat=_chat_anthropic,
        # Anthropic serves no embeddings; the upstream's own refusal says so best.
        embed=_embed_openai,
        models=_MODELS,
    ),
    Protocol.GEMINI: Dialect(
        headers=lambda secret: {"x-goog-api-key": secret},
        chat=_chat_gemini,
        embed=_embed_gemini,
        models=_MODELS,
    ),
}
