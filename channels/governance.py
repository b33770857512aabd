"""By what right channels and other services are used now: what the gateway obeys, and what pages show."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum

from django.db.models import Q, QuerySet

from channels.models import AuthorisationEvidence, UpstreamTerms
from newapi.kernel import clock

# A review of terms that is older has to be made again.
TERMS_REVIEW_DAYS_MAX = 180
# Evidence that ends within so many days is pointed out.
ENDING_DAYS = 30
# Start inclusive and end exclusive, in milliseconds since the epoch; no end: until it is withdrawn.
Window = tuple[int, int | None]


class State(StrEnum):
    """Where a piece of evidence stands on a day. Only the two that begin with `In force` count."""

    WAITING = "Waiting for approval"
    TO_COME = "To come"
    IN_FORCE = "In force"
    ENDING = "In force, ends soon"
    ENDED = "Ended"
    WITHDRAWN = "Withdrawn"


# Of several pieces, the first of these says most about a channel.
_TELLING = (State.IN_FORCE, State.ENDING, State.TO_COME, State.WAITING, State.ENDED, State.WITHDRAWN)


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


def state_of(evidence: AuthorisationEvidence, day: date) -> State:
    """Where a piece of evidence stands on a day."""
    if evidence.withdrawn_at is not None:
        return State.WITHDRAWN
    if evidence.valid_until is not None and evidence.valid_until < day:
        return State.ENDED
    if evidence.approved_at is None:
        return State.WAITING
    if evidence.valid_from > day:
        return State.TO_COME
    left = days_left(evidence, day)
    return State.IN_FORCE if left is None or left > ENDING_DAYS else State.ENDING


def in_state(state: State, day: date) -> Q:
    """The same as a condition on pieces of evidence."""
    withdrawn, over = Q(withdrawn_at__isnull=False), Q(valid_until__lt=day)
    ends_soon = Q(valid_until__lt=day + timedelta(days=ENDING_DAYS))
    counts = Q(approved_at__isnull=False, valid_from__lte=day) & ~withdrawn & ~over
    conditions = {
        State.WAITING: Q(approved_at=None) & ~withdrawn & ~over,
        State.TO_COME: Q(approved_at__isnull=False, valid_from__gt=day) & ~withdrawn,
        State.IN_FORCE: counts & ~ends_soon,
        State.ENDING: counts & ends_soon,
        State.ENDED: over & ~withdrawn,
        State.WITHDRAWN: withdrawn,
    }
    return conditions[state]


def days_left(evidence: AuthorisationEvidence, day: date) -> int | None:
    """How many days remain, the day itself and the last one counted. None: no end."""
    return None if evidence.valid_until is None else (evidence.valid_until - day).days + 1


def in_words(evidence: AuthorisationEvidence, day: date) -> str:
    """The same for people, such as `In force until 31 Dec 2026`."""
    state, left = state_of(evidence, day), days_left(evidence, day)
    if state is State.IN_FORCE:
        return f"In force until {evidence.valid_until:%d %b %Y}" if left else "In force, without an end"
    if state is State.ENDING:
        return f"In force, ends in {left} days" if left != 1 else "In force, ends today"
    if state is State.TO_COME:
        return f"In force from {evidence.valid_from:%d %b %Y}"
    return f"Ended on {evidence.valid_until:%d %b %Y}" if state is State.ENDED else str(state)


def most_telling(pieces: Iterable[AuthorisationEvidence], day: date) -> AuthorisationEvidence | None:
    """The piece that says most about whether a channel may be used on a day; of equals, the one that ends last."""

    def rank(one: AuthorisationEvidence) -> tuple[int, date, int]:
        return _TELLING.index(state_of(one, day)) * -1, one.valid_until or date.max, one.pk

    return max(pieces, key=rank, default=None)


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
    reviews = UpstreamTerms.objects.select_related("reviewed_by").order_by("provider_id", "-reviewed_at", "-id")
    if provider_ids is not None:
        reviews = reviews.filter(provider_id__in=provider_ids)
    newest: dict[int, UpstreamTerms] = {}
    for review in reviews:
        newest.setdefault(review.provider_id, review)
    return list(newest.values())


def findings(review: UpstreamTerms) -> list[str]:
    """What a review has found, in words."""
    said = (
        (review.no_external_clients, "not for external clients"),
        (review.no_minors, "not for minors"),
        (review.no_competing_models, "not for training competing models"),
        (review.trains_on_data, "trains on our data"),
        (bool(review.categories_forbidden), f"forbids {', '.join(review.categories_forbidden)}"),
        (bool(review.countries_denied), f"not in {', '.join(review.countries_denied)}"),
    )
    return [words for holds, words in said if holds]


def overdue_before(day: date) -> date:
    """Reviews made before this are overdue on a day: they are older than TERMS_REVIEW_DAYS_MAX."""
    return day - timedelta(days=TERMS_REVIEW_DAYS_MAX)


def _midnight_ms(day: date) -> int:
    return clock.to_ms(datetime.combine(day, time(), UTC))
