"""A payment is named by its provider and its own name: two providers may name theirs alike."""

from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('accounts', '0005_clients_and_consumers'),
        ('billing', '0008_opening_grants'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.AlterField(
            model_name='topuporder',
            name='payment_reference',
            field=models.CharField(max_length=255, null=True),
        ),
        migrations.AddConstraint(
            model_name='topuporder',
            constraint=models.UniqueConstraint(fields=('provider', 'payment_reference'), name='one_order_per_payment'),
        ),
    ]
