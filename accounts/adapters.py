"""How allauth treats accounts here: opened by invitation only (ACC-35), known by the user's own e-mail."""

from typing import Any

from allauth.account.adapter import DefaultAccountAdapter
from allauth.core import context
from allauth.core.exceptions import ImmediateHttpResponse
from django.http import HttpRequest
from django.shortcuts import render

from accounts.models import User


class InviteOnlyAdapter(DefaultAccountAdapter):
    """Refuses open sign-up, and names the person to the brute-force guard."""

    def is_open_for_signup(self, request: HttpRequest) -> bool:
        """Always closed: people are added by their organisation. Who sends the form all the same is refused (403)."""
        if request.method == "POST":
            raise ImmediateHttpResponse(render(request, "account/signup_closed.html", status=403))
        return False

    def authenticate(self, request: HttpRequest, **credentials: Any) -> User | None:
        """Check a login. The guard counts failures by `username`, which allauth leaves out when e-mail is used."""
        email = str(credentials.get("email", "")).lower()
        if email and "username" not in credentials:
            credentials["username"] = email
        return super().authenticate(request, **credentials)

    def reauthenticate(self, user: User, password: str) -> bool:
        """Check a password again, for people whose e-mail was given by their organisation, without a row in allauth."""
        found = self.authenticate(context.request, email=user.email, password=password)
        return found is not None and found.pk == user.pk
