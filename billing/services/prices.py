"""Publishing prices: immutable, from a moment on, never for the past."""

from datetime import datetime
from typing import Any

from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction

from accounts.models import User
from accounts.services import audit
from billing.models import PriceVersion
from channels.models import Model
from channels.services import catalogue
from newapi.kernel import clock


@transaction.atomic
def publish(
    *,
    model: Model,
    currency: str,
    price_group: str = "default",
    effective_from: datetime | None = None,
    actor: User | None,
    reason: str,
    address: str | None = None,
    **rates: Any,
) -> PriceVersion:
    """Put a price in force from now, or from a moment to come, until the next one.

    `rates` takes PriceVersion's rates in nano, `per_units`, `is_free` and `is_withdrawn`. Raises
    ValidationError; for a moment in the past, or one at which another version begins, too.
    """
    if effective_from is not None and effective_from < clock.now():
        raise ValidationError({"effective_from": "A price never applies to the past. Leave it empty for now."})
    version = PriceVersion(
        model=model,
        currency=currency,
        price_group=price_group,
        effective_from=effective_from or clock.now(),
        created_by=actor,
        **rates,
    )
    version.full_clean()
    try:
        with transaction.atomic():
            version.save()
    except IntegrityError:
        raise ValidationError("Another version begins at that very moment.") from None
    catalogue.bump()
    audit.record(
        actor=actor,
        action="price.publish",
        target=version,
        reason=reason,
        changes={name: [None, getattr(version, name)] for name in ("effective_from", "per_units", *version.RATES)},
        address=address,
    )
    return version
