"""The Redis scripts, each with the shared head put in front. Loaded once, addressed by their SHA-1."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

_FOLDER = Path(__file__).parent
_HEAD = (_FOLDER / "common.lua").read_text()


@dataclass(frozen=True, slots=True)
class Script:
    """A script's source and the digest under which the server knows it."""

    source: str
    sha: str


def _read(name: str) -> Script:
    source = f"{_HEAD}\n{(_FOLDER / f'{name}.lua').read_text()}"
    return Script(source, hashlib.sha1(source.encode(), usedforsecurity=False).hexdigest())


ADMIT = _read("admit")
SETTLE = _read("settle")
RENEW = _read("renew")
LOAD = _read("load")
POST = _read("post")
METER = _read("meter")
CHECK = _read("check")
PUBLISH = _read("publish")
HEALTH = _read("health")
HEALTH_CLAIM = _read("health_claim")
ALL = (ADMIT, SETTLE, RENEW, LOAD, POST, METER, CHECK, PUBLISH, HEALTH, HEALTH_CLAIM)
