"""What calls show, put onto the real stream as a worker does it."""

from collections.abc import Iterable
from typing import Any
from uuid import uuid4

from accounts.models import APIKey
from moderation.detectors import seeds
from moderation.models import DetectorRule, PolicyCategory, Signal
from moderation.services import detector_rules
from moderation.tasks import detect
from newapi.kernel import clock, ids, observations
from newapi.kernel.meters import bank
from newapi.kernel.observations import Observation, keyed_hash


def seed() -> None:
    """The rules of the migration, also after a transactional test has emptied the tables."""
    seeds.seed(DetectorRule, PolicyCategory)


def call(key: APIKey, **shown: Any) -> Observation:
    """One call with a key, now. `text` and `begins` are hashed as prompt and shape."""
    for name, member in (("text", "prompt"), ("begins", "shape")):
        if name in shown:
            shown[member] = keyed_hash(shown.pop(name).encode())
    plain: dict[str, Any] = {
        "at_ms": clock.now_ms(),
        "request_id": str(ids.uuid7()),
        "organisation": key.organisation_id,
        "project": key.project_id,
        "user": key.user_id,
        "api_key": key.pk,
        "model": 1,
    }
    return Observation(**{**plain, **shown})


def send(calls: Iterable[Observation], *, name: str = "") -> None:
    """Append one batch to the stream. The same `name` again is the same batch sent twice."""
    fields = {observations.NAME_FIELD: name or uuid4().hex, observations.BATCH_FIELD: observations.encode([*calls])}
    bank.connection().xadd(observations.STREAM, fields)


def show(*calls: Observation) -> None:
    """Send calls and let the job look at them."""
    send(calls)
    detect()


def found(detector: str) -> list[Signal]:
    """The signals of a detector, oldest first."""
    return list(Signal.objects.filter(rule__detector=detector).order_by("pk"))


def publish(detector: str, mode: str, **parameters: Any) -> DetectorRule:
    """The next version of a rule: as the newest, but for this."""
    before = DetectorRule.objects.filter(detector=detector).order_by("-version").first()
    assert before is not None
    return detector_rules.publish(
        detector=detector,
        mode=mode,
        parameters={**before.parameters, **parameters},
        category=before.category,
        note="Tried out",
        actor=None,
    )


def silent(**others: int) -> None:
    """There are no signals, save so many of the detectors that are named."""
    counts = {name: len(found(name)) for name in DetectorRule.Detector.values}
    assert {name: n for name, n in counts.items() if n} == others
