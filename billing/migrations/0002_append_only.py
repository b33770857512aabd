"""The database refuses to change or delete the ledger, published prices and usage."""

from django.db import migrations

from newapi.kernel import append_only

TABLES = (
    "billing_ledgertransaction",
    "billing_ledgertransfer",
    "billing_priceversion",
    "billing_usageevent",
)


class Migration(migrations.Migration):
    dependencies = [("billing", "0001_initial")]

    operations = [operation for table in TABLES for operation in append_only.operations(table)]
