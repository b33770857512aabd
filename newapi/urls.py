"""All paths. Model calls stand here too, so that tests and tools find them; served, they enter by the lane."""

from django.contrib import admin
from django.urls import URLPattern, URLResolver, include, path

urlpatterns: list[URLPattern | URLResolver] = [
    path("", include("newapi.gateway.urls")),
    path("admin/", admin.site.urls),
]
