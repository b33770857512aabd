"""The version of everything that routing and pricing look at."""

from django.db import models


class CatalogueState(models.Model):
    """One row. Raised with every change to channels, keys, models, routes and prices; see services.catalogue."""

    version = models.BigIntegerField(default=1)
    version_published = models.BigIntegerField(default=0)

    class Meta:
        constraints = [models.CheckConstraint(condition=models.Q(pk=1), name="one_catalogue_state")]

    def __str__(self) -> str:
        return f"version {self.version}"
