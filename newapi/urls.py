"""All paths. Model calls stand here too, so that tests and tools find them; served, they enter by the lane."""

from django.contrib import admin
from django.urls import URLPattern, URLResolver, include, path

from billing import webhooks
from newapi import (
    health,
    site,  # noqa: F401 - puts the admin site together
)
from newapi.portal.urls import account_urlpatterns

urlpatterns: list[URLPattern | URLResolver] = [
    path("", include("newapi.gateway.urls")),
    path("livez", health.livez),
    path("readyz", health.readyz),
    path("metrics", health.metrics),
    path("webhooks/payments/<slug:provider>", webhooks.receive, name="payment_webhook"),
    path("admin/", admin.site.urls),
    path("accounts/", include(account_urlpatterns)),
    path("accounts/", include("allauth.urls")),
    path("", include("newapi.portal.urls")),
]

handler500 = "newapi.portal.views.errors.broken"
