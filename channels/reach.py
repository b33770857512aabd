"""Which organisations a model is open to, by the channels that serve it: what pages and notices may speak of.

The gateway judges each call by its own snapshot; this says the same of an organisation, from the database.
"""

from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass

from django.conf import settings

from accounts.models import Organisation
from channels.governance import Window, authorised_windows, newest_reviews
from channels.models import Channel, Route


@dataclass(frozen=True, slots=True)
class Way:
    """An enabled channel that serves a model. Empty `organisations` and `price_groups` mean everybody."""

    provider: str
    is_third_party: bool
    is_test: bool
    organisations: frozenset[int]
    price_groups: frozenset[str]
    # What the newest review of the provider's terms says.
    no_external_clients: bool
    no_competing_models: bool
    trains_on_data: bool
    categories_forbidden: frozenset[str]
    # None: no evidence is asked for.
    windows: tuple[Window, ...] | None

    def is_authorised(self, now_ms: int) -> bool:
        """Whether evidence for the channel is in force at a moment, as far as any is needed."""
        if self.windows is None:
            return True
        return any(start <= now_ms and (end is None or now_ms < end) for start, end in self.windows)

    def admits(self, organisation: Organisation, *, category: str = "") -> bool:
        """Whether an organisation may use it for a model, whose policy category is given if it needs an approval."""
        return (
            (not self.organisations or organisation.pk in self.organisations)
            and (not self.price_groups or organisation.price_group in self.price_groups)
            and not (self.no_external_clients and organisation.is_external)
            and category not in self.categories_forbidden
        )


def ways_to(model_ids: Collection[int]) -> dict[int, list[Way]]:
    """Model id → the enabled channels with an active route from it. Four queries, however many models."""
    routes = Route.objects.filter(
        model_id__in=model_ids, is_active=True, channel__status=Channel.Status.ENABLED
    ).select_related("channel__account__provider")
    members: dict[int, set[int]] = defaultdict(set)
    through = Channel.organisations_allowed.through
    for channel_id, organisation_id in through.objects.values_list("channel_id", "organisation_id"):
        members[channel_id].add(organisation_id)
    windows = authorised_windows()
    terms = {review.provider_id: review for review in newest_reviews()}
    found: dict[int, list[Way]] = defaultdict(list)
    for route in routes:
        channel = route.channel
        review = terms.get(channel.account.provider_id)
        found[route.model_id].append(
            Way(
                provider=channel.account.provider.name,
                is_third_party=channel.is_third_party,
                is_test=channel.is_test,
                organisations=frozenset(members[channel.pk]),
                price_groups=frozenset(channel.price_groups_allowed),
                no_external_clients=review is not None and review.no_external_clients,
                no_competing_models=review is not None and review.no_competing_models,
                trains_on_data=review is not None and review.trains_on_data,
                categories_forbidden=frozenset(review.categories_forbidden if review else ()),
                windows=windows.get(channel.pk, ()) if settings.CHANNEL_EVIDENCE_REQUIRED else None,
            )
        )
    return found
