"""The policy categories of the source documents. Run again, it brings texts up to date and deletes nothing."""

from django.apps.registry import Apps
from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

from moderation import policy


def seed(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    """Fill from moderation/policy.csv."""
    policy.seed(apps.get_model("moderation", "PolicyCategory"))


class Migration(migrations.Migration):
    dependencies = [("moderation", "0001_initial")]

    # Backwards the rows stay: a code is never deleted.
    operations = [migrations.RunPython(seed, migrations.RunPython.noop)]
