"""newapi: governed access to AI models."""

from newapi.celery import app as celery_app

__all__ = ["celery_app"]
