"""Who serves the models, and our accounts with them."""

from django.db import models

from newapi.kernel import clock


class Provider(models.Model):
    """A company or team that runs models."""

    name = models.CharField(max_length=100, unique=True)
    website = models.URLField(blank=True)
    terms_url = models.URLField(blank=True, help_text="Their terms of service.")
    created_at = models.DateTimeField(default=clock.now, editable=False)

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class UpstreamAccount(models.Model):
    """Our account with a provider. Its quota is one, however many keys it has (CHN-05)."""

    provider = models.ForeignKey(Provider, on_delete=models.PROTECT, related_name="accounts")
    name = models.CharField(max_length=100)
    legal_owner = models.CharField(max_length=150, blank=True, help_text="Who holds the contract.")
    created_at = models.DateTimeField(default=clock.now, editable=False)

    class Meta:
        ordering = ["provider", "name"]
        constraints = [models.UniqueConstraint(fields=["provider", "name"], name="account_name_per_provider")]

    def __str__(self) -> str:
        return f"{self.provider}: {self.name}"
