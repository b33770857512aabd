"""The taxonomy of acceptable use: codes are never reused or deleted, only retired (MOD-01)."""

from typing import Any, Self

from django.conf import settings
from django.db import models
from django.db.models import ProtectedError

from newapi.kernel import clock


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
        return self.filter(is_retired=False, pack__in=PolicyPack.objects.filter(is_on=True).values("code"))

    def delete(self) -> tuple[int, dict[str, int]]:
        """Refused, as for a single category."""
        raise ProtectedError("A policy code is retired, never deleted.", set(self))

    def update(self, **kwargs: Any) -> int:
        """Refuses a new code for rows that exist. Raises ProtectedError."""
        if "code" in kwargs:
            raise ProtectedError("A policy code is never changed.", set(self))
        return super().update(**kwargs)


class PolicyPack(models.Model):
    """A set of categories that the deployer switches on. Written only by moderation.services.policy."""

    class Code(models.TextChoices):
        GENERAL = "G", "General"
        CHINA = "CN", "Only where the deployer is subject to PRC law"

    code = models.CharField(max_length=2, choices=Code, unique=True, editable=False)
    # The general one always is.
    is_on = models.BooleanField(default=False)

    class Meta:
        ordering = ["-code"]
        constraints = [
            models.CheckConstraint(name="general_pack_is_on", condition=~models.Q(code="G") | models.Q(is_on=True))
        ]

    def __str__(self) -> str:
        return self.get_code_display()


class PolicyCategory(models.Model):
    """A kind of violation. Seeded by migration from the source documents."""

    class PolicyClass(models.TextChoices):
        PROHIBITED = "P", "Prohibited"
        RESTRICTED = "R", "Restricted: lawful purpose, safeguards and provider compliance"
        CONDUCT = "C", "Account or platform conduct"

    Pack = PolicyPack.Code

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
        return not self.is_retired and PolicyPack.objects.filter(code=self.pack, is_on=True).exists()


class PolicyText(models.Model):
    """The text of a category in a language, from a moment on. Never changed: an edit makes the next version.

    Written only by moderation.services.policy. A decision cites the one that was in force when it was done.
    """

    category = models.ForeignKey(PolicyCategory, on_delete=models.PROTECT, related_name="texts")
    language = models.CharField(max_length=12)
    version = models.PositiveIntegerField(editable=False)
    text = models.TextField()
    starts_at = models.DateTimeField(help_text="In force from then on, until the next version is.")
    note = models.CharField(max_length=500, help_text="What changed, and why.")
    author = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, editable=False, related_name="+"
    )
    created_at = models.DateTimeField(default=clock.now, editable=False)

    class Meta:
        ordering = ["category", "language", "-version"]
        constraints = [models.UniqueConstraint(fields=["category", "language", "version"], name="one_text_per_version")]

    def __str__(self) -> str:
        return f"{self.category.code} ({self.language}) v{self.version}"


class PolicyDocument(models.Model):
    """One of the source documents, and whether it binds this deployment: the policy profile. The strictest wins.

    Seeded by migration; `binds` and `appeal_days` are written only by moderation.services.policy.
    """

    APPEAL_DAYS_MIN = 14

    # N, A, T, U or M, as in the sources of categories.
    code = models.CharField(max_length=1, unique=True, editable=False)
    title = models.CharField(max_length=200)
    binds = models.BooleanField(default=False)
    # What it forbids outright although the category could be approved.
    forbids = models.ManyToManyField(PolicyCategory, blank=True, related_name="forbidden_by")
    appeal_days = models.PositiveSmallIntegerField(
        default=APPEAL_DAYS_MIN, help_text="How long a decision may be appealed. The longest of those that bind counts."
    )

    class Meta:
        ordering = ["code"]
        constraints = [
            models.CheckConstraint(name="appeal_window_has_its_floor", condition=models.Q(appeal_days__range=(14, 730)))
        ]

    def __str__(self) -> str:
        return f"{self.code}: {self.title}"
