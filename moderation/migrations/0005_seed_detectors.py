"""The first version of each detector's rule. Run again, it makes only what is missing."""

from django.apps.registry import Apps
from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

from moderation.detectors import seeds


def seed(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    """Fill from moderation.detectors."""
    seeds.seed(apps.get_model("moderation", "DetectorRule"), apps.get_model("moderation", "PolicyCategory"))


class Migration(migrations.Migration):
    dependencies = [("moderation", "0004_limits_and_care")]

    # Backwards the rows stay: signals cite them.
    operations = [migrations.RunPython(seed, migrations.RunPython.noop)]
