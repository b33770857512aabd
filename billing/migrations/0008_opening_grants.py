"""Wallets from before grants were counted: what they hold becomes one paid grant, what they lack is drawn credit."""

from typing import Any

from django.db import migrations

from newapi.kernel import clock, ids


def open_grants(apps: Any, schema_editor: Any) -> None:
    wallets, grants, entries = (apps.get_model("billing", name) for name in ("Wallet", "Grant", "GrantEntry"))
    for wallet in wallets.objects.filter(grants=None).iterator():
        balance_nano = wallet.funded_nano - wallet.used_nano + wallet.owed_nano
        if balance_nano < 0:
            wallets.objects.filter(pk=wallet.pk).update(drawn_nano=-balance_nano)
        elif balance_nano > 0:
            grant = grants.objects.create(
                id=ids.uuid7(),
                wallet=wallet,
                category="paid",
                amount_nano=balance_nano,
                remaining_nano=balance_nano,
                created_at=clock.now(),
            )
            entries.objects.create(id=ids.uuid7(), grant=grant, nano=balance_nano)


class Migration(migrations.Migration):
    dependencies = [("billing", "0007_append_only_money_in")]

    operations = [migrations.RunPython(open_grants, migrations.RunPython.noop)]
