"""What is append-only of grants, redemptions, promotions, re-ratings and agreements."""

from django.db import migrations

from newapi.kernel import append_only

TABLES = (
    "billing_grantentry",
    "billing_promotionuse",
    "billing_redemption",
    "billing_ratingdelta",
    "billing_rechargeagreement",
    "billing_rechargeacceptance",
)


class Migration(migrations.Migration):
    dependencies = [("billing", "0006_money_in")]

    operations = [operation for table in TABLES for operation in append_only.operations(table)]
