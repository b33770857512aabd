"""The taxonomy of acceptable use: codes are never reused or deleted, only retired (MOD-01)."""

from typing import Any, Self

from django.db import models
from django.db.models import ProtectedError


class Level(models.TextChoices):
    """Severity: L1 is the worst."""

    L1 = "L1", "L1 critical"
    L2 = "L2", "L2 severe"
    L3 = "L3", "L3 moderate"
    L4 = "L4", "L4 minor"

    def is_worse_than(self, other: str) -> bool:
        """Whether this level is more severe. The smaller number is the worse."""
        return self.value < str(other)


class PolicyQuerySet(models.QuerySet["PolicyCategory"]):
    """Refuses what would make a cited code mean something else, or nothing."""

    def in_force(self) -> Self:
        """Those that a new case or restriction may cite."""
        return self.filter(is_retired=False, pack__in=PolicyCategory.PACKS_IN_FORCE)

    def delete(self) -> tuple[int, dict[str, int]]:
        """Refused, as for a single category."""
        raise ProtectedError("A policy code is retired, never deleted.", set(self))

    def update(self, **kwargs: Any) -> int:
        """Refuses a new code for rows that exist. Raises ProtectedError."""
        if "code" in kwargs:
            raise ProtectedError("A policy code is never changed.", set(self))
        return super().update(**kwargs)


class PolicyCategory(models.Model):
    """A kind of violation. Seeded by migration from the source documents."""

    class PolicyClass(models.TextChoices):
        PROHIBITED = "P", "Prohibited"
        RESTRICTED = "R", "Restricted: lawful purpose, safeguards and provider compliance"
        CONDUCT = "C", "Account or platform conduct"

    class Pack(models.TextChoices):
        GENERAL = "G", "Always on"
        CHINA = "CN", "Only where the deployer is subject to PRC law"

    code = models.CharField(max_length=20, unique=True)
    name = models.CharField(max_length=200)
    level = models.CharField(max_length=2, choices=Level)
    level_note = models.CharField(max_length=100, blank=True, help_text="When another level fits better.")
    level_is_stated = models.BooleanField(help_text="On: a source document states the level. Off: our judgement.")
    policy_class = models.CharField("class", max_length=1, choices=PolicyClass)
    approval_rule = models.CharField(max_length=300, help_text="Whether and how an approval can allow it.")
    is_sealed = models.BooleanField(default=False, help_text="Cases are visible to the child-safety team only.")
    sources = models.CharField(max_length=200)
    dsa_category = models.CharField("DSA category", max_length=4)
    pack = models.CharField(max_length=2, choices=Pack, default=Pack.GENERAL)
    pack_note = models.CharField(max_length=100, blank=True)
    is_retired = models.BooleanField(default=False)

    objects = PolicyQuerySet.as_manager()

    # Which packs bind this deployment. The general one always does.
    PACKS_IN_FORCE = (Pack.GENERAL,)

    class Meta:
        verbose_name_plural = "policy categories"
        ordering = ["code"]

    def __str__(self) -> str:
        return f"{self.code} {self.name}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Refuses a new code for a row that exists. Raises ProtectedError."""
        if self.pk and PolicyCategory.objects.filter(pk=self.pk).exclude(code=self.code).exists():
            raise ProtectedError("A policy code is never changed.", {self})
        super().save(*args, **kwargs)

    def delete(self, *args: object, **kwargs: object) -> tuple[int, dict[str, int]]:
        """Refused: decisions cite the code for ever. Retire it instead. Raises ProtectedError."""
        raise ProtectedError("A policy code is retired, never deleted.", {self})

    @property
    def is_in_force(self) -> bool:
        """Whether a new case or restriction may cite it."""
        return not self.is_retired and self.pack in self.PACKS_IN_FORCE
