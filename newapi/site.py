"""The admin site put together: its login goes through allauth, so that second factors count here as well."""

from allauth.account.decorators import secure_admin_login
from django.contrib import admin

from newapi import admin_compliance, admin_jobs, admin_reviews, admin_traces  # noqa: F401 - registers their pages

# Without this the admin's own form would let a stolen password in past the second factor.
admin.site.login = secure_admin_login(admin.site.login)  # type: ignore[method-assign]
