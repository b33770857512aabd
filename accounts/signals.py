"""Whatever way a person, member, project, key or organisation is changed, the next call notices.

A service that writes with a guarded UPDATE raises the epoch itself; every save is caught here.
"""

from typing import Any

from allauth.account.models import EmailAddress
from django.db import models
from django.db.models.signals import post_delete, post_save
from django.dispatch import receiver

from accounts.models import APIKey, Membership, Organisation, Project, User
from accounts.services import epochs


@receiver([post_save, post_delete], sender=Membership)
@receiver([post_save, post_delete], sender=Project)
@receiver([post_save, post_delete], sender=APIKey)
def organisation_part_changed(sender: type[models.Model], instance: Any, **kwargs: Any) -> None:
    """A part of an organisation was saved."""
    epochs.bump(organisation_id=instance.organisation_id)


@receiver(post_save, sender=Organisation)
def organisation_changed(sender: type[models.Model], instance: Organisation, **kwargs: Any) -> None:
    """The organisation itself was saved."""
    epochs.bump(organisation_id=instance.pk)


@receiver(post_save, sender=User)
def user_changed(sender: type[models.Model], instance: User, update_fields: Any = None, **kwargs: Any) -> None:
    """A person was saved; a login alone changes nothing that a call must know."""
    if update_fields is not None and set(update_fields) <= {"last_login", "password"}:
        return
    for organisation_id in instance.memberships.values_list("organisation_id", flat=True):
        epochs.bump(organisation_id=organisation_id)


@receiver(post_save, sender=User)
def user_address_changed(sender: type[models.Model], instance: User, update_fields: Any = None, **kwargs: Any) -> None:
    """One address for each person: allauth would go on taking an earlier one for the login and for password resets."""
    if update_fields is None or "email" in update_fields:
        EmailAddress.objects.filter(user=instance).exclude(email__iexact=instance.email).delete()
