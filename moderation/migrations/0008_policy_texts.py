"""The first text of each policy category, in each language that is shipped. Run again, it makes only what is missing."""

from django.apps.registry import Apps
from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

from moderation import policy


def seed(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    """Fill from moderation/policy_texts/."""
    policy.seed_texts(apps)


class Migration(migrations.Migration):
    dependencies = [("moderation", "0007_moderation_in_full")]

    # Backwards the rows stay: decisions cite them.
    operations = [migrations.RunPython(seed, migrations.RunPython.noop)]
