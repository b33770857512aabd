"""What money is for. Whatever brings money in, or promises it, says so, and the database insists (BIL-03)."""

from django.db import models


class Purpose(models.TextChoices):
    """Why an organisation gets money to spend."""

    INTERNAL = "internal_settlement", "Internal settlement: our own departments pay each other"
    CLIENT = "enterprise_client", "Enterprise client: a contract stands behind it"
    FEE = "compliant_service_fee", "Service fee: paid for a service that may be sold"


def purpose_is_said(name: str) -> models.CheckConstraint:
    """A constraint that refuses rows without a purpose, whoever writes them."""
    return models.CheckConstraint(name=name, condition=models.Q(purpose__in=Purpose.values))
