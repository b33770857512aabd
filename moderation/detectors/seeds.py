"""The first version of each rule. Hard judgements begin in shadow mode, where they count without effect."""

from django.db import models

from moderation.detectors.table import DETECTORS

_SIGNALLING = frozenset({"rate_evasion", "sustained_abuse", "block_evasion", "attack"})
NOTE = "The first version, with the defaults of the house."


def seed(rules: type[models.Model], categories: type[models.Model]) -> None:
    """Make the first version of each rule that has none. Takes the models, or their historical forms in a migration."""
    for name, detector in DETECTORS.items():
        if rules._default_manager.filter(detector=name).exists():
            continue
        rules._default_manager.create(
            detector=name,
            version=1,
            mode="signal" if name in _SIGNALLING else "shadow",
            category=categories._default_manager.get(code=detector.category),
            parameters=detector.defaults(),
            note=NOTE,
        )
