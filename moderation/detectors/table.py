"""Every detector, by name: what it takes, what it may do, how it judges. The defaults are the first version's."""

from collections.abc import Mapping

from moderation.detectors.attack import ATTACK
from moderation.detectors.base import Detector
from moderation.detectors.block_evasion import BLOCK_EVASION
from moderation.detectors.extraction import EXTRACTION
from moderation.detectors.harvesting import HARVESTING
from moderation.detectors.jailbreak import JAILBREAK
from moderation.detectors.key_sharing import KEY_SHARING
from moderation.detectors.rate_evasion import RATE_EVASION
from moderation.detectors.safety_probing import SAFETY_PROBING
from moderation.detectors.sustained_abuse import SUSTAINED_ABUSE

DETECTORS: Mapping[str, Detector] = {
    detector.name: detector
    for detector in (
        RATE_EVASION,
        SUSTAINED_ABUSE,
        BLOCK_EVASION,
        SAFETY_PROBING,
        EXTRACTION,
        HARVESTING,
        JAILBREAK,
        KEY_SHARING,
        ATTACK,
    )
}
