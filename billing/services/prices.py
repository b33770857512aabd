"""Publishing prices: immutable, from a moment on, never for the past, and dearer only after a notice."""

from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction

from accounts.models import User
from accounts.services import audit
from billing.models import PriceVersion
from billing.price_changes import raised
from billing.price_sheets import rates_of
from channels.models import Model
from channels.services import catalogue
from newapi.kernel import clock

NAMED_MAX = 4
_TOLD = (
    "region",
    "effective_from",
    "per_units",
    *PriceVersion.RATES,
    "extra_rates",
    "tiers",
    "is_free",
    "is_withdrawn",
)


@transaction.atomic
def publish(
    *,
    model: Model,
    currency: str,
    price_group: str = "default",
    region: str = "",
    effective_from: datetime | None = None,
    actor: User | None,
    reason: str,
    address: str | None = None,
    **rates: Any,
) -> PriceVersion:
    """Put a price in force from now, or from a moment to come, until the next one.

    `rates` takes PriceVersion's rates in nano, `per_units`, `extra_rates`, `tiers`, `is_free` and `is_withdrawn`.
    Raises ValidationError; also for a moment in the past, for one at which another version begins, and for one
    before the end of the notice period when something gets dearer (BIL-09), by it or by the version after it. What
    was used is never priced anew.
    """
    # First, because it makes those who publish at once take turns: each sees what the one before put in force.
    catalogue.bump()
    now = clock.now()
    if effective_from is not None and effective_from < now:
        raise ValidationError({"effective_from": "A price never applies to the past. Leave it empty for now."})
    version = PriceVersion(
        model=model,
        currency=currency,
        price_group=price_group,
        region=region,
        effective_from=effective_from or now,
        created_by=actor,
        **rates,
    )
    version.full_clean()
    _check_notice(version, now)
    try:
        with transaction.atomic():
            version.save()
    except IntegrityError:
        raise ValidationError("Another version begins at that very moment.") from None
    _check_next(version)
    audit.record(
        actor=actor,
        action="price.publish",
        target=version,
        reason=reason,
        changes={name: [None, getattr(version, name)] for name in _TOLD},
        address=address,
    )
    return version


def replaced_by(version: PriceVersion) -> PriceVersion | None:
    """The version that holds until another one takes over: of its place, or else of no place. None: there is none."""
    before = PriceVersion.objects.filter(
        model=version.model,
        currency=version.currency,
        price_group=version.price_group,
        effective_from__lt=version.effective_from,
    ).order_by("-effective_from")
    own = before.filter(region=version.region).first()
    return own or (before.filter(region="").first() if version.region else None)


def dearer(version: PriceVersion) -> list[str]:
    """What gets dearer with a version, saved or not, in words; empty when nothing does and no notice is needed."""
    before = replaced_by(version)
    if before is None or before.is_withdrawn:
        return []
    if version.is_withdrawn:
        return ["withdrawn"]
    return raised(rates_of(before), rates_of(version))


def named(parts: list[str], *, most: int = NAMED_MAX) -> str:
    """The first few of what gets dearer, and how many more there are."""
    more = f" and {len(parts) - most} more" if len(parts) > most else ""
    return ", ".join(parts[:most]) + more


def notice_ends(now: datetime) -> datetime:
    """The earliest moment from which something dearer, published now, may hold."""
    return now + timedelta(days=settings.PRICE_NOTICE_DAYS)


def _check_next(version: PriceVersion) -> None:
    """Raises ValidationError when what takes over from a version now raises something, with less than its notice.

    Such a one was no dearer than what it was to replace when it was published, so it needed no notice then.
    """
    later = PriceVersion.objects.filter(
        model=version.model,
        currency=version.currency,
        price_group=version.price_group,
        effective_from__gt=version.effective_from,
    ).order_by("effective_from")
    if version.region:
        later = later.filter(region=version.region)
    for following in later:
        has_had_notice = following.effective_from >= notice_ends(following.created_at)
        if has_had_notice or replaced_by(following) != version or not dearer(following):
            continue
        raise ValidationError(
            {
                "effective_from": f"The version from {following.effective_from:%Y-%m-%d %H:%M} UTC on would raise "
                "what this one lowers, and has not been known for long enough. Let this one begin after it."
            }
        )


def _check_notice(version: PriceVersion, now: datetime) -> None:
    """Raises ValidationError when something gets dearer before its notice is over."""
    ends = notice_ends(now)
    if version.effective_from >= ends:
        return
    parts = dearer(version)
    if not parts:
        return
    # Up to the hour, so that who types it in has the time to.
    earliest = (ends + timedelta(hours=1, microseconds=-1)).replace(minute=0, second=0, microsecond=0)
    what = "The model is withdrawn" if version.is_withdrawn else f"This raises {named(parts)}"
    raise ValidationError(
        {
            "effective_from": f"{what}. That takes {settings.PRICE_NOTICE_DAYS} days of notice: "
            f"in force from {earliest:%Y-%m-%d %H:%M} UTC at the earliest."
        }
    )
