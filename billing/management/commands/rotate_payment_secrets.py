"""manage.py rotate_payment_secrets: seal payment providers' secrets under the current field key."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from billing.services import payment_providers
from newapi.kernel.secrets import SealBroken


class Command(BaseCommand):
    """Door to billing.services.payment_providers.reseal."""

    help = "Seals again, under the first key of FIELD_KEYS, every payment provider's secrets that an older one sealed."

    def handle(self, *args: Any, **options: Any) -> None:
        """Reseal and say how many."""
        try:
            changed = payment_providers.reseal()
        except SealBroken as error:
            raise CommandError(f"A secret cannot be opened ({error}). Nothing was changed.") from None
        self.stdout.write(f"Secrets of {changed} providers were sealed again." if changed else "Nothing is left to do.")
