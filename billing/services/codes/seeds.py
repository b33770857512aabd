"""The random seed from which all codes of a batch follow; it exists from the order to the one download."""

import hmac
import secrets as random

from billing import code_symbols
from billing.models import CodeBatch
from newapi.kernel import secrets

_SEED_BYTES = 32


def new(batch: CodeBatch) -> str:
    """A sealed seed that opens only for this batch."""
    return secrets.seal(random.token_hex(_SEED_BYTES), bound_to=_place(batch))


def opened(batch: CodeBatch) -> bytes:
    """The seed. Raises SealBroken when it was erased, or its field key is gone."""
    return bytes.fromhex(secrets.unseal(batch.sealed_seed, bound_to=_place(batch)))


def code(seed: bytes, number: int) -> str:
    """The twenty symbols of the code with a number: 90 bits of HMAC-SHA256 under the seed."""
    drawn = hmac.digest(seed, number.to_bytes(4, "big"), "sha256")
    return code_symbols.of_bits(int.from_bytes(drawn[:12], "big") >> 6)


def _place(batch: CodeBatch) -> str:
    return f"code_batch:{batch.pk}"
