"""Automatic throttles: a key that goes on being abused is slowed for a while, told so, and released by the clock."""

from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction
from django.urls import reverse

from accounts.models import APIKey, Notice
from accounts.services import notices
from moderation.models import PolicyCategory, Restriction
from moderation.services import restrictions
from newapi.kernel import clock


@transaction.atomic
def impose(
    *, api_key: APIKey, category: PolicyCategory | None, rate_per_minute: int, minutes: int, reason: str
) -> Restriction | None:
    """Slow a key to so many calls a minute, for so many minutes; tell its owner and the managers.

    None while an automatic throttle of it runs: there is never a second. Raises ValidationError.
    """
    # Held until the end of the transaction, so that of two jobs that come to it at once one finds the other's.
    api_key = APIKey.objects.select_for_update(of=("self",)).select_related("organisation", "user").get(pk=api_key.pk)
    now = clock.now()
    if latest_end(api_key) > now:
        return None
    restriction = restrictions.impose(
        organisation=api_key.organisation,
        scope=Restriction.Scope.API_KEY,
        target=str(api_key.pk),
        category=category,
        reason=reason,
        rate_per_minute=rate_per_minute,
        ends_at=now + timedelta(minutes=minutes),
        is_automatic=True,
        actor=None,
    )
    _tell(restriction, api_key)
    return restriction


def latest_end(api_key: APIKey) -> datetime:
    """When the key's newest automatic throttle ended or will end; the beginning of time when it had none.

    What happened before has had its answer, and does not count towards the next one.
    """
    ends = [
        min(moment for moment in (throttle.ends_at, throttle.lifted_at) if moment is not None)
        for throttle in Restriction.objects.filter(
            organisation_id=api_key.organisation_id,
            scope=Restriction.Scope.API_KEY,
            target=str(api_key.pk),
            is_automatic=True,
        ).order_by("-starts_at")[:1]
    ]
    return max(ends, default=clock.from_ms(0))


def _tell(restriction: Restriction, api_key: APIKey) -> None:
    assert restriction.ends_at is not None
    until = f"{restriction.ends_at:%Y-%m-%d %H:%M} UTC"
    rate = restriction.rate_per_minute
    notices.post(
        once=f"throttle:{restriction.pk}",
        kind="restriction.throttle",
        audience=Notice.Audience.MANAGERS,
        organisation=api_key.organisation,
        user=api_key.user,
        level=Notice.Level.WARNING,
        title=f"The API key “{api_key.name}” is slowed until {until}",
        body=f"{restriction.reason}\n\nFrom {restriction.starts_at:%Y-%m-%d %H:%M} UTC until {until} it may make "
        f"{rate} call{'' if rate == 1 else 's'} a minute. It is released by itself then. "
        f"If this is a mistake, write to {settings.ABUSE_CONTACT}.",
        link=reverse("portal:key", args=[api_key.organisation.slug, api_key.pk]),
    )
