"""Notices for one colleague of the platform."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0005_clients_and_consumers"),
    ]

    operations = [
        migrations.RemoveConstraint(
            model_name="notice",
            name="notice_has_its_audience",
        ),
        migrations.AlterField(
            model_name="notice",
            name="audience",
            field=models.CharField(
                choices=[
                    ("operators", "The platform's operators"),
                    ("managers", "Owners and admins of the organisation"),
                    ("billing", "Owners, admins and billing of the organisation"),
                    ("members", "Every member of the organisation"),
                    ("person", "One colleague of the platform"),
                ],
                max_length=10,
            ),
        ),
        migrations.AddConstraint(
            model_name="notice",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("audience", "operators"), ("organisation", None)),
                    models.Q(("audience", "person"), ("organisation", None), models.Q(("user", None), _negated=True)),
                    models.Q(
                        models.Q(("audience__in", ("operators", "person")), _negated=True),
                        models.Q(("organisation", None), _negated=True),
                    ),
                    _connector="OR",
                ),
                name="notice_has_its_audience",
            ),
        ),
    ]
