"""The door to every page of an organisation: who is asking, in which organisation, with which rights."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Any

from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied
from django.db.models import Exists, OuterRef
from django.http import Http404, HttpRequest, HttpResponse

from accounts import permissions
from accounts.models import Membership, Organisation, Project, User
from accounts.permissions import Right

LAST_ORGANISATION = "portal_organisation"


@dataclass(frozen=True, slots=True)
class Seat:
    """A person's place in one organisation, for one request.

    `has_restricted_domain`: some project of it is of a domain whose answers need human review.
    """

    membership: Membership
    has_restricted_domain: bool

    @property
    def user(self) -> User:
        """The person who is logged in."""
        return self.membership.user

    @property
    def organisation(self) -> Organisation:
        """The organisation named in the path."""
        return self.membership.organisation

    @property
    def rights(self) -> dict[str, bool]:
        """Every right by name, for templates."""
        return {right.value: self.may(right) for right in Right}

    def may(self, right: Right) -> bool:
        """Whether the person's role here carries a right."""
        return permissions.may(self.membership, right)

    def demand(self, right: Right) -> None:
        """Raise PermissionDenied (403) when the role does not carry a right."""
        if not self.may(right):
            raise PermissionDenied(f"The role “{self.membership.get_role_display()}” does not allow this.")


View = Callable[..., HttpResponse]


def seated(right: Right) -> Callable[[View], View]:
    """Turn `view(request, seat, …)` into one for paths with an organisation's slug.

    Nobody logged in: to the login. No member of it: 404, as if it did not exist. Role without the right: 403.
    """

    def decorate(view: View) -> View:
        @login_required
        @wraps(view)
        def wrapped(request: HttpRequest, slug: str, **kwargs: Any) -> HttpResponse:
            seat = take(request, slug)
            seat.demand(right)
            return view(request, seat, **kwargs)

        return wrapped

    return decorate


def take(request: HttpRequest, slug: str) -> Seat:
    """The logged-in person's seat in an organisation. Raises Http404."""
    assert request.user.pk is not None
    restricted = Project.objects.filter(organisation=OuterRef("organisation")).exclude(restricted_domain="")
    membership = (
        Membership.objects.select_related("organisation", "user")
        .annotate(has_restricted_domain=Exists(restricted))
        .filter(user_id=request.user.pk, organisation__slug=slug, is_active=True)
        .first()
    )
    if membership is None:
        raise Http404("There is no such organisation for you.")
    if request.session.get(LAST_ORGANISATION) != slug:
        request.session[LAST_ORGANISATION] = slug
    return Seat(membership, has_restricted_domain=membership.has_restricted_domain)
