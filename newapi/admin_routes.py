"""The page “who may reach what, in which order, now”, on the list of routes."""

from dataclasses import replace
from typing import Any
from urllib.parse import urlencode

from django import forms
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.core.validators import RegexValidator
from django.db.models import Model as AnyModel
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from unfold.decorators import action

from accounts.admin import panels
from accounts.admin.fields import picker
from accounts.admin.pages import list_url
from accounts.admin.reasons import PageForm
from accounts.models import APIKey, Organisation
from billing.models import UsageEvent
from channels.admin.routes import RouteAdmin
from channels.models import Model, Route
from newapi.admin_route_rows import Row, rows_of
from newapi.admin_ways import Who, World, ordinary
from newapi.gateway import passports
from newapi.kernel.errors import Restricted
from newapi.kernel.places import NOWHERE, Place

MODELS_PER_PAGE = 25


class WhoForm(PageForm):
    """Whose calls, from where, to which models. What a person may not view is not asked."""

    organisation = picker(
        APIKey._meta.get_field("organisation"), label="Organisation", required=False, help_text="As an ordinary key."
    )
    api_key = picker(
        UsageEvent._meta.get_field("api_key"),
        label="API key",
        required=False,
        help_text="Goes before the organisation.",
    )
    country = forms.CharField(
        label="Calling from",
        max_length=2,
        required=False,
        validators=[RegexValidator(r"^[A-Z]{2}$", "Two capital letters, such as DE.")],
        help_text="A country's code. Empty: from an unknown place.",
    )
    q = forms.CharField(label="Model", max_length=150, required=False, help_text="A part of its name or alias.")

    def __init__(self, request: HttpRequest) -> None:
        super().__init__(request.GET)
        for name, right in (("organisation", "accounts.view_organisation"), ("api_key", "accounts.view_apikey")):
            if not request.user.has_perm(right):
                del self.fields[name]


admin.site.unregister(Route)


@admin.register(Route)
class ReachAdmin(RouteAdmin):
    """The list of routes, with the page that draws them."""

    actions_list = ("reach",)

    @action(description="Who may reach what, now", icon="account_tree", url_path="now", permissions=["view"])
    def reach(self, request: HttpRequest) -> HttpResponse:
        """Each model with its channels in the order in which they are tried, and what a call would be answered."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        form = WhoForm(request)
        asked = form.cleaned_data if form.is_valid() else {}
        who, title, notes = _who(asked)
        page = Paginator(_models(asked.get("q", "")), MODELS_PER_PAGE).get_page(request.GET.get("page"))
        world = World()
        rows = [_told(request, row) for row in rows_of(world, who, list(page))]
        query = request.GET.copy()
        query.pop("page", None)
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": "Who may reach what, now",
            "form": form,
            "who": title,
            "notes": notes,
            "is_everybody": who.passport is None,
            "world": world,
            "rows": rows,
            "page": page,
            "query": query.urlencode(),
            "back_url": list_url(Route),
        }
        return TemplateResponse(request, "admin/channels/routes.html", context, headers={"Cache-Control": "no-store"})


@panels.on(Organisation)
@panels.on(APIKey)
@panels.on(Model)
def way_to_routes(request: HttpRequest, obj: AnyModel) -> panels.Panel | None:
    """From an organisation, a key or a model to what it may reach, or who may reach it."""
    if not request.user.has_perm("channels.view_route"):
        return None
    asked = {Organisation: "organisation", APIKey: "api_key", Model: "q"}[type(obj)]
    query = urlencode({asked: obj.name if isinstance(obj, Model) else obj.pk})
    link = panels.Link("Who may reach what, now", f"{reverse('admin:channels_route_reach')}?{query}", "account_tree")
    return panels.Panel(title="Models and channels", links=(link,))


def _who(asked: dict[str, Any]) -> tuple[Who, str, list[str]]:
    """Whose view it is: for the gateway, as a title, and what to know of it."""
    place = Place(asked["country"]) if asked.get("country") else NOWHERE
    if api_key := asked.get("api_key"):
        passport = passports.load(bytes(api_key.digest))
        notes = []
        if api_key.addresses_allowed:
            notes.append(
                f"It may be used from {', '.join(api_key.addresses_allowed)} only; calls from there are shown."
            )
        return Who(passport, place), f"The key {api_key} of {api_key.organisation}", notes
    if organisation := asked.get("organisation"):
        return Who(ordinary(organisation), place), f"An ordinary key of {organisation}", []
    return Who(None, place), "Everybody", []


def _models(text: str) -> QuerySet[Model]:
    models = Model.objects.prefetch_related("aliases").order_by("name")
    if text:
        models = models.filter(Q(name__icontains=text) | Q(aliases__name__icontains=text)).distinct()
    return models


def _told(request: HttpRequest, row: Row) -> Row:
    """What moderation has decided is told to those who may see restrictions; the others learn that there is one."""
    answer = row.answer
    if answer is None or answer.code != Restricted.code or request.user.has_perm("moderation.view_restriction"):
        return row
    return replace(row, answer=replace(answer, words="It is restricted."))
