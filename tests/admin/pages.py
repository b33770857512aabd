"""Addresses of admin pages, and forms as a browser would send them."""

from html.parser import HTMLParser
from typing import Any

from django.db.models import Model
from django.http import HttpResponse
from django.test import Client
from django.urls import reverse

REASON = "Because the test says so"


def list_of(model: type[Model]) -> str:
    """The list of a model."""
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")


def add(model: type[Model]) -> str:
    """The page that adds one."""
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_add")


def change(obj: Model) -> str:
    """The page of one."""
    return reverse(f"admin:{obj._meta.app_label}_{obj._meta.model_name}_change", args=[obj.pk])


def delete(obj: Model) -> str:
    """The page that deletes one."""
    return reverse(f"admin:{obj._meta.app_label}_{obj._meta.model_name}_delete", args=[obj.pk])


def act(obj: Model, action: str) -> str:
    """The page of an act on one."""
    return reverse(f"admin:{obj._meta.app_label}_{obj._meta.model_name}_{action}", args=[obj.pk])


class _Fields(HTMLParser):
    """Collects what the page's main form would send if nobody touched it."""

    def __init__(self) -> None:
        super().__init__()
        self.values: dict[str, Any] = {}
        self._is_post = False
        self._select: str | None = None
        self._textarea: str | None = None
        self._in_template = 0

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        given = dict(attributes)
        if tag == "form":
            self._is_post = given.get("method", "").lower() == "post" and "logout" not in (given.get("action") or "")
        if not self._is_post or "__prefix__" in (given.get("name") or ""):
            return
        name = given.get("name")
        if tag == "input" and name and given.get("type") not in ("submit", "button"):
            if given.get("type") not in ("checkbox", "radio") or "checked" in given:
                self.values[name] = given.get("value") or ("on" if given.get("type") == "checkbox" else "")
        elif tag == "select" and name:
            self._select = name
            self.values.setdefault(name, [] if "multiple" in given else "")
        elif tag == "option" and self._select and "selected" in given:
            chosen = given.get("value") or ""
            if isinstance(self.values[self._select], list):
                self.values[self._select].append(chosen)
            else:
                self.values[self._select] = chosen
        elif tag == "textarea" and name:
            self._textarea = name
            self.values[name] = ""

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self._is_post = False
        elif tag == "select":
            self._select = None
        elif tag == "textarea":
            self._textarea = None

    def handle_data(self, data: str) -> None:
        if self._textarea:
            self.values[self._textarea] += data.removeprefix("\n")


def fields(client: Client, url: str) -> dict[str, Any]:
    """What the form on a page holds as it is shown."""
    response = client.get(url)
    assert response.status_code == 200, (url, response.status_code)
    reader = _Fields()
    reader.feed(response.content.decode())
    return reader.values


def send(client: Client, url: str, **changed: Any) -> HttpResponse:
    """Fill in a page's form, with a reason unless another is given, and send it."""
    return client.post(url, {**fields(client, url), "reason": REASON, **changed})


def text(response: HttpResponse) -> str:
    """A page's HTML."""
    return response.content.decode()
