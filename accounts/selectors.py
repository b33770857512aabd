"""Reads of the accounts app that others build on."""

from django.db.models import QuerySet

from accounts.models import APIKey, Organisation, User


def api_key_by_digest(digest: bytes) -> APIKey | None:
    """The one way from a presented secret to a key, with its organisation, project and user."""
    return APIKey.objects.select_related("organisation", "project", "user").filter(digest=digest).first()


def epoch_of(*, organisation_id: int) -> int:
    """An organisation's current epoch. See accounts.services.epochs."""
    return Organisation.objects.values_list("epoch", flat=True).get(pk=organisation_id)


def organisations_of(user: User) -> QuerySet[Organisation]:
    """The organisations in which a person is an active member."""
    return Organisation.objects.filter(memberships__user=user, memberships__is_active=True).order_by("name")
