"""Whatever way a part of the catalogue is changed, the next call notices."""

from typing import Any

from django.db import models
from django.db.models.signals import m2m_changed, post_delete, post_save
from django.dispatch import receiver

from accounts.services import epochs
from channels.models import (
    AuthorisationEvidence,
    Channel,
    Model,
    ModelAlias,
    ModelFallback,
    ModelLimit,
    Provider,
    Route,
    UpstreamAccount,
    UpstreamKey,
    UpstreamTerms,
)
from channels.services import catalogue


@receiver([post_save, post_delete], sender=AuthorisationEvidence)
@receiver([post_save, post_delete], sender=Provider)
@receiver([post_save, post_delete], sender=UpstreamAccount)
@receiver([post_save, post_delete], sender=UpstreamTerms)
@receiver([post_save, post_delete], sender=Channel)
@receiver([post_save, post_delete], sender=UpstreamKey)
@receiver([post_save, post_delete], sender=Model)
@receiver([post_save, post_delete], sender=ModelAlias)
@receiver([post_save, post_delete], sender=ModelFallback)
@receiver([post_save, post_delete], sender=Route)
@receiver(m2m_changed, sender=Channel.organisations_allowed.through)
def catalogue_part_changed(sender: type[models.Model], **kwargs: Any) -> None:
    """A part of the catalogue was saved or removed."""
    catalogue.bump()


@receiver([post_save, post_delete], sender=ModelLimit)
def model_limit_changed(sender: type[models.Model], instance: ModelLimit, **kwargs: Any) -> None:
    """Limits are part of the passports of an organisation's keys."""
    epochs.bump(organisation_id=instance.organisation_id)
