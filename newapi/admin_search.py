"""What the command palette finds: a few rows of the tables that people look for by name, each by their rights."""

from django.contrib import admin
from django.db.models import Model
from django.http import HttpRequest
from django.utils.text import capfirst
from unfold.dataclasses import SearchResult

from accounts.admin.pages import object_url
from accounts.models import APIKey, Organisation, Project, User
from channels.models import Channel
from channels.models import Model as AiModel
from moderation.models import Case, PolicyCategory

ROWS_PER_TABLE_MAX = 6

# In the order in which they are shown, with their icons.
TABLES: tuple[tuple[type[Model], str], ...] = (
    (Organisation, "apartment"),
    (User, "person"),
    (APIKey, "key"),
    (Project, "account_tree"),
    (Channel, "hub"),
    (AiModel, "smart_toy"),
    (Case, "gavel"),
    (PolicyCategory, "policy"),
)


def find(request: HttpRequest, term: str) -> list[SearchResult]:
    """The first rows of each table that match, in the tables that the person may view."""
    found: list[SearchResult] = []
    for model, icon in TABLES:
        page = admin.site.get_model_admin(model)
        if not page.has_view_permission(request):
            continue
        rows, _ = page.get_search_results(request, page.get_queryset(request), term)
        found += [
            SearchResult(
                title=str(row), description=capfirst(model._meta.verbose_name), link=object_url(row), icon=icon
            )
            for row in rows.distinct()[:ROWS_PER_TABLE_MAX]
        ]
    return found
