"""Sealed cases are seen by those who were granted it in person; for everybody else they do not exist."""

from django.db.models import QuerySet

from accounts.models import User
from moderation import permissions


def without_sealed(queryset: QuerySet, user: User, *, case: str = "") -> QuerySet:
    """The rows that a person may see. `case` is the way from a row to its case, such as `case__`."""
    if permissions.is_granted(user, permissions.VIEW_SEALED):
        return queryset
    return queryset.exclude(**{f"{case}category__is_sealed": True})
