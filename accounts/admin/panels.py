"""Panels: what apps on higher floors have to say on an object's page, without the page importing them.

An app registers a provider for a model; the page asks all providers for what to show to this person.
"""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass

from django.db.models import Model
from django.http import HttpRequest


@dataclass(frozen=True, slots=True)
class Link:
    """Something to do or to look at next."""

    title: str
    url: str
    icon: str = "arrow_forward"


@dataclass(frozen=True, slots=True)
class Panel:
    """A box above an object's form. `tone`: info, success, warning or danger."""

    title: str
    lines: tuple[tuple[str, str], ...] = ()
    note: str = ""
    tone: str = "info"
    links: tuple[Link, ...] = ()


Provider = Callable[[HttpRequest, Model], Panel | None]
_providers: dict[type[Model], list[Provider]] = defaultdict(list)


def on(model: type[Model]) -> Callable[[Provider], Provider]:
    """Register a provider for a model's pages. It answers None when it has nothing for this person."""

    def register(provider: Provider) -> Provider:
        _providers[model].append(provider)
        return provider

    return register


def of(request: HttpRequest, obj: Model) -> list[Panel]:
    """The panels for an object, in the order of registration."""
    found = (provider(request, obj) for provider in _providers[type(obj)])
    return [panel for panel in found if panel is not None]
