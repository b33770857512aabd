"""The database refuses to change or delete what happened to a case."""

from django.db import migrations

from newapi.kernel import append_only


class Migration(migrations.Migration):
    dependencies = [("moderation", "0002_seed_policy")]

    operations = append_only.operations("moderation_caseevent")
