"""Human reviews of answers in restricted domains: written down once, by or for the person who looked."""

import uuid
from datetime import datetime

from django.core.exceptions import ValidationError
from django.db import transaction

from accounts import permissions
from accounts.models import Membership, Organisation, Project, User
from accounts.permissions import Right
from accounts.services import audit
from moderation.errors import NotPermitted
from moderation.models import HumanReview
from newapi.kernel import clock


@transaction.atomic
def record(
    *,
    organisation: Organisation,
    trace_id: uuid.UUID,
    project_id: int,
    domain: str,
    reviewer: User,
    qualification: str,
    result: str,
    actor: User,
    reviewed_at: datetime | None = None,
    address: str | None = None,
) -> HumanReview:
    """Write down that a person has reviewed an answer. Each may do so once for a trace; others may do so as well.

    project_id, domain: those of the call (`domain` a code of RestrictedDomain). reviewed_at: now unless said, never
    later. That the trace is a call of the organisation is the caller's to check: calls are not known here. Raises
    NotPermitted when the reviewer may not record reviews there, ValidationError for everything else.
    """
    _check_reviewer(organisation, reviewer)
    now = clock.now()
    review = HumanReview(
        organisation=organisation,
        project_id=project_id,
        trace_id=trace_id,
        domain=domain,
        reviewer=reviewer,
        qualification=qualification.strip(),
        result=result,
        reviewed_at=reviewed_at or now,
        created_at=now,
    )
    review.clean_fields(exclude=["organisation", "project", "reviewer"])
    if review.reviewed_at > now:
        raise ValidationError({"reviewed_at": "This moment is still to come."})
    if not Project.objects.filter(pk=project_id, organisation=organisation).exists():
        raise ValidationError({"project": "There is no such project in the organisation."})
    _save_once(review)
    audit.record(
        actor=actor,
        action="human_review.record",
        target=review,
        reason=f"An answer in the domain {domain} was reviewed",
        changes={"result": [None, result], "reviewer": [None, str(reviewer)]},
        address=address,
    )
    return review


def _check_reviewer(organisation: Organisation, reviewer: User) -> None:
    membership = Membership.objects.filter(organisation=organisation, user=reviewer).first()
    if membership is None or not permissions.may(membership, Right.RECORD_REVIEWS):
        raise NotPermitted("Only members with the right to it may review the answers of an organisation.")


def _save_once(review: HumanReview) -> None:
    """Insert it. Of two that one person sends at once, the second is told."""
    values = {field.attname: getattr(review, field.attname) for field in review._meta.concrete_fields}
    for name in ("id", "trace_id", "reviewer_id"):
        del values[name]
    saved, is_new = HumanReview.objects.get_or_create(
        trace_id=review.trace_id, reviewer_id=review.reviewer_id, defaults=values
    )
    if not is_new:
        raise ValidationError(
            f"You have reviewed {review.trace_id} already. If it needs another look, another person records it."
        )
    review.pk = saved.pk
