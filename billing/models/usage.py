"""One row for each call that was admitted. On PostgreSQL the table is partitioned by its time-ordered key."""

from datetime import timedelta

from django.conf import settings
from django.db import models

from accounts.models import APIKey, Organisation, Project
from billing.models.grant import Purse
from billing.models.ledger import LedgerTransaction
from billing.models.price import PriceVersion
from channels.models import Channel, Model, UpstreamKey


class UsageEvent(models.Model):
    """What a call used and cost. Attribution is frozen at the call (GW-39). No content is stored (GW-16).

    The id is the request id that the caller saw, a UUIDv7 whose time is the call's admission.
    """

    # How far a row's own time may lie from the time in its id.
    ID_SLACK = timedelta(hours=1)

    class Outcome(models.TextChoices):
        OK = "ok", "Answered"
        UPSTREAM_ERROR = "error", "Upstream failed"
        CLIENT_LEFT = "left", "Caller left"
        LOST = "lost", "Worker lost"
        CUT = "cut", "Ended by us"

    class Modality(models.TextChoices):
        TEXT = "text", "Text"
        IMAGE = "image", "With images"
        AUDIO = "audio", "With audio or video"
        UPLOAD = "upload", "With files"

    class CallSource(models.TextChoices):
        API = "api", "API"
        PLAYGROUND = "playground", "Playground"

    class PriceBasis(models.TextChoices):
        VERIFIED = "verified", "The organisation's country"
        ADDRESS = "address", "The country of the caller's address"
        DEFAULT = "default", "No place was known, or it has no price of its own"

    class Source(models.TextChoices):
        PROVIDER = "provider", "Reported by the provider"
        ESTIMATE = "estimate", "Estimated"
        NONE = "none", "Nothing was used"

    id = models.UUIDField(primary_key=True, editable=False)
    at = models.DateTimeField(editable=False)
    organisation = models.ForeignKey(
        Organisation, models.PROTECT, db_constraint=False, related_name="+", db_index=False
    )
    project = models.ForeignKey(Project, models.PROTECT, db_constraint=False, related_name="+", db_index=False)
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, db_constraint=False, related_name="+", db_index=False
    )
    api_key = models.ForeignKey(APIKey, models.PROTECT, db_constraint=False, related_name="+", db_index=False)
    model = models.ForeignKey(Model, models.PROTECT, db_constraint=False, related_name="+", db_index=False)
    channel = models.ForeignKey(
        Channel, models.PROTECT, db_constraint=False, related_name="+", db_index=False, null=True
    )
    upstream_key = models.ForeignKey(
        UpstreamKey, models.PROTECT, db_constraint=False, related_name="+", db_index=False, null=True
    )
    price = models.ForeignKey(PriceVersion, models.PROTECT, db_constraint=False, related_name="+", db_index=False)
    transaction = models.ForeignKey(
        LedgerTransaction, models.PROTECT, db_constraint=False, related_name="+", db_index=False, null=True
    )
    endpoint = models.CharField(max_length=40, help_text="Such as chat.completions.")
    is_stream = models.BooleanField()
    status = models.PositiveSmallIntegerField(help_text="The HTTP status that the caller saw.")
    outcome = models.CharField(max_length=8, choices=Outcome)
    attempts = models.PositiveSmallIntegerField(help_text="How many upstreams were tried.")
    usage_source = models.CharField(max_length=8, choices=Source)
    input_tokens = models.BigIntegerField()
    cached_input_tokens = models.BigIntegerField()
    cache_write_tokens = models.BigIntegerField()
    output_tokens = models.BigIntegerField()
    reasoning_tokens = models.BigIntegerField()
    input_cost_nano = models.BigIntegerField()
    cached_input_cost_nano = models.BigIntegerField()
    cache_write_cost_nano = models.BigIntegerField()
    output_cost_nano = models.BigIntegerField()
    reasoning_cost_nano = models.BigIntegerField()
    call_cost_nano = models.BigIntegerField()
    cost_nano = models.BigIntegerField(help_text="The sum of the components.")
    currency = models.CharField(max_length=3)
    latency_ms = models.PositiveIntegerField(help_text="From the request until the caller saw the end.")
    first_byte_ms = models.PositiveIntegerField(null=True, help_text="Until the upstream's answer began.")
    upstream_id = models.CharField(max_length=100, blank=True, help_text="The provider's id of the answer.")
    client_address = models.GenericIPAddressField(null=True)
    # Null in what follows: not recorded, because the row is older than the column.
    country = models.CharField(max_length=2, null=True, help_text="Where the caller's address is; empty: unknown.")
    modality = models.CharField(max_length=8, null=True, choices=Modality)
    source = models.CharField(max_length=10, null=True, choices=CallSource)
    domain = models.CharField(
        max_length=20, null=True, help_text="The restricted domain of its project, whose answers need human review."
    )
    is_test = models.BooleanField(null=True, help_text="Made with a test key: free, and on no invoice.")
    asked_model = models.ForeignKey(
        Model,
        models.PROTECT,
        db_constraint=False,
        related_name="+",
        db_index=False,
        null=True,
        help_text="The model that was asked for, when another one stood in for it.",
    )
    purse = models.ForeignKey(Purse, models.PROTECT, db_constraint=False, related_name="+", db_index=False, null=True)
    region = models.CharField(max_length=2, null=True, help_text="The place whose price applied; empty: any.")
    price_basis = models.CharField(
        max_length=8, null=True, choices=PriceBasis, help_text="How the place was known (BIL-10)."
    )
    service_tier = models.CharField(max_length=20, null=True, help_text="Such as flex or priority, as it was served.")
    # Units and nano of the buckets that few calls have: {"input_audio": [120, 4800], "tool:web_search": [1, 10000000]}.
    # Its tokens are in the plain buckets of the rollups, under their nearest name.
    extras = models.JSONField(null=True)
    extras_cost_nano = models.BigIntegerField(null=True)
    # The attempts before the last: [{"channel", "key", "status", "outcome", "ms"}], oldest first.
    failed_attempts = models.JSONField(null=True)

    class Meta:
        ordering = ["-id"]
        indexes = [
            models.Index(fields=["organisation", "-id"], name="usage_by_organisation"),
            models.Index(fields=["api_key", "-id"], name="usage_by_key"),
            models.Index(fields=["channel", "-id"], name="usage_by_channel"),
            models.Index(fields=["transaction"], name="usage_by_transaction"),
            # The answers that need human review: few among many.
            models.Index(fields=["organisation", "-id"], name="usage_of_domains", condition=models.Q(domain__gt="")),
        ]

    def __str__(self) -> str:
        return str(self.id)
