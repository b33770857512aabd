"""The front door: what this is, for strangers; the way to one's organisation, for members."""

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_safe

from accounts.models import Organisation, User
from accounts.selectors import organisations_of
from newapi.portal import snippets
from newapi.portal.seats import LAST_ORGANISATION


@require_safe
def home(request: HttpRequest) -> HttpResponse:
    """`/`: the landing page, or straight on to the organisation that was looked at last."""
    if not request.user.is_authenticated:
        example = snippets.first_call(base=snippets.base_url(request), api_key=snippets.PLACEHOLDER_KEY, model=None)
        return render(request, "portal/landing.html", {"snippets": example})
    return _on_to(request, request.user, "portal:overview")


@require_safe
@login_required
def models(request: HttpRequest) -> HttpResponse:
    """`/models`: the models of the organisation that was looked at last."""
    assert isinstance(request.user, User)
    return _on_to(request, request.user, "portal:models")


@require_safe
@login_required
def email(request: HttpRequest) -> HttpResponse:
    """The address one logs in with. The organisation gave it, and changes it."""
    return render(request, "portal/email.html")


def _on_to(request: HttpRequest, user: User, name: str) -> HttpResponse:
    organisation = _last_organisation(request, user)
    if organisation is None:
        return render(request, "portal/no_organisation.html")
    return redirect(name, organisation.slug)


def _last_organisation(request: HttpRequest, user: User) -> Organisation | None:
    mine = organisations_of(user)
    return mine.filter(slug=request.session.get(LAST_ORGANISATION, "")).first() or mine.first()
