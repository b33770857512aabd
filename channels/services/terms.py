"""Reviews of providers' terms (CHN-03). A review is never changed: the next one takes its place."""

from datetime import date
from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction

from accounts.models import User
from accounts.services import audit
from channels.models import Provider, UpstreamTerms
from newapi.kernel import clock


@transaction.atomic
def record_review(
    *,
    provider: Provider,
    version: str,
    url: str,
    reviewed_at: date | None = None,
    actor: User | None,
    reason: str,
    address: str | None = None,
    **findings: Any,
) -> UpstreamTerms:
    """Write down what a provider's terms ask of us. From the next call on it counts, if it is the newest.

    reviewed_at: today unless given. findings: no_external_clients, no_minors, no_competing_models, trains_on_data,
    categories_forbidden, countries_denied, notes. Raises ValidationError.
    """
    day = reviewed_at or clock.today()
    check(day)
    review = UpstreamTerms(
        provider=provider, version=version.strip(), url=url, reviewed_at=day, reviewed_by=actor, **findings
    )
    review.full_clean()
    review.save()
    audit.record(
        actor=actor,
        action="upstream_terms.review",
        target=review,
        reason=reason,
        changes={name: [None, _shown(getattr(review, name))] for name in ("version", "reviewed_at", *FINDINGS)},
        address=address,
    )
    return review


FINDINGS = (
    "no_external_clients",
    "no_minors",
    "no_competing_models",
    "trains_on_data",
    "categories_forbidden",
    "countries_denied",
)


def check(reviewed_at: date) -> None:
    """Raise ValidationError for a review of the future, which would outrank the real ones until then."""
    if reviewed_at > clock.today():
        raise ValidationError({"reviewed_at": "A review cannot have been made in the future."})


def _shown(value: Any) -> Any:
    return ", ".join(value) if isinstance(value, list) else value
