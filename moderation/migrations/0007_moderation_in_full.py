"""Moderation in full: intake, decisions, notices, appeals, evidence, authorities. Old events get their hash chain."""

import django.core.validators
import django.db.models.deletion
from django.apps.registry import Apps
from django.conf import settings
from django.db import migrations, models
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

import newapi.kernel.clock
from moderation import chain, policy
from newapi.kernel import append_only

# Rows of these are never changed or deleted; the database refuses.
APPEND_ONLY = (
    "chainroot",
    "chainrootline",
    "custodyentry",
    "dataread",
    "escalation",
    "noticetemplate",
    "policytext",
    "sealedlook",
    "calendarversion",
)


def link_events(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    """Number the events that are there, in the order in which they were written, and hash them into chains."""
    events, cases = apps.get_model("moderation", "CaseEvent"), apps.get_model("moderation", "Case")
    for case in cases.objects.only("reference").iterator():
        number, head = 0, b""
        for event in events.objects.filter(case=case).order_by("pk").iterator():
            number += 1
            head = chain.event_hash(
                head,
                reference=case.reference,
                number=number,
                at=event.at,
                actor_id=event.actor_id,
                kind=event.kind,
                before=event.before,
                after=event.after,
                reason=event.reason,
            )
            events.objects.filter(pk=event.pk).update(number=number, hash=head)
        cases.objects.filter(pk=case.pk).update(events_count=number, head=head)


def seed(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    """The packs, and the source documents with what each forbids."""
    policy.seed_profile(apps)


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0006_personal_notices"),
        ("moderation", "0006_human_review"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="AuthorityReport",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "case",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="authority_reports",
                        to="moderation.case",
                    ),
                ),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("due", "Due"),
                            ("approved", "Approved: to be submitted"),
                            ("submitted", "Submitted"),
                            ("acknowledged", "Acknowledged"),
                            ("not_required", "Not required"),
                        ],
                        default="due",
                        editable=False,
                        max_length=12,
                    ),
                ),
                ("is_test", models.BooleanField(default=False, help_text="An exercise: nothing is submitted.")),
                ("authority", models.CharField(blank=True, max_length=200)),
                (
                    "country",
                    models.CharField(
                        blank=True,
                        max_length=2,
                        validators=[
                            django.core.validators.RegexValidator("^[A-Z]{2}$", "Two capital letters, such as DE.")
                        ],
                    ),
                ),
                (
                    "legal_basis",
                    models.CharField(blank=True, help_text="The law, or another stated basis.", max_length=500),
                ),
                ("contents", models.JSONField(blank=True, default=dict)),
                ("contents_digest", models.BinaryField(default=b"", max_length=32)),
                ("due_at", models.DateTimeField()),
                ("created_at", models.DateTimeField(default=newapi.kernel.clock.now, editable=False)),
                (
                    "prepared_by",
                    models.ForeignKey(
                        editable=False,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "approved_by",
                    models.ForeignKey(
                        editable=False,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                ("approved_at", models.DateTimeField(editable=False, null=True)),
                ("submitted_at", models.DateTimeField(editable=False, null=True)),
                ("external_id", models.CharField(blank=True, max_length=100)),
                ("acknowledged_at", models.DateTimeField(editable=False, null=True)),
                ("preserve_until", models.DateTimeField(editable=False, null=True)),
                ("end_reason", models.CharField(blank=True, editable=False, max_length=500)),
            ],
            options={
                "ordering": ["due_at", "id"],
                "indexes": [models.Index(fields=["state", "due_at"], name="authority_report_due")],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(
                            ("approved_by", None),
                            models.Q(("approved_by", models.F("prepared_by")), _negated=True),
                            _connector="OR",
                        ),
                        name="authority_report_by_two",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("state__in", ("due", "not_required")),
                            models.Q(
                                models.Q(("legal_basis", ""), _negated=True), models.Q(("authority", ""), _negated=True)
                            ),
                            _connector="OR",
                        ),
                        name="authority_report_has_a_basis",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="CareEntry",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "organisation",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.PROTECT, related_name="+", to="accounts.organisation"
                    ),
                ),
                ("reason", models.CharField(max_length=500)),
                (
                    "created_by",
                    models.ForeignKey(
                        editable=False,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                ("created_at", models.DateTimeField(default=newapi.kernel.clock.now, editable=False)),
            ],
            options={
                "verbose_name": "care list entry",
                "verbose_name_plural": "care list",
                "ordering": ["organisation"],
            },
        ),
        migrations.CreateModel(
            name="ChainRoot",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("number", models.PositiveIntegerField(editable=False, unique=True)),
                ("made_at", models.DateTimeField(default=newapi.kernel.clock.now, editable=False)),
                ("chains", models.PositiveIntegerField(editable=False)),
                ("hash", models.BinaryField(max_length=32)),
                ("signature", models.BinaryField(max_length=64)),
                ("public_key", models.BinaryField(editable=False, max_length=32)),
            ],
            options={
                "ordering": ["-number"],
            },
        ),
        migrations.CreateModel(
            name="CommunityItem",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("issue", "Issue"),
                            ("change", "Proposed change"),
                            ("discussion", "Discussion"),
                            ("link", "Link to a tutorial"),
                        ],
                        max_length=10,
                    ),
                ),
                ("url", models.CharField(max_length=500)),
                ("rule", models.CharField(help_text="Which rule it breaks.", max_length=300)),
                ("decision", models.CharField(max_length=500)),
                (
                    "maintainer",
                    models.ForeignKey(
                        editable=False,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                ("decided_at", models.DateTimeField(default=newapi.kernel.clock.now, editable=False)),
            ],
            options={
                "ordering": ["-decided_at", "-id"],
            },
        ),
        migrations.CreateModel(
            name="ConductRecord",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "organisation",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="+", to="accounts.organisation"
                    ),
                ),
                (
                    "user",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                ("version", models.PositiveIntegerField(default=1)),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("user", None)), fields=("organisation",), name="one_conduct_of_organisation"
                    ),
                    models.UniqueConstraint(
                        condition=models.Q(("user", None), _negated=True),
                        fields=("organisation", "user"),
                        name="one_conduct_of_person",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="Conflict",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "user",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="conflicts",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "organisation",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="accounts.organisation",
                    ),
                ),
                (
                    "same_person",
                    models.ForeignKey(
                        blank=True,
                        help_text="Another login of the same person: what one of them did, both did.",
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                ("reason", models.CharField(max_length=500)),
                (
                    "created_by",
                    models.ForeignKey(
                        editable=False,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                ("created_at", models.DateTimeField(default=newapi.kernel.clock.now, editable=False)),
                ("ended_at", models.DateTimeField(editable=False, null=True)),
            ],
            options={
                "verbose_name": "conflict of interest",
                "verbose_name_plural": "conflicts of interest",
                "ordering": ["-created_at"],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("organisation", None), models.Q(("same_person", None), _negated=True)),
                            models.Q(models.Q(("organisation", None), _negated=True), ("same_person", None)),
                            _connector="OR",
                        ),
                        name="conflict_with_one_thing",
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="DataAccessGrant",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("reference", models.CharField(editable=False, max_length=20, unique=True)),
                (
                    "organisation",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="data_access_grants",
                        to="accounts.organisation",
                    ),
                ),
                (
                    "api_key",
                    models.ForeignKey(
                        blank=True,
                        help_text="Empty: every key of the organisation.",
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="accounts.apikey",
                        verbose_name="API key",
                    ),
                ),
                (
                    "case",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="data_access_grants",
                        to="moderation.case",
                    ),
                ),
                (
                    "basis",
                    models.CharField(
                        choices=[
                            ("law", "Law"),
                            ("product", "A rule of the product that the user agreed to"),
                            ("support", "Support that the user asked for"),
                        ],
                        max_length=7,
                    ),
                ),
                (
                    "basis_text",
                    models.CharField(help_text="The law, the rule, or the request, by its reference.", max_length=500),
                ),
                ("scope", models.CharField(help_text="What is looked for, and why less would not do.", max_length=500)),
                (
                    "is_secret",
                    models.BooleanField(default=False, help_text="On: the law forbids to tell the organisation."),
                ),
                ("calls_max", models.PositiveIntegerField(help_text="At most so many calls are captured.")),
                ("starts_at", models.DateTimeField()),
                ("ends_at", models.DateTimeField()),
                (
                    "requested_by",
                    models.ForeignKey(
                        editable=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                ("requested_at", models.DateTimeField(default=newapi.kernel.clock.now, editable=False)),
                (
                    "approved_by",
                    models.ForeignKey(
                        editable=False,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                ("approved_at", models.DateTimeField(editable=False, null=True)),
                ("revoked_at", models.DateTimeField(editable=False, null=True)),
            ],
            options={
                "ordering": ["-requested_at", "-id"],
                "indexes": [models.Index(fields=["organisation", "ends_at"], name="data_access_in_force")],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("ends_at__gt", models.F("starts_at"))), name="data_access_ends_after_start"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("approved_by", None),
                            models.Q(("approved_by", models.F("requested_by")), _negated=True),
                            _connector="OR",
                        ),
                        name="data_access_by_two",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("is_secret", False), ("basis", "law"), _connector="OR"),
                        name="data_access_secret_by_law",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="Dispute",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("reference", models.CharField(editable=False, max_length=20, unique=True)),
                (
                    "first",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="+", to="accounts.organisation"
                    ),
                ),
                (
                    "second",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="+", to="accounts.organisation"
                    ),
                ),
                ("subject", models.CharField(max_length=200)),
                ("notes", models.TextField(blank=True)),
                (
                    "outcome",
                    models.CharField(
                        choices=[
                            ("open", "Open"),
                            ("settled", "Settled between them"),
                            ("acted", "We acted"),
                            ("left", "Not ours to settle"),
                        ],
                        default="open",
                        max_length=7,
                    ),
                ),
                ("opened_at", models.DateTimeField(default=newapi.kernel.clock.now, editable=False)),
                (
                    "opened_by",
                    models.ForeignKey(
                        editable=False,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                ("closed_at", models.DateTimeField(editable=False, null=True)),
            ],
            options={
                "ordering": ["-opened_at", "-id"],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("first", models.F("second")), _negated=True), name="dispute_between_two"
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="DutyShift",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "user",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="duty_shifts",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "duty",
                    models.CharField(
                        choices=[
                            ("reviewer", "Reviews cases"),
                            ("lead", "Leads"),
                            ("on_call", "On call, day and night"),
                            ("child", "Child safety"),
                        ],
                        max_length=8,
                    ),
                ),
                ("starts_at", models.DateTimeField()),
                ("ends_at", models.DateTimeField()),
                (
                    "created_by",
                    models.ForeignKey(
                        editable=False,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                ("created_at", models.DateTimeField(default=newapi.kernel.clock.now, editable=False)),
            ],
            options={
                "ordering": ["starts_at", "id"],
                "indexes": [models.Index(fields=["ends_at"], name="shift_by_end")],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("ends_at__gt", models.F("starts_at"))), name="shift_ends_after_start"
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="Escalation",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "sla",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="escalations",
                        to="moderation.slaclock",
                        verbose_name="clock",
                    ),
                ),
                ("percent", models.PositiveSmallIntegerField()),
                (
                    "to",
                    models.CharField(
                        choices=[("assignee", "Who works on it"), ("lead", "The leads"), ("on_call", "Who is on call")],
                        max_length=8,
                    ),
                ),
                ("people", models.PositiveSmallIntegerField(default=0)),
                ("at", models.DateTimeField(default=newapi.kernel.clock.now, editable=False)),
            ],
            options={
                "ordering": ["at", "id"],
                "constraints": [
                    models.UniqueConstraint(fields=("sla", "percent", "to"), name="one_escalation_per_step")
                ],
            },
        ),
        migrations.CreateModel(
            name="Evidence",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "case",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="evidence", to="moderation.case"
                    ),
                ),
                (
                    "kind",
                    models.CharField(
                        choices=[("file", "File"), ("text", "Text"), ("ids", "Ids and hashes only")], max_length=4
                    ),
                ),
                ("name", models.CharField(help_text="What it is, in words.", max_length=200)),
                ("digest", models.BinaryField(max_length=32)),
                (
                    "size",
                    models.PositiveBigIntegerField(
                        default=0, editable=False, help_text="In bytes, before it was sealed."
                    ),
                ),
                ("content_type", models.CharField(blank=True, editable=False, max_length=100)),
                ("facts", models.JSONField(blank=True, default=dict)),
                ("source", models.CharField(max_length=60)),
                ("key_id", models.CharField(blank=True, editable=False, max_length=60)),
                (
                    "added_by",
                    models.ForeignKey(
                        editable=False,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                ("added_at", models.DateTimeField(default=newapi.kernel.clock.now, editable=False)),
                (
                    "retention",
                    models.CharField(
                        choices=[
                            ("standard", "Standard: two years after the case is closed"),
                            ("severe", "L1 and L2: five years after the case is closed"),
                            ("child", "Child safety: at least one year after the report to the authority"),
                            ("legal", "Until the legal request is done"),
                        ],
                        default="standard",
                        max_length=8,
                    ),
                ),
                ("purged_at", models.DateTimeField(editable=False, null=True)),
                (
                    "purged_by",
                    models.ForeignKey(
                        editable=False,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                ("purge_reason", models.CharField(blank=True, editable=False, max_length=500)),
            ],
            options={
                "verbose_name_plural": "evidence",
                "ordering": ["added_at", "id"],
                "indexes": [models.Index(fields=["digest"], name="evidence_by_digest")],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(
                            ("purged_at", None), models.Q(("purge_reason", ""), _negated=True), _connector="OR"
                        ),
                        name="evidence_purged_says_why",
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="LegalRequest",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("reference", models.CharField(editable=False, max_length=20, unique=True)),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("received", "Received"),
                            ("approved_once", "Approved by one"),
                            ("approved", "Approved"),
                            ("answered", "Answered"),
                            ("refused", "Refused"),
                        ],
                        default="received",
                        editable=False,
                        max_length=13,
                    ),
                ),
                ("authority", models.CharField(max_length=200)),
                (
                    "country",
                    models.CharField(
                        max_length=2,
                        validators=[
                            django.core.validators.RegexValidator("^[A-Z]{2}$", "Two capital letters, such as DE.")
                        ],
                    ),
                ),
                ("their_reference", models.CharField(max_length=100)),
                ("legal_basis", models.CharField(max_length=500)),
                (
                    "organisation",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="legal_requests",
                        to="accounts.organisation",
                    ),
                ),
                (
                    "case",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="legal_requests",
                        to="moderation.case",
                    ),
                ),
                ("fields", models.JSONField(default=list)),
                ("period_starts_at", models.DateTimeField()),
                ("period_ends_at", models.DateTimeField()),
                ("may_tell", models.BooleanField(default=False, help_text="On: the organisation may be told of it.")),
                ("received_at", models.DateTimeField()),
                ("due_at", models.DateTimeField()),
                (
                    "hold",
                    models.ForeignKey(
                        editable=False,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="accounts.legalhold",
                    ),
                ),
                (
                    "created_by",
                    models.ForeignKey(
                        editable=False,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "first_approver",
                    models.ForeignKey(
                        editable=False,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "second_approver",
                    models.ForeignKey(
                        editable=False,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "answered_by",
                    models.ForeignKey(
                        editable=False,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                ("answered_at", models.DateTimeField(editable=False, null=True)),
                ("export_digest", models.BinaryField(default=b"", max_length=32)),
                ("end_reason", models.CharField(blank=True, editable=False, max_length=500)),
            ],
            options={
                "ordering": ["due_at", "id"],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(
                                ("first_approver", None),
                                models.Q(("first_approver", models.F("created_by")), _negated=True),
                                _connector="OR",
                            ),
                            models.Q(
                                ("second_approver", None),
                                models.Q(
                                    models.Q(("second_approver", models.F("first_approver")), _negated=True),
                                    models.Q(("second_approver", models.F("created_by")), _negated=True),
                                ),
                                _connector="OR",
                            ),
                        ),
                        name="legal_request_by_two",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("period_ends_at__gt", models.F("period_starts_at"))),
                        name="legal_request_has_a_period",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="NoticeHook",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "organisation",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.PROTECT, related_name="+", to="accounts.organisation"
                    ),
                ),
                (
                    "url",
                    models.URLField(
                        help_text="https only; addresses inside the platform's network are refused.", max_length=500
                    ),
                ),
                ("sealed_secret", models.TextField(editable=False)),
                ("is_on", models.BooleanField(default=True)),
                (
                    "created_by",
                    models.ForeignKey(
                        editable=False,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                ("created_at", models.DateTimeField(default=newapi.kernel.clock.now, editable=False)),
            ],
            options={
                "ordering": ["organisation"],
            },
        ),
        migrations.CreateModel(
            name="NoticeTemplate",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("prior", "Before a measure takes effect"),
                            ("decision", "Decision"),
                            ("interim", "Interim measure"),
                            ("lifted", "Measure lifted"),
                            ("demand", "Demand"),
                            ("appeal_received", "Appeal received"),
                            ("appeal_outcome", "Outcome of an appeal"),
                            ("report_received", "Report received"),
                            ("report_outcome", "Outcome of a report"),
                        ],
                        max_length=16,
                    ),
                ),
                (
                    "language",
                    models.CharField(
                        max_length=12,
                        validators=[
                            django.core.validators.RegexValidator(
                                "^[a-z]{2,3}(-[A-Za-z0-9]{2,8})?$", "Such as en, de or zh-Hans."
                            )
                        ],
                    ),
                ),
                ("version", models.PositiveIntegerField(editable=False)),
                ("subject", models.CharField(max_length=200)),
                ("body", models.TextField()),
                ("note", models.CharField(help_text="What changed, and why.", max_length=500)),
                (
                    "author",
                    models.ForeignKey(
                        editable=False,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                ("created_at", models.DateTimeField(default=newapi.kernel.clock.now, editable=False)),
            ],
            options={
                "ordering": ["kind", "language", "-version"],
                "constraints": [
                    models.UniqueConstraint(fields=("kind", "language", "version"), name="one_template_per_version")
                ],
            },
        ),
        migrations.CreateModel(
            name="PolicyDocument",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("code", models.CharField(editable=False, max_length=1, unique=True)),
                ("title", models.CharField(max_length=200)),
                ("binds", models.BooleanField(default=False)),
                (
                    "appeal_days",
                    models.PositiveSmallIntegerField(
                        default=14,
                        help_text="How long a decision may be appealed. The longest of those that bind counts.",
                    ),
                ),
                (
                    "forbids",
                    models.ManyToManyField(blank=True, related_name="forbidden_by", to="moderation.policycategory"),
                ),
            ],
            options={
                "ordering": ["code"],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("appeal_days__range", (14, 730))), name="appeal_window_has_its_floor"
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="PolicyPack",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "code",
                    models.CharField(
                        choices=[("G", "General"), ("CN", "Only where the deployer is subject to PRC law")],
                        editable=False,
                        max_length=2,
                        unique=True,
                    ),
                ),
                ("is_on", models.BooleanField(default=False)),
            ],
            options={
                "ordering": ["-code"],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(models.Q(("code", "G"), _negated=True), ("is_on", True), _connector="OR"),
                        name="general_pack_is_on",
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="PolicyText",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "category",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="texts",
                        to="moderation.policycategory",
                    ),
                ),
                ("language", models.CharField(max_length=12)),
                ("version", models.PositiveIntegerField(editable=False)),
                ("text", models.TextField()),
                ("starts_at", models.DateTimeField(help_text="In force from then on, until the next version is.")),
                ("note", models.CharField(help_text="What changed, and why.", max_length=500)),
                (
                    "author",
                    models.ForeignKey(
                        editable=False,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                ("created_at", models.DateTimeField(default=newapi.kernel.clock.now, editable=False)),
            ],
            options={
                "ordering": ["category", "language", "-version"],
                "constraints": [
                    models.UniqueConstraint(fields=("category", "language", "version"), name="one_text_per_version")
                ],
            },
        ),
        migrations.CreateModel(
            name="Reporter",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("digest", models.BinaryField(max_length=32, unique=True)),
                ("sealed_email", models.TextField(blank=True, editable=False)),
                (
                    "user",
                    models.ForeignKey(
                        blank=True,
                        editable=False,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                ("created_at", models.DateTimeField(default=newapi.kernel.clock.now, editable=False)),
                ("measured_until", models.DateTimeField(editable=False, null=True)),
                (
                    "measured_by",
                    models.ForeignKey(
                        editable=False,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                ("measure_reason", models.CharField(blank=True, editable=False, max_length=500)),
            ],
            options={
                "ordering": ["-created_at"],
            },
        ),
        migrations.CreateModel(
            name="SealedLook",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "case",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="looks", to="moderation.case"
                    ),
                ),
                (
                    "user",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="+", to=settings.AUTH_USER_MODEL
                    ),
                ),
                ("at", models.DateTimeField(default=newapi.kernel.clock.now, editable=False)),
                ("what", models.CharField(max_length=100)),
                ("was_allowed", models.BooleanField()),
                ("address", models.GenericIPAddressField(null=True)),
            ],
            options={
                "ordering": ["-at", "-id"],
            },
        ),
        migrations.CreateModel(
            name="SlaPause",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "sla",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="pauses",
                        to="moderation.slaclock",
                        verbose_name="clock",
                    ),
                ),
                (
                    "why",
                    models.CharField(
                        choices=[
                            ("user", "Waiting for the organisation's answer"),
                            ("legal", "An authority or court has directed so"),
                        ],
                        max_length=5,
                    ),
                ),
                ("started_at", models.DateTimeField()),
                ("ended_at", models.DateTimeField(null=True)),
                ("days", models.PositiveSmallIntegerField(default=0)),
            ],
            options={
                "verbose_name": "SLA pause",
                "ordering": ["started_at"],
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("ended_at", None)), fields=("sla",), name="one_running_pause"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("ended_at", None), ("ended_at__gte", models.F("started_at")), _connector="OR"
                        ),
                        name="pause_ends_after_start",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="TransparencyReport",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("starts_at", models.DateTimeField()),
                ("ends_at", models.DateTimeField()),
                ("made_at", models.DateTimeField(default=newapi.kernel.clock.now, editable=False)),
                (
                    "made_by",
                    models.ForeignKey(
                        editable=False,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                ("figures", models.JSONField(editable=False)),
                ("full", models.JSONField(editable=False)),
                ("digest", models.BinaryField(max_length=32)),
                ("published_at", models.DateTimeField(editable=False, null=True)),
                (
                    "published_by",
                    models.ForeignKey(
                        editable=False,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "ordering": ["-starts_at", "-made_at"],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("ends_at__gt", models.F("starts_at"))), name="transparency_period"
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="Unsealing",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "case",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="unsealings", to="moderation.case"
                    ),
                ),
                (
                    "asked_by",
                    models.ForeignKey(
                        editable=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                ("asked_at", models.DateTimeField(default=newapi.kernel.clock.now, editable=False)),
                ("reason", models.TextField()),
                (
                    "granted_by",
                    models.ForeignKey(
                        editable=False,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                ("granted_at", models.DateTimeField(editable=False, null=True)),
                ("refused_at", models.DateTimeField(editable=False, null=True)),
                ("ends_at", models.DateTimeField(editable=False, null=True)),
            ],
            options={
                "ordering": ["-asked_at", "-id"],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(
                            ("granted_by", None),
                            models.Q(("granted_by", models.F("asked_by")), _negated=True),
                            _connector="OR",
                        ),
                        name="unsealing_granted_by_another",
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="CalendarVersion",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("version", models.PositiveIntegerField(editable=False, unique=True)),
                (
                    "country",
                    models.CharField(
                        help_text="Whose public holidays are kept: DE, or DE-BY with its region.",
                        max_length=10,
                        validators=[
                            django.core.validators.RegexValidator(
                                "^[A-Z]{2}(-[A-Z0-9]{1,6})?$", "Such as DE, or DE-BY with the region."
                            )
                        ],
                    ),
                ),
                ("time_zone", models.CharField(help_text="Such as Europe/Berlin.", max_length=60)),
                (
                    "weekend",
                    models.JSONField(
                        blank=True,
                        default=list,
                        help_text="Days of the week that are not worked. Empty: as the country has it.",
                    ),
                ),
                ("opens_at", models.TimeField(help_text="From when somebody is there, on a working day.")),
                ("closes_at", models.TimeField(help_text="Close of business: until then a promise of days is kept.")),
                ("extra_holidays", models.JSONField(blank=True, default=list)),
                ("make_up_days", models.JSONField(blank=True, default=list)),
                ("note", models.CharField(help_text="What changed, and why.", max_length=500)),
                (
                    "author",
                    models.ForeignKey(
                        editable=False,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                ("created_at", models.DateTimeField(default=newapi.kernel.clock.now, editable=False)),
            ],
            options={
                "ordering": ["-version"],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("closes_at__gt", models.F("opens_at"))),
                        name="calendar_closes_after_opening",
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="CapturedCall",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "grant",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="calls",
                        to="moderation.dataaccessgrant",
                    ),
                ),
                ("trace_id", models.UUIDField(unique=True)),
                ("at", models.DateTimeField()),
                ("sealed_request", models.TextField(editable=False)),
                ("sealed_answer", models.TextField(editable=False)),
                ("digest", models.BinaryField(max_length=32)),
                ("is_cut", models.BooleanField(default=False, editable=False, help_text="Longer than what is kept.")),
                ("purged_at", models.DateTimeField(editable=False, null=True)),
            ],
            options={
                "ordering": ["at", "id"],
            },
        ),
        migrations.CreateModel(
            name="ChainRootLine",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "root",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="lines", to="moderation.chainroot"
                    ),
                ),
                (
                    "case",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="+", to="moderation.case"
                    ),
                ),
                ("number", models.PositiveIntegerField()),
                ("hash", models.BinaryField(max_length=32)),
            ],
            options={
                "ordering": ["root", "case"],
                "constraints": [models.UniqueConstraint(fields=("root", "case"), name="one_line_per_chain")],
            },
        ),
        migrations.CreateModel(
            name="CustodyEntry",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "evidence",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="custody", to="moderation.evidence"
                    ),
                ),
                ("at", models.DateTimeField(default=newapi.kernel.clock.now, editable=False)),
                (
                    "actor",
                    models.ForeignKey(
                        editable=False,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "act",
                    models.CharField(
                        choices=[
                            ("stored", "Stored"),
                            ("seen", "Looked at"),
                            ("taken", "Downloaded"),
                            ("exported", "Handed to an authority"),
                            ("checked", "Checked against its hash"),
                            ("purged", "Purged"),
                        ],
                        max_length=8,
                    ),
                ),
                ("reason", models.CharField(blank=True, max_length=500)),
                ("address", models.GenericIPAddressField(null=True)),
            ],
            options={
                "verbose_name_plural": "custody entries",
                "ordering": ["at", "id"],
            },
        ),
        migrations.CreateModel(
            name="Decision",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("reference", models.CharField(editable=False, max_length=20, unique=True)),
                (
                    "case",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="decisions", to="moderation.case"
                    ),
                ),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("proposed", "Proposed"),
                            ("held", "Held for a second person"),
                            ("issued", "Issued"),
                            ("cancelled", "Cancelled without a ruling"),
                            ("overridden", "Replaced by a later decision"),
                        ],
                        default="proposed",
                        editable=False,
                        max_length=10,
                    ),
                ),
                (
                    "finding",
                    models.CharField(
                        choices=[("violation", "Violation"), ("no_violation", "No violation")], max_length=12
                    ),
                ),
                (
                    "category",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="+", to="moderation.policycategory"
                    ),
                ),
                (
                    "level",
                    models.CharField(
                        choices=[("L1", "L1 critical"), ("L2", "L2 severe"), ("L3", "L3 moderate"), ("L4", "L4 minor")],
                        max_length=2,
                    ),
                ),
                (
                    "policy_text",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="moderation.policytext",
                    ),
                ),
                ("facts", models.TextField()),
                ("private_reasoning", models.TextField(blank=True)),
                (
                    "is_automated",
                    models.BooleanField(default=False, help_text="Automated means took part in finding it."),
                ),
                ("recommended", models.JSONField(default=list, editable=False)),
                ("deviation_reason", models.CharField(blank=True, max_length=500)),
                ("holds", models.JSONField(default=list, editable=False)),
                ("asks", models.JSONField(default=list, editable=False)),
                (
                    "no_notice",
                    models.CharField(
                        blank=True,
                        choices=[
                            ("critical", "L1: cannot wait"),
                            ("fraud", "Fraud would go on"),
                            ("security", "Security of the platform or of others"),
                            ("gag", "Law or an authority forbids it"),
                            ("repeat", "Evasion of an earlier measure"),
                        ],
                        max_length=8,
                        verbose_name="no prior notice because",
                    ),
                ),
                ("no_notice_reason", models.CharField(blank=True, max_length=500)),
                (
                    "proposed_by",
                    models.ForeignKey(
                        editable=False,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                ("proposed_at", models.DateTimeField(default=newapi.kernel.clock.now, editable=False)),
                (
                    "decided_by",
                    models.ForeignKey(
                        editable=False,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                ("decided_at", models.DateTimeField(editable=False, null=True)),
                (
                    "approved_by",
                    models.ForeignKey(
                        editable=False,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                ("approved_at", models.DateTimeField(editable=False, null=True)),
                ("issued_at", models.DateTimeField(editable=False, null=True)),
                (
                    "overrides",
                    models.OneToOneField(
                        blank=True,
                        editable=False,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="overridden_by",
                        to="moderation.decision",
                    ),
                ),
                (
                    "further_categories",
                    models.ManyToManyField(blank=True, related_name="+", to="moderation.policycategory"),
                ),
            ],
            options={
                "ordering": ["-proposed_at", "-id"],
                "indexes": [models.Index(fields=["state", "-proposed_at"], name="decision_by_state")],
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("state__in", ("proposed", "held"))),
                        fields=("case",),
                        name="one_decision_pending",
                    ),
                    models.UniqueConstraint(
                        condition=models.Q(("state", "issued")), fields=("case",), name="one_decision_in_force"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("approved_by", None),
                            models.Q(
                                models.Q(("approved_by", models.F("decided_by")), _negated=True),
                                models.Q(("approved_by", models.F("proposed_by")), _negated=True),
                            ),
                            _connector="OR",
                        ),
                        name="decision_approved_by_another",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("no_notice", ""), models.Q(("no_notice_reason", ""), _negated=True), _connector="OR"
                        ),
                        name="decision_without_notice_says_why",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="Report",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("reference", models.CharField(editable=False, max_length=20, unique=True)),
                ("token_digest", models.BinaryField(max_length=32, unique=True)),
                (
                    "channel",
                    models.CharField(
                        choices=[("web", "Web form"), ("api", "API"), ("mail", "Mail, typed in by staff")], max_length=4
                    ),
                ),
                ("received_at", models.DateTimeField(default=newapi.kernel.clock.now)),
                (
                    "reporter",
                    models.ForeignKey(
                        blank=True,
                        editable=False,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="reports",
                        to="moderation.reporter",
                    ),
                ),
                (
                    "language",
                    models.CharField(default="en", help_text="In which the reporter is answered.", max_length=10),
                ),
                (
                    "category",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="reports",
                        to="moderation.policycategory",
                    ),
                ),
                ("task_id", models.CharField(blank=True, max_length=100)),
                ("model_name", models.CharField(blank=True, max_length=150)),
                ("happened_at", models.DateTimeField(blank=True, null=True)),
                ("url", models.CharField(blank=True, max_length=2000)),
                ("sealed_description", models.TextField(editable=False)),
                ("description_digest", models.BinaryField(max_length=32)),
                ("purged_at", models.DateTimeField(editable=False, null=True)),
                ("accused", models.CharField(blank=True, max_length=200)),
                (
                    "organisation",
                    models.ForeignKey(
                        blank=True,
                        editable=False,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="accounts.organisation",
                    ),
                ),
                (
                    "case",
                    models.ForeignKey(
                        editable=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="reports",
                        to="moderation.case",
                    ),
                ),
                (
                    "outcome",
                    models.CharField(
                        choices=[
                            ("open", "Being looked at"),
                            ("action", "Action was taken"),
                            ("no_violation", "No violation was found"),
                            ("unfounded", "Made in bad faith"),
                        ],
                        default="open",
                        editable=False,
                        max_length=12,
                    ),
                ),
                ("outcome_reason", models.CharField(blank=True, editable=False, max_length=500)),
                (
                    "outcome_by",
                    models.ForeignKey(
                        editable=False,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                ("outcome_at", models.DateTimeField(editable=False, null=True)),
            ],
            options={
                "ordering": ["-received_at", "-id"],
                "indexes": [
                    models.Index(fields=["reporter", "-received_at"], name="report_by_reporter"),
                    models.Index(fields=["outcome", "-received_at"], name="report_by_outcome"),
                ],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("task_id", ""), _negated=True),
                            models.Q(("model_name", ""), _negated=True),
                            ("happened_at__isnull", False),
                            _connector="OR",
                        ),
                        name="report_says_what_or_when",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("outcome", "open"),
                            models.Q(models.Q(("outcome_reason", ""), _negated=True), ("outcome_by__isnull", False)),
                            _connector="OR",
                        ),
                        name="report_closed_with_a_reason",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="Appeal",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("reference", models.CharField(editable=False, max_length=20, unique=True)),
                (
                    "decision",
                    models.OneToOneField(
                        editable=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="appeal",
                        to="moderation.decision",
                    ),
                ),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("submitted", "Submitted"),
                            ("assigned", "Assigned"),
                            ("in_review", "In review"),
                            ("upheld", "Decision upheld"),
                            ("overturned", "Decision overturned"),
                            ("modified", "Decision modified"),
                            ("withdrawn", "Withdrawn"),
                            ("rejected_late", "Too late"),
                        ],
                        default="submitted",
                        editable=False,
                        max_length=13,
                    ),
                ),
                (
                    "via",
                    models.CharField(
                        choices=[
                            ("portal", "Portal"),
                            ("link", "Link of the notice"),
                            ("mail", "Mail, typed in by staff"),
                        ],
                        max_length=6,
                    ),
                ),
                ("grounds", models.TextField(help_text="Why the decision is wrong, in the organisation's words.")),
                (
                    "submitted_by",
                    models.ForeignKey(
                        editable=False,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                ("submitted_at", models.DateTimeField(default=newapi.kernel.clock.now, editable=False)),
                ("deadline_at", models.DateTimeField(editable=False)),
                (
                    "late_admitted_by",
                    models.ForeignKey(
                        editable=False,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                ("late_reason", models.CharField(blank=True, editable=False, max_length=500)),
                (
                    "reviewer",
                    models.ForeignKey(
                        editable=False,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="appeals",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                ("is_exception", models.BooleanField(default=False, editable=False)),
                (
                    "exception_by",
                    models.ForeignKey(
                        editable=False,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                ("exception_reason", models.CharField(blank=True, editable=False, max_length=500)),
                ("is_stayed", models.BooleanField(default=False, editable=False)),
                ("outcome_reason", models.TextField(blank=True, editable=False)),
                ("decided_at", models.DateTimeField(editable=False, null=True)),
                ("version", models.PositiveIntegerField(default=1, editable=False)),
            ],
            options={
                "ordering": ["submitted_at", "id"],
                "indexes": [models.Index(fields=["state", "submitted_at"], name="appeal_by_state")],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(
                            ("is_exception", False),
                            models.Q(
                                ("exception_by__isnull", False), models.Q(("exception_reason", ""), _negated=True)
                            ),
                            _connector="OR",
                        ),
                        name="appeal_exception_says_why",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("state__in", ("upheld", "overturned", "modified")), _negated=True),
                            models.Q(("outcome_reason", ""), _negated=True),
                            _connector="OR",
                        ),
                        name="appeal_outcome_says_why",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="DataRead",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "call",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="reads", to="moderation.capturedcall"
                    ),
                ),
                (
                    "actor",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="+", to=settings.AUTH_USER_MODEL
                    ),
                ),
                ("at", models.DateTimeField(default=newapi.kernel.clock.now, editable=False)),
                ("reason", models.CharField(max_length=500)),
            ],
            options={
                "ordering": ["-at", "-id"],
            },
        ),
        migrations.CreateModel(
            name="Demand",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("reference", models.CharField(editable=False, max_length=20, unique=True)),
                (
                    "case",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="demands", to="moderation.case"
                    ),
                ),
                (
                    "organisation",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="demands", to="accounts.organisation"
                    ),
                ),
                (
                    "decision",
                    models.ForeignKey(
                        blank=True,
                        editable=False,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="demands",
                        to="moderation.decision",
                    ),
                ),
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("information", "Information"),
                            ("explanation", "Where personal data comes from"),
                            ("correction", "Corrective action"),
                            ("deletion", "Stop using outputs and delete them"),
                        ],
                        max_length=12,
                    ),
                ),
                ("text", models.TextField(help_text="What is asked. The organisation reads it.")),
                ("trace_ids", models.JSONField(blank=True, default=list)),
                ("scope", models.CharField(blank=True, max_length=500)),
                ("valid_until", models.DateTimeField(blank=True, null=True)),
                (
                    "extends",
                    models.OneToOneField(
                        blank=True,
                        editable=False,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="extended_by",
                        to="moderation.demand",
                    ),
                ),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("open", "Open"),
                            ("answered", "Answered"),
                            ("accepted", "Accepted"),
                            ("refused", "Not enough"),
                            ("overdue", "Overdue"),
                            ("withdrawn", "Withdrawn"),
                        ],
                        default="open",
                        editable=False,
                        max_length=9,
                    ),
                ),
                (
                    "asked_by",
                    models.ForeignKey(
                        editable=False,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                ("asked_at", models.DateTimeField(default=newapi.kernel.clock.now, editable=False)),
                ("due_at", models.DateTimeField()),
                ("answer", models.TextField(blank=True, editable=False)),
                (
                    "answered_by",
                    models.ForeignKey(
                        editable=False,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                ("answered_at", models.DateTimeField(editable=False, null=True)),
                (
                    "judged_by",
                    models.ForeignKey(
                        editable=False,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                ("judged_at", models.DateTimeField(editable=False, null=True)),
                ("overdue_at", models.DateTimeField(editable=False, null=True)),
            ],
            options={
                "ordering": ["due_at", "id"],
                "indexes": [
                    models.Index(condition=models.Q(("state", "open")), fields=["due_at"], name="demand_open"),
                    models.Index(fields=["organisation", "state"], name="demand_by_organisation"),
                ],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("due_at__gt", models.F("asked_at"))), name="demand_due_after_asking"
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="Strike",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "record",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="strikes",
                        to="moderation.conductrecord",
                    ),
                ),
                (
                    "decision",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="strikes", to="moderation.decision"
                    ),
                ),
                (
                    "level",
                    models.CharField(
                        choices=[("L1", "L1 critical"), ("L2", "L2 severe"), ("L3", "L3 moderate"), ("L4", "L4 minor")],
                        max_length=2,
                    ),
                ),
                ("points", models.PositiveSmallIntegerField()),
                ("starts_at", models.DateTimeField()),
                ("expires_at", models.DateTimeField(blank=True, null=True)),
                ("voided_at", models.DateTimeField(editable=False, null=True)),
                ("void_reason", models.CharField(blank=True, editable=False, max_length=500)),
            ],
            options={
                "ordering": ["starts_at", "id"],
                "indexes": [models.Index(fields=["record", "expires_at"], name="strike_by_record")],
                "constraints": [
                    models.UniqueConstraint(fields=("record", "decision"), name="one_strike_of_a_decision"),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("expires_at", None), ("expires_at__gt", models.F("starts_at")), _connector="OR"
                        ),
                        name="strike_expires_after_start",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="CaseNotice",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "case",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="notices", to="moderation.case"
                    ),
                ),
                (
                    "audience",
                    models.CharField(
                        choices=[("organisation", "The organisation"), ("reporter", "Who reported")], max_length=12
                    ),
                ),
                (
                    "organisation",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="case_notices",
                        to="accounts.organisation",
                    ),
                ),
                (
                    "user",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "decision",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="notices",
                        to="moderation.decision",
                    ),
                ),
                (
                    "demand",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="notices",
                        to="moderation.demand",
                    ),
                ),
                (
                    "appeal",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="notices",
                        to="moderation.appeal",
                    ),
                ),
                (
                    "report",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="notices",
                        to="moderation.report",
                    ),
                ),
                (
                    "template",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="+", to="moderation.noticetemplate"
                    ),
                ),
                ("once", models.CharField(editable=False, max_length=100, unique=True)),
                ("subject", models.CharField(max_length=200)),
                ("body", models.TextField()),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("queued", "To be sent"),
                            ("sent", "Sent"),
                            ("failed", "Nobody could be reached"),
                        ],
                        default="queued",
                        max_length=9,
                    ),
                ),
                ("created_at", models.DateTimeField(default=newapi.kernel.clock.now, editable=False)),
                ("attempted_at", models.DateTimeField(editable=False, null=True)),
                ("sent_at", models.DateTimeField(editable=False, null=True)),
                ("attention_at", models.DateTimeField(editable=False, null=True)),
                (
                    "message",
                    models.ForeignKey(
                        editable=False,
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to="accounts.notice",
                    ),
                ),
            ],
            options={
                "ordering": ["-created_at", "-id"],
                "indexes": [
                    models.Index(
                        condition=models.Q(("attention_at__isnull", False)),
                        fields=["attention_at"],
                        name="notice_to_deliver",
                    ),
                    models.Index(fields=["organisation", "-created_at"], name="case_notice_by_customer"),
                ],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("audience", "organisation"), models.Q(("organisation", None), _negated=True)),
                            models.Q(
                                ("audience", "reporter"),
                                models.Q(("report", None), _negated=True),
                                ("organisation", None),
                            ),
                            _connector="OR",
                        ),
                        name="case_notice_has_its_audience",
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="EnforcementAction",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "decision",
                    models.ForeignKey(
                        blank=True,
                        editable=False,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="actions",
                        to="moderation.decision",
                    ),
                ),
                (
                    "case",
                    models.ForeignKey(
                        editable=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="actions",
                        to="moderation.case",
                    ),
                ),
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("education", "Education"),
                            ("warning", "Written warning"),
                            ("content_removal", "Removal of content"),
                            ("feature", "Feature taken away"),
                            ("model", "Model taken away"),
                            ("rate", "Rate limited"),
                            ("suspend_key", "API key suspended"),
                            ("suspend_member", "Member suspended"),
                            ("suspend_project", "Project suspended"),
                            ("suspend_organisation", "Organisation suspended"),
                            ("termination", "Permanent termination"),
                            ("authority_report", "Report to an authority"),
                        ],
                        max_length=20,
                    ),
                ),
                ("target", models.CharField(blank=True, max_length=150)),
                ("rate_per_minute", models.PositiveIntegerField(blank=True, null=True)),
                ("days", models.PositiveIntegerField(blank=True, null=True)),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("planned", "Planned"),
                            ("in_force", "In force"),
                            ("lifted", "Lifted"),
                            ("dropped", "Dropped before it began"),
                        ],
                        default="planned",
                        editable=False,
                        max_length=8,
                    ),
                ),
                ("starts_at", models.DateTimeField(editable=False, null=True)),
                ("ends_at", models.DateTimeField(editable=False, null=True)),
                (
                    "restriction",
                    models.OneToOneField(
                        blank=True,
                        editable=False,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="action",
                        to="moderation.restriction",
                    ),
                ),
                (
                    "strike",
                    models.OneToOneField(
                        blank=True,
                        editable=False,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="action",
                        to="moderation.strike",
                    ),
                ),
                ("threshold", models.PositiveSmallIntegerField(editable=False, null=True)),
                ("is_interim", models.BooleanField(default=False, editable=False)),
                ("is_renewed", models.BooleanField(default=False, editable=False)),
                ("created_at", models.DateTimeField(default=newapi.kernel.clock.now, editable=False)),
                ("ended_at", models.DateTimeField(editable=False, null=True)),
                (
                    "ended_by",
                    models.ForeignKey(
                        editable=False,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                ("end_reason", models.CharField(blank=True, editable=False, max_length=500)),
            ],
            options={
                "ordering": ["id"],
                "indexes": [models.Index(fields=["state", "starts_at"], name="action_to_begin")],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("ends_at", None), ("ends_at__gt", models.F("starts_at")), _connector="OR"),
                        name="action_ends_after_start",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("decision", None), ("is_interim", True)),
                            models.Q(models.Q(("decision", None), _negated=True), ("is_interim", False)),
                            _connector="OR",
                        ),
                        name="action_of_a_decision_or_interim",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="Delivery",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "notice",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="deliveries",
                        to="moderation.casenotice",
                    ),
                ),
                (
                    "channel",
                    models.CharField(
                        choices=[("message", "Message in the portal"), ("email", "E-mail"), ("webhook", "Webhook")],
                        max_length=7,
                    ),
                ),
                ("position", models.PositiveSmallIntegerField(default=0)),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("queued", "To be tried"),
                            ("sent", "Taken"),
                            ("failed", "Failed"),
                            ("bounced", "Came back"),
                        ],
                        default="queued",
                        max_length=7,
                    ),
                ),
                ("tries", models.PositiveSmallIntegerField(default=0)),
                ("last_tried_at", models.DateTimeField(null=True)),
                ("sent_at", models.DateTimeField(null=True)),
                ("error", models.CharField(blank=True, max_length=100)),
            ],
            options={
                "verbose_name_plural": "deliveries",
                "ordering": ["notice", "position"],
                "constraints": [models.UniqueConstraint(fields=("notice", "channel"), name="one_delivery_per_channel")],
            },
        ),
        migrations.AlterModelOptions(
            name="case",
            options={
                "ordering": ["-received_at"],
                "permissions": [
                    ("triage_case", "Can triage, merge and split cases"),
                    ("review_case", "Can review cases and propose decisions"),
                    ("assign_case", "Can assign cases to others"),
                    ("decide_case", "Can decide L3 and L4 cases"),
                    ("decide_severe_case", "Can decide L2 cases"),
                    ("decide_critical_case", "Can decide L1 cases"),
                    ("approve_decision", "Can approve held decisions of others"),
                    ("downgrade_case", "Can lower the level of L1 and L2 cases"),
                    ("override_ladder", "Can suspend at a first minor act"),
                    ("reopen_case", "Can reopen cases"),
                    ("review_appeal", "Can decide appeals"),
                    ("admit_appeal", "Can admit late appeals, and reviewers who took part"),
                    ("handle_legal", "Can handle authority reports and legal requests"),
                    ("approve_legal", "Can approve authority reports and legal requests"),
                    ("verify_chain", "Can verify the chain of events"),
                    ("manage_duty", "Can change the duty roster and the calendar"),
                    ("view_sealed_case", "Can see sealed child-safety cases (not implied by superuser)"),
                ],
            },
        ),
        migrations.RemoveConstraint(
            model_name="slaclock",
            name="one_clock_of_a_kind",
        ),
        migrations.AddField(
            model_name="case",
            name="acted_at",
            field=models.DateTimeField(blank=True, help_text="When it was done. Empty: when it came in.", null=True),
        ),
        migrations.AddField(
            model_name="case",
            name="api_key",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="accounts.apikey",
                verbose_name="API key",
            ),
        ),
        migrations.AddField(
            model_name="case",
            name="events_count",
            field=models.PositiveIntegerField(default=0, editable=False),
        ),
        migrations.AddField(
            model_name="case",
            name="follows",
            field=models.ForeignKey(
                blank=True,
                editable=False,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="followed_by",
                to="moderation.case",
            ),
        ),
        migrations.AddField(
            model_name="case",
            name="head",
            field=models.BinaryField(default=b"", max_length=32),
        ),
        migrations.AddField(
            model_name="case",
            name="merged_into",
            field=models.ForeignKey(
                blank=True,
                editable=False,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="merged",
                to="moderation.case",
            ),
        ),
        migrations.AddField(
            model_name="case",
            name="project",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="accounts.project",
            ),
        ),
        migrations.AddField(
            model_name="case",
            name="user",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="cases_about",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
        migrations.AddField(
            model_name="slaclock",
            name="round",
            field=models.PositiveSmallIntegerField(default=1),
        ),
        migrations.AddField(
            model_name="slaclock",
            name="calendar_version",
            field=models.PositiveIntegerField(default=0),
        ),
        migrations.AlterField(
            model_name="case",
            name="organisation",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="cases",
                to="accounts.organisation",
            ),
        ),
        migrations.AlterField(
            model_name="case",
            name="state",
            field=models.CharField(
                choices=[
                    ("new", "New"),
                    ("triaged", "Triaged"),
                    ("in_review", "In review"),
                    ("awaiting_user", "Awaiting the organisation"),
                    ("proposed", "Proposed"),
                    ("held", "Held for a second person"),
                    ("decided", "Decided"),
                    ("remediation", "Remediation"),
                    ("no_violation", "No violation"),
                    ("closed", "Closed"),
                    ("merged", "Merged into another"),
                ],
                default="new",
                editable=False,
                max_length=14,
            ),
        ),
        migrations.AlterField(
            model_name="policycategory",
            name="pack",
            field=models.CharField(
                choices=[("G", "General"), ("CN", "Only where the deployer is subject to PRC law")],
                default="G",
                max_length=2,
            ),
        ),
        migrations.AddIndex(
            model_name="case",
            index=models.Index(fields=["organisation", "category", "state"], name="case_to_join"),
        ),
        migrations.AddIndex(
            model_name="case",
            index=models.Index(fields=["assignee", "state"], name="case_by_assignee"),
        ),
        migrations.AddConstraint(
            model_name="case",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("state", "merged"), models.Q(("merged_into", None), _negated=True)),
                    models.Q(models.Q(("state", "merged"), _negated=True), ("merged_into", None)),
                    _connector="OR",
                ),
                name="case_merged_says_where",
            ),
        ),
        migrations.AddConstraint(
            model_name="case",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("organisation", None), _negated=True),
                    models.Q(("state__in", ("proposed", "held", "decided", "remediation")), _negated=True),
                    _connector="OR",
                ),
                name="case_decided_knows_whom",
            ),
        ),
        migrations.AddField(
            model_name="slaclock",
            name="appeal",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="clocks",
                to="moderation.appeal",
            ),
        ),
        migrations.AddIndex(
            model_name="slaclock",
            index=models.Index(
                condition=models.Q(("stopped_at__isnull", True)), fields=["due_at"], name="clock_running"
            ),
        ),
        migrations.AddIndex(
            model_name="slaclock",
            index=models.Index(
                condition=models.Q(("stopped_at__isnull", True)),
                fields=["calendar_version"],
                name="clock_by_calendar",
            ),
        ),
        migrations.AddConstraint(
            model_name="slaclock",
            constraint=models.UniqueConstraint(
                condition=models.Q(("appeal", None)), fields=("case", "kind", "round"), name="one_clock_of_a_kind"
            ),
        ),
        migrations.AddConstraint(
            model_name="slaclock",
            constraint=models.UniqueConstraint(
                condition=models.Q(("appeal", None), _negated=True),
                fields=("appeal", "kind"),
                name="one_clock_of_a_kind_of_an_appeal",
            ),
        ),
        *append_only.suspended(
            "moderation_caseevent",
            [
                migrations.AddField(
                    model_name="caseevent",
                    name="hash",
                    field=models.BinaryField(max_length=32, null=True),
                ),
                migrations.AddField(
                    model_name="caseevent",
                    name="number",
                    field=models.PositiveIntegerField(editable=False, null=True),
                ),
                migrations.AlterField(
                    model_name="caseevent",
                    name="kind",
                    field=models.CharField(
                        choices=[
                            ("opened", "Opened"),
                            ("state", "State"),
                            ("level", "Level"),
                            ("assigned", "Assigned"),
                            ("subject", "Whom it is about"),
                            ("category", "Category"),
                            ("note", "Note"),
                            ("report", "Report joined"),
                            ("signal", "Signal joined"),
                            ("merged", "Merged"),
                            ("split", "Split"),
                            ("warning", "Clock warning"),
                            ("breach", "Clock breach"),
                            ("paused", "Clock paused"),
                            ("resumed", "Clock resumed"),
                            ("recalculated", "Clock set anew"),
                            ("escalated", "Escalated"),
                            ("demand", "Demand"),
                            ("decision", "Decision"),
                            ("action", "Enforcement action"),
                            ("strike", "Strike"),
                            ("restricted", "Restriction imposed"),
                            ("lifted", "Restriction lifted"),
                            ("notice", "Notice"),
                            ("appeal", "Appeal"),
                            ("evidence", "Evidence"),
                            ("access", "Access"),
                            ("authority", "Authority"),
                        ],
                        max_length=30,
                    ),
                ),
                migrations.RunPython(link_events, migrations.RunPython.noop),
                migrations.AlterField(
                    model_name="caseevent",
                    name="number",
                    field=models.PositiveIntegerField(editable=False),
                ),
                migrations.AlterField(
                    model_name="caseevent",
                    name="hash",
                    field=models.BinaryField(max_length=32),
                ),
                migrations.AddConstraint(
                    model_name="caseevent",
                    constraint=models.UniqueConstraint(fields=("case", "number"), name="one_event_of_a_number"),
                ),
            ],
        ),
        migrations.RunPython(seed, migrations.RunPython.noop),
        *[operation for table in APPEND_ONLY for operation in append_only.operations(f"moderation_{table}")],
    ]
