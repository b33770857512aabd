"""Secrets: API keys and codes are kept as keyed digests, upstream keys sealed with AES-GCM. Plaintext never rests.

An API key is `na-` + 40 random base62 symbols + 6 checksum symbols, so a mistyped or invented key is told
apart without asking any store.
"""

import base64
import functools
import hmac
import os
import secrets
import zlib

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from django.conf import settings

_ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
API_KEY_PREFIX = "na-"
_BODY_LENGTH = 40
_CHECK_LENGTH = 6
_KEY_LENGTH = len(API_KEY_PREFIX) + _BODY_LENGTH + _CHECK_LENGTH
_NONCE_BYTES = 12
_NOT_ITS_OWN = "what is sealed does not belong to this row or was changed"


class SealBroken(Exception):
    """A sealed text does not open: unknown key id, moved to another row, or tampered with."""


def mint_api_key() -> str:
    """A new API key, to be shown once."""
    body = "".join(secrets.choice(_ALPHABET) for _ in range(_BODY_LENGTH))
    return f"{API_KEY_PREFIX}{body}{_checksum(body)}"


def is_well_formed(raw_key: str) -> bool:
    """Whether a text has the shape and checksum of an API key. Says nothing about whether it exists."""
    if len(raw_key) != _KEY_LENGTH or not raw_key.startswith(API_KEY_PREFIX) or not raw_key.isascii():
        return False
    body, check = raw_key[len(API_KEY_PREFIX) : -_CHECK_LENGTH], raw_key[-_CHECK_LENGTH:]
    return _checksum(body) == check


def digest(raw_key: str) -> bytes:
    """The keyed digest (HMAC-SHA256, 32 bytes) under which an API key is stored and looked up."""
    return hmac.digest(settings.API_KEY_PEPPER, raw_key.encode(), "sha256")


def code_digest(text: str, *, key_id: str) -> bytes:
    """The keyed digest (HMAC-SHA256, 32 bytes) of a redemption code, under a key that follows from a field key.

    Raises SealBroken when there is no field key of that name.
    """
    key = settings.FIELD_KEYS.get(key_id)
    if key is None:
        raise SealBroken(f"no field key named {key_id!r}")
    return hmac.digest(_code_key(key), text.encode(), "sha256")


def contact_digest(text: str) -> bytes:
    """The keyed digest (HMAC-SHA256, 32 bytes) of how somebody can be reached, such as `email:ada@example.com`."""
    # No API key begins like this, so that the two never meet under their common key.
    return hmac.digest(settings.API_KEY_PEPPER, f"contact:{text}".encode(), "sha256")


def seal(plaintext: str, *, bound_to: str) -> str:
    """Encrypt for one row: the text opens only with the same `bound_to`. Result: `key_id.base64`."""
    key_id, data = seal_bytes(plaintext.encode(), bound_to=bound_to)
    return f"{key_id}.{base64.b64encode(data).decode()}"


def unseal(sealed: str, *, bound_to: str) -> str:
    """Decrypt what `seal` made. Raises SealBroken."""
    key_id, _, encoded = sealed.partition(".")
    try:
        data = base64.b64decode(encoded, validate=True)
        return unseal_bytes(data, key_id=key_id, bound_to=bound_to).decode()
    except ValueError:  # no base64 at all
        raise SealBroken(_NOT_ITS_OWN) from None


def seal_bytes(plaintext: bytes, *, bound_to: str) -> tuple[str, bytes]:
    """Encrypt for one row: the id of the key, and a nonce of 12 bytes with the ciphertext and its tag of 16."""
    key_id, key = next(iter(settings.FIELD_KEYS.items()))
    nonce = os.urandom(_NONCE_BYTES)
    return key_id, nonce + AESGCM(key).encrypt(nonce, plaintext, f"{key_id}:{bound_to}".encode())


def unseal_bytes(data: bytes, *, key_id: str, bound_to: str) -> bytes:
    """Decrypt what `seal_bytes` made. Raises SealBroken."""
    key = settings.FIELD_KEYS.get(key_id)
    if key is None:
        raise SealBroken(f"no field key named {key_id!r}")
    nonce, ciphertext = data[:_NONCE_BYTES], data[_NONCE_BYTES:]
    try:
        return AESGCM(key).decrypt(nonce, ciphertext, f"{key_id}:{bound_to}".encode())
    except (InvalidTag, ValueError):  # ValueError: cut short
        raise SealBroken(_NOT_ITS_OWN) from None


def current_key_id() -> str:
    """The name of the field key that seals now; texts under another one wait for rotation."""
    return next(iter(settings.FIELD_KEYS))


@functools.lru_cache(maxsize=64)
def _code_key(field_key: bytes) -> bytes:
    """A key of its own for digests, so that no key is used both to seal and to digest."""
    return hmac.digest(field_key, b"newapi: digests of redemption codes", "sha256")


def _checksum(body: str) -> str:
    value = zlib.crc32(body.encode())
    symbols = ""
    for _ in range(_CHECK_LENGTH):
        value, rest = divmod(value, len(_ALPHABET))
        symbols += _ALPHABET[rest]
    return symbols
