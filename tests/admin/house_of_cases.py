"""What a case leaves in its tables once it was decided: a decision with its measures, a strike, demands, notices."""

from datetime import timedelta

from accounts.models import Organisation
from moderation.enforcement import Step
from moderation.models import CareEntry, Case, CommunityItem, Dispute
from moderation.services import conflicts, demands
from moderation.services.demands import Asked
from newapi.kernel import clock
from tests import cast
from tests.moderation import desk


def fill(*, organisation: Organisation) -> Case:
    """A case that was asked about and decided."""
    reviewer = desk.worker("desk-reviewer", "reviewer")
    case = desk.in_review(organisation, reviewer)
    demands.ask(
        case=case,
        kind="explanation",
        text="Where do these addresses come from?",
        due_at=clock.now() + timedelta(days=3),
        actor=reviewer,
    )
    CareEntry.objects.create(organisation=cast.organisation("careful", owner=cast.person("cara")), reason="Our own")
    conflicts.declare(
        user=reviewer, organisation=CareEntry.objects.get().organisation, actor=reviewer, reason="My brother's"
    )
    Dispute.objects.create(
        reference="P-2026-000001", first=organisation, second=CareEntry.objects.get().organisation, subject="A name"
    )
    CommunityItem.objects.create(
        kind="issue", url="https://example.com/1", rule="Be kind", decision="Closed", maintainer=reviewer
    )
    asked = Asked("correction", "Use one key for each service.", 7)
    return desk.decide(case, reviewer, steps=(Step("warning"),), demands=(asked,)).case
