"""By what right channels and other services are used now: what the gateway obeys, and what pages show."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

from django.db.models import Q, QuerySet

from channels.models import AuthorisationEvidence, UpstreamTerms
from newapi.kernel import clock

# Start inclusive and end exclusive, in milliseconds since the epoch; no end: until it is withdrawn.
Window = tuple[int, int | None]


@dataclass(frozen=True, slots=True)
class TermsInForce:
    """What the newest review of a provider's terms asks of us."""

    no_external_clients: bool
    no_minors: bool
    categories_forbidden: frozenset[str]
    countries_denied: frozenset[str]


def authorised_windows() -> dict[int, tuple[Window, ...]]:
    """Channel id → when its evidence is in force, now or later, by start. Channels without any are left out.

    The clock judges the windows at each call, so that a channel leaves and returns with no job running. They
    begin and end at midnight UTC.
    """
    windows: dict[int, list[Window]] = defaultdict(list)
    approved = standing(clock.today()).exclude(channel=None)
    for channel_id, first, last in approved.values_list("channel_id", "valid_from", "valid_until"):
        windows[channel_id].append(window(first, last))
    return {channel_id: tuple(sorted(found, key=lambda one: one[0])) for channel_id, found in windows.items()}


def window(valid_from: date, valid_until: date | None) -> Window:
    """The days from the first to the last as milliseconds; the last day counts whole."""
    end = None if valid_until is None else _midnight_ms(valid_until + timedelta(days=1))
    return _midnight_ms(valid_from), end


def standing(day: date) -> QuerySet[AuthorisationEvidence]:
    """Evidence that is approved, not withdrawn and not over on a day. It may begin later."""
    return AuthorisationEvidence.objects.filter(
        Q(valid_until=None) | Q(valid_until__gte=day), approved_at__isnull=False, withdrawn_at=None
    )


def in_force(day: date) -> QuerySet[AuthorisationEvidence]:
    """Evidence that counts on a day."""
    return standing(day).filter(valid_from__lte=day)


def terms_in_force() -> dict[int, TermsInForce]:
    """Provider id → what counts of its terms. Providers without a review are left out."""
    return {
        review.provider_id: TermsInForce(
            no_external_clients=review.no_external_clients,
            no_minors=review.no_minors,
            categories_forbidden=frozenset(review.categories_forbidden),
            countries_denied=frozenset(review.countries_denied),
        )
        for review in newest_reviews()
    }


def newest_reviews(provider_ids: Iterable[int] | None = None) -> list[UpstreamTerms]:
    """The review that counts of each provider, or of these: the newest."""
    reviews = UpstreamTerms.objects.order_by("provider_id", "-reviewed_at", "-id")
    if provider_ids is not None:
        reviews = reviews.filter(provider_id__in=provider_ids)
    newest: dict[int, UpstreamTerms] = {}
    for review in reviews:
        newest.setdefault(review.provider_id, review)
    return list(newest.values())


def _midnight_ms(day: date) -> int:
    return clock.to_ms(datetime.combine(day, time(), UTC))
