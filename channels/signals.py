"""Whatever way a part of the catalogue is changed, the next call notices."""

from typing import Any

from django.db import models
from django.db.models.signals import post_delete, post_save
from django.dispatch import receiver

from channels.models import Channel, Model, Provider, Route, UpstreamAccount, UpstreamKey
from channels.services import catalogue


@receiver([post_save, post_delete], sender=Provider)
@receiver([post_save, post_delete], sender=UpstreamAccount)
@receiver([post_save, post_delete], sender=Channel)
@receiver([post_save, post_delete], sender=UpstreamKey)
@receiver([post_save, post_delete], sender=Model)
@receiver([post_save, post_delete], sender=Route)
def catalogue_part_changed(sender: type[models.Model], **kwargs: Any) -> None:
    """A part of the catalogue was saved or removed."""
    catalogue.bump()
