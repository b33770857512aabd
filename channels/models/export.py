"""Export control of what a channel or a model gives out (CHN-13)."""

from django.db import models

from channels.models import validators


class ExportControl(models.Model):
    """A classification, and the destinations that it allows. An empty list allows every destination."""

    export_classification = models.CharField(
        max_length=40, blank=True, help_text="Such as 4E091. For the record; the list of destinations is what decides."
    )
    countries_allowed = models.JSONField(
        "allowed destinations",
        default=list,
        blank=True,
        validators=[validators.validate_countries],
        help_text='ISO 3166 codes, such as ["DE", "FR"]. Callers elsewhere, or from an unknown place, are refused. '
        "Empty: everywhere.",
    )

    class Meta:
        abstract = True
