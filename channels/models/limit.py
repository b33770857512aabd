"""What an organisation may do with one model."""

from django.db import models

from accounts.models import Limits, Organisation
from channels.models.model import Model
from newapi.kernel import clock


class ModelLimit(Limits):
    """Limits of an organisation for one model, beside those that hold for all of its calls."""

    organisation = models.ForeignKey(Organisation, on_delete=models.PROTECT, related_name="model_limits")
    model = models.ForeignKey(Model, on_delete=models.PROTECT, related_name="limits")
    created_at = models.DateTimeField(default=clock.now, editable=False)

    class Meta:
        ordering = ["organisation", "model"]
        constraints = [models.UniqueConstraint(fields=["organisation", "model"], name="one_limit_per_model")]

    def __str__(self) -> str:
        return f"{self.model} for {self.organisation}"
