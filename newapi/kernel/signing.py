"""Signatures that anybody can check: Ed25519, with keys that follow from the field keys."""

import functools
import hmac

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from django.conf import settings


def sign(message: bytes) -> tuple[bytes, bytes]:
    """The signature (64 bytes) under the newest field key, and the public key (32 bytes) that proves it."""
    key = _private(next(iter(settings.FIELD_KEYS.values())))
    return key.sign(message), _public(key)


def is_signed(message: bytes, signature: bytes, public_key: bytes) -> bool:
    """Whether the signature is that key's, whoever's key it is."""
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, message)
    except (InvalidSignature, ValueError):  # ValueError: no key at all
        return False
    return True


def is_ours(public_key: bytes) -> bool:
    """Whether the key follows from one of the field keys that this deployment has."""
    return any(hmac.compare_digest(public_key, _public(_private(key))) for key in settings.FIELD_KEYS.values())


def _public(key: Ed25519PrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)


@functools.lru_cache(maxsize=64)
def _private(field_key: bytes) -> Ed25519PrivateKey:
    """A key of its own for signatures, so that no key is used both to seal and to sign."""
    return Ed25519PrivateKey.from_private_bytes(hmac.digest(field_key, b"newapi: signatures of chain roots", "sha256"))
