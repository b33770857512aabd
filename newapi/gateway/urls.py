"""The paths of model calls: one table, for Django's resolver and for the lane."""

from typing import Any

from django.urls import path, re_path

from newapi.gateway import views

# Exact paths; the hot ones. Everything else below /v1/ is found by the patterns.
EXACT: dict[str, Any] = {
    "/v1/chat/completions": views.ChatCompletions.as_view(),
    "/v1/embeddings": views.Embeddings.as_view(),
    "/v1/models": views.Models.as_view(),
}
PREFIX = "/v1/"
MODEL_PREFIX = "/v1/models/"
MODEL = views.Models.as_view()
NOTHING = views.Nothing.as_view()

urlpatterns = [
    *(path(route.lstrip("/"), view) for route, view in EXACT.items()),
    path(f"{MODEL_PREFIX.lstrip('/')}<path:name>", MODEL),
    re_path(r"^v1/", NOTHING),
]


def find(route: str) -> tuple[Any, dict[str, str]]:
    """The view and its arguments for a path below /v1/."""
    view = EXACT.get(route)
    if view is not None:
        return view, {}
    if route.startswith(MODEL_PREFIX) and len(route) > len(MODEL_PREFIX):
        return MODEL, {"name": route[len(MODEL_PREFIX) :]}
    return NOTHING, {}
