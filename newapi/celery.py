"""The Celery application: `celery -A newapi worker`, `celery -A newapi beat`."""

import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "newapi.settings.embedded")

app = Celery("newapi")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
