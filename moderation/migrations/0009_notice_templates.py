"""The texts of notices, in English and German. Texts that exist stay."""

from django.apps.registry import Apps
from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

from moderation import notice_seeds


def seed(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    notice_seeds.seed(apps.get_model("moderation", "NoticeTemplate"))


class Migration(migrations.Migration):
    dependencies = [("moderation", "0008_policy_texts")]

    operations = [migrations.RunPython(seed, migrations.RunPython.noop)]
