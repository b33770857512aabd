"""Watching dates: evidence that ends, reviews of terms that grow old, models that retire. Each step is told once.

A step that was missed while jobs were down is skipped in favour of the nearest one. Nothing here decides about
calls: the gateway judges evidence and retirement by the clock.
"""

from collections.abc import Iterator
from datetime import date, timedelta
from itertools import chain, islice

from django.urls import reverse

from accounts.models import Notice
from channels.governance import days_left, in_force, newest_reviews, overdue_before
from channels.models import AuthorisationEvidence, Channel, Provider
from channels.services import retirements
from channels.services.news import ROWS_MAX, STEPS_DAYS, News, level_of, step_of, tell, untold
from newapi.kernel import clock

# What has ended longer ago is in the compliance report, but no news any more.
ENDED_DAYS_MAX = 90
# How many notices a run posts; the next one goes on with the rest.
NOTICES_MAX = 1_000


def watch() -> int:
    """Tell what is about to end, and what has ended. Returns how many notices were posted. Harmless when repeated."""
    today = clock.today()
    to_operators = chain(_evidence(today), _terms(today), retirements.for_operators())
    news = chain(untold(to_operators), retirements.for_organisations())
    return sum(tell(one) for one in islice(news, NOTICES_MAX))


def _evidence(today: date) -> Iterator[News]:
    """Evidence that ends or has ended, unless other evidence takes over from it."""
    ending = AuthorisationEvidence.objects.filter(
        approved_at__isnull=False,
        withdrawn_at=None,
        valid_until__gte=today - timedelta(days=ENDED_DAYS_MAX),
        valid_until__lt=today + timedelta(days=max(STEPS_DAYS)),
    ).select_related("channel")
    for piece in ending.order_by("-valid_until", "pk")[:ROWS_MAX]:
        left, step = _left(piece, today)
        if step is not None and not _is_followed(piece, today):
            yield News(
                once=f"evidence:{piece.pk}:{step}",
                kind="evidence.ended" if step == 0 else "evidence.ends",
                title=f"The {_what(piece)} {_when(left)}",
                body=_effect(piece),
                link=reverse("admin:channels_authorisationevidence_change", args=[piece.pk]),
                level=level_of(step),
            )


def _left(piece: AuthorisationEvidence, today: date) -> tuple[int, int | None]:
    left = days_left(piece, today)
    assert left is not None
    return left, step_of(left)


def _is_followed(piece: AuthorisationEvidence, today: date) -> bool:
    """Whether other evidence is in force on the day after it ends, or today if that is later."""
    assert piece.valid_until is not None
    day = max(piece.valid_until + timedelta(days=1), today)
    return in_force(day).filter(channel=piece.channel, service=piece.service).exists()


def _what(piece: AuthorisationEvidence) -> str:
    return f"evidence for the {'channel' if piece.channel else 'service'} {piece.channel or piece.service}"


def _when(left_days: int) -> str:
    if left_days <= 0:
        return "has ended"
    return "ends at midnight UTC" if left_days == 1 else f"ends in {left_days} days"


def _effect(piece: AuthorisationEvidence) -> str:
    day = f"{piece.get_kind_display()}, {piece.document_name}: its last day is {piece.valid_until:%d %b %Y}."
    effect = "no call goes to the channel" if piece.channel else "the service is not used"
    return f"{day} After that {effect} until other evidence is approved. Hand it in now."


def _terms(today: date) -> Iterator[News]:
    """Providers in use whose terms nobody has reviewed for too long. Told once a month."""
    providers = Provider.objects.filter(
        pk__in=Channel.objects.filter(status=Channel.Status.ENABLED).values("account__provider_id")
    )
    reviewed = {review.provider_id: review.reviewed_at for review in newest_reviews()}
    for provider in providers.order_by("pk")[:ROWS_MAX]:
        last = reviewed.get(provider.pk)
        if (last or provider.created_at.date()) >= overdue_before(today):
            continue
        since = f"were last reviewed on {last:%d %b %Y}" if last else "have never been reviewed"
        yield News(
            once=f"terms:{provider.pk}:{today:%Y-%m}",
            kind="terms.overdue",
            title=f"The terms of {provider.name} have to be reviewed",
            body=f"They {since}. Read them, and record what they ask of us.",
            link=f"{reverse('admin:channels_upstreamterms_add')}?provider={provider.pk}",
            level=Notice.Level.WARNING,
        )
