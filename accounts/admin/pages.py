"""Pages with a form of their own: one question, one act, one service behind it."""

from collections.abc import Callable
from typing import Any

from django import forms
from django.contrib import messages
from django.contrib.admin import ModelAdmin, site
from django.core.exceptions import NON_FIELD_ERRORS, ValidationError
from django.db.models import Model
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, QueryDict
from django.http.response import HttpResponseBase
from django.template.response import TemplateResponse
from django.urls import URLPattern, URLResolver, path, reverse

Act = Callable[[dict[str, Any]], HttpResponse]


def form_page(
    admin: ModelAdmin,
    request: HttpRequest,
    *,
    title: str,
    form: forms.Form,
    submit: str,
    act: Act,
    obj: Model | None = None,
    intro: str = "",
    template: str = "admin/form_page.html",
    is_danger: bool = False,
    is_final: bool = True,
    context: dict[str, Any] | None = None,
) -> HttpResponse:
    """Show a form; when it was sent and is valid, act on it and answer what `act` answers.

    With `is_final` off the form is shown again instead, for a preview. A ValidationError from `act` goes back
    into the form. The caller has checked the permission.
    """
    if request.method == "POST" and is_final and form.is_valid():
        try:
            return act(form.cleaned_data)
        except ValidationError as error:
            put_errors(form, error)
    return TemplateResponse(
        request,
        template,
        {
            **admin.admin_site.each_context(request),
            "opts": admin.opts,
            "original": obj,
            "title": title,
            "intro": intro,
            "form": form,
            "submit_text": submit,
            "is_danger": is_danger,
            "back_url": object_url(obj) if obj else list_url(admin.model),
            **(context or {}),
        },
        headers={"Cache-Control": "no-store"},
    )


def data_of(request: HttpRequest) -> QueryDict | None:
    """What was sent, or None while the form is only asked for. An empty answer is an answer."""
    return request.POST if request.method == "POST" else None


def put_errors(form: forms.Form, error: ValidationError) -> None:
    """Put a service's complaints beside the fields they are about, or on top."""
    if not hasattr(error, "error_dict"):
        form.add_error(None, error)
        return
    for name, complaints in error.error_dict.items():
        form.add_error(name if name in form.fields and name != NON_FIELD_ERRORS else None, complaints)


def secret_page(
    admin: ModelAdmin, request: HttpRequest, *, title: str, secret: str, hint: str, obj: Model
) -> HttpResponse:
    """Show a secret, this once. It is in this response only: no session, no message, no cache."""
    return TemplateResponse(
        request,
        "admin/secret_page.html",
        {
            **admin.admin_site.each_context(request),
            "opts": admin.opts,
            "original": obj,
            "title": title,
            "secret": secret,
            "hint": hint,
            "back_url": object_url(obj),
        },
        headers={"Cache-Control": "no-store"},
    )


def done(request: HttpRequest, message: str, to: Model | str) -> HttpResponse:
    """Say what happened and go to an object's page, or to an address."""
    messages.success(request, message)
    return HttpResponseRedirect(to if isinstance(to, str) else object_url(to))


def object_url(obj: Model) -> str:
    """The admin page of an object."""
    return reverse(f"admin:{obj._meta.app_label}_{obj._meta.model_name}_change", args=[obj.pk])


def list_url(model: type[Model], **filters: Any) -> str:
    """The admin list of a model."""
    url = reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")
    return url + ("?" + "&".join(f"{name}={value}" for name, value in filters.items()) if filters else "")


def mount(route: str, view: Callable[..., HttpResponseBase], *, name: str) -> None:
    """Give a page of its own an address in the admin, before the site's own, whose last one catches everything."""
    plain = site.get_urls

    def urls() -> list[URLResolver | URLPattern]:
        return [path(route, site.admin_view(view), name=name), *plain()]

    site.get_urls = urls  # type: ignore[method-assign]
