"""Telling operators of providers whose usage could not be believed: what was claimed and not charged."""

from datetime import timedelta

from django.db.models import Count, QuerySet, TextField
from django.db.models.functions import Cast

from accounts.models import Notice
from accounts.services import notices
from billing.models import UsageEvent
from channels.models import Channel
from newapi.kernel import clock, ids

# Longer than the job's interval and than usage waits to be posted. The key carries the time, so this is a range of it.
LOOKBACK = timedelta(hours=1)
CHANNELS_MAX = 100


def tell() -> int:
    """Tell of each channel once a day (UTC). Returns how many were told of. Again is harmless."""
    since = ids.first_at(clock.to_ms(clock.now() - LOOKBACK))
    rows = with_claims(UsageEvent.objects.filter(pk__gte=since, channel__isnull=False))
    found = rows.order_by("channel").values_list("channel").annotate(Count("pk"))[:CHANNELS_MAX]
    counts = dict(found)
    told = 0
    for channel in Channel.objects.filter(pk__in=counts).order_by("pk"):
        told += notices.post(
            once=f"usage-claims:{channel.pk}:{clock.today()}",
            kind="usage.claims",
            level=Notice.Level.WARNING,
            audience=Notice.Audience.OPERATORS,
            title=f"{channel} reports usage that cannot be",
            body=f"{counts[channel.pk]:,} of its calls in the last hour claimed more of a part than of the whole, no "
            "number at all, or a dearer service tier than was sold. What cannot be was not charged; see the calls.",
            link=f"/admin/billing/usageevent/?since=24h&claims=unbelieved&channel__id__exact={channel.pk}",
        )
    return told


def with_claims(rows: QuerySet[UsageEvent]) -> QuerySet[UsageEvent]:
    """Only calls of which something was claimed and not charged. Narrow them by time first: this reads each row."""
    texts = rows.filter(extras__isnull=False).alias(text=Cast("extras", TextField()))
    return texts.filter(text__contains='"claim:')
