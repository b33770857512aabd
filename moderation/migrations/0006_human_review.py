"""Human reviews of answers in restricted domains; the database refuses to change or delete them."""

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

import newapi.kernel.clock
from newapi.kernel import append_only


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0003_limits_and_care"),
        ("moderation", "0005_seed_detectors"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="HumanReview",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "trace_id",
                    models.UUIDField(
                        help_text="The request id of the call, as in the header x-request-id of its answer."
                    ),
                ),
                (
                    "domain",
                    models.CharField(
                        choices=[
                            ("HD-MED", "Medical"),
                            ("HD-LEGAL", "Legal advice"),
                            ("HD-FIN", "Tax, finance, insurance"),
                            ("HD-CI", "Critical infrastructure"),
                            ("HD-LE", "Law enforcement"),
                        ],
                        help_text="The restricted domain of the project when it was called.",
                        max_length=20,
                    ),
                ),
                (
                    "qualification",
                    models.CharField(
                        help_text="What makes the person fit, such as “licensed physician, DE 12345”.", max_length=200
                    ),
                ),
                (
                    "result",
                    models.CharField(
                        choices=[("accepted", "Accepted"), ("corrected", "Corrected"), ("rejected", "Rejected")],
                        max_length=10,
                    ),
                ),
                ("reviewed_at", models.DateTimeField(help_text="When the person looked at the answer.")),
                (
                    "created_at",
                    models.DateTimeField(
                        default=newapi.kernel.clock.now, editable=False, help_text="When it was written down here."
                    ),
                ),
                (
                    "organisation",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="human_reviews",
                        to="accounts.organisation",
                    ),
                ),
                (
                    "project",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="human_reviews", to="accounts.project"
                    ),
                ),
                (
                    "reviewer",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="human_reviews",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "ordering": ["-id"],
                "indexes": [models.Index(fields=["organisation", "-id"], name="review_by_organisation")],
                "constraints": [
                    models.UniqueConstraint(fields=("trace_id", "reviewer"), name="one_review_per_person_and_trace")
                ],
            },
        ),
        *append_only.operations("moderation_humanreview"),
    ]
