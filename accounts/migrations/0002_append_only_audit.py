"""The database refuses to change or delete audit events."""

from django.db import migrations

from newapi.kernel import append_only


class Migration(migrations.Migration):
    dependencies = [("accounts", "0001_initial")]

    operations = append_only.operations("accounts_auditevent")
