"""Which models are open to an organisation, by the channels that serve them: what pages and notices may speak of.

The rule is the one that calls obey (channels.access); what depends on a single call, such as the place that it
comes from, is left open here.
"""

from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass, replace

from accounts.models import Organisation
from channels import access
from channels.governance import newest_reviews
from channels.models import Channel, Route, UpstreamTerms


@dataclass(frozen=True, slots=True)
class Way:
    """An enabled channel that serves a model, its conditions, and the review of its provider's terms, if any."""

    channel: Channel
    access: access.Access
    terms: UpstreamTerms | None

    @property
    def provider(self) -> str:
        """Who serves it."""
        return self.channel.account.provider.name

    def is_open_to(self, organisation: Organisation, *, category: str, now_ms: int) -> bool:
        """Whether keys of the organisation may use it for a model, whose policy category is empty or given.

        Of a test channel: whether its test keys may.
        """
        countries = frozenset(filter(None, [organisation.country]))
        # Where no place is declared, the one that each call comes from decides.
        conditions = self.access if countries else replace(self.access, countries=None)
        caller = access.Reach(
            organisation_id=organisation.pk,
            price_group=organisation.price_group,
            is_external=organisation.is_external,
            is_test=conditions.is_test,
            categories=frozenset(filter(None, [category])),
            countries=countries,
        )
        return access.barrier(conditions, caller, now_ms=now_ms) is None

    def with_evidence(self) -> "Way":
        """The same, as if its evidence were in force."""
        return replace(self, access=replace(self.access, windows=None))


def ways_to(model_ids: Collection[int]) -> dict[int, list[Way]]:
    """Model id → the enabled channels with an active route from it. Five queries, however many models."""
    routes = list(
        Route.objects.filter(
            model_id__in=model_ids, is_active=True, channel__status=Channel.Status.ENABLED
        ).select_related("channel__account__provider")
    )
    conditions = access.of({route.channel_id: route.channel for route in routes}.values())
    terms = {review.provider_id: review for review in newest_reviews()}
    found: dict[int, list[Way]] = defaultdict(list)
    for route in routes:
        review = terms.get(route.channel.account.provider_id)
        found[route.model_id].append(Way(route.channel, conditions[route.channel_id], review))
    return found
