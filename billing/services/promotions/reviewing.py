"""A promotion's life: handed in, reviewed by somebody else, stopped. Nothing else of it ever changes (BIL-07)."""

from typing import Any

from django.db import transaction
from django.urls import reverse

from accounts.models import Notice, User
from accounts.services import audit, notices
from billing.errors import BillingRefusal
from billing.models import Promotion
from billing.services import promotion_rules as rules
from newapi.kernel import clock

# What a promotion says, for the audit record.
_SAID = (
    "name", "kind", "currency", "starts_at", "ends_at", "countries", "bonus_percent", "inviter_nano", "invitee_nano",
    "grant_days", "times_per_organisation", "budget_nano",
)  # fmt: skip


@transaction.atomic
def submit(*, actor: User | None, reason: str, address: str | None = None, **fields: Any) -> Promotion:
    """Hand in a promotion; it gives nothing before somebody else has reviewed it. Raises ValidationError.

    fields: name, kind, currency, starts_at, ends_at, budget_nano, and what its kind needs: bonus_percent of a bonus
    on top-ups; inviter_nano and invitee_nano of invitations. Optional: countries, grant_days, times_per_organisation.
    """
    promotion = Promotion(**fields, submitted_by=actor)
    if isinstance(promotion.countries, list):
        promotion.countries = sorted(set(promotion.countries), key=str)
    # Constraints are said in words by the rules, not by their names.
    promotion.full_clean(validate_constraints=False)
    rules.check_asked(promotion)
    promotion.save()
    changes = {name: [None, getattr(promotion, name)] for name in _SAID}
    _record(promotion, "submit", actor=actor, reason=reason, address=address, changes=changes)
    notices.post(
        once=f"promotion:{promotion.pk}:submitted",
        kind="promotion.submitted",
        title=f"The promotion “{promotion}” waits for its legal review",
        audience=Notice.Audience.OPERATORS,
        link=reverse("admin:billing_promotion_change", args=[promotion.pk]),
    )
    return promotion


@transaction.atomic
def review(*, promotion: Promotion, document: str, actor: User, reason: str, address: str | None = None) -> Promotion:
    """Let it run, from its start on. `document`: the legal review that it rests on.

    Raises BillingRefusal, of whoever handed it in too, and when it is over, stopped or reviewed already.
    """
    document = document.strip()
    if not document or len(document) > rules.DOCUMENT_LENGTH_MAX:
        raise BillingRefusal({"document": f"Name the review, in at most {rules.DOCUMENT_LENGTH_MAX} characters."})
    if actor.pk == promotion.submitted_by_id:
        raise BillingRefusal("You handed it in yourself. Somebody else has to review it.")
    waiting = Promotion.objects.filter(
        pk=promotion.pk, reviewed_at=None, stopped_at=None, ends_at__gt=clock.now()
    ).exclude(submitted_by=actor)
    if not waiting.update(reviewed_by=actor, reviewed_at=clock.now(), review_document=document):
        raise BillingRefusal("It does not wait for a review any more.")
    promotion.refresh_from_db()
    changes = {"review_document": ["", document]}
    _record(promotion, "review", actor=actor, reason=reason, address=address, changes=changes)
    return promotion


@transaction.atomic
def stop(*, promotion: Promotion, actor: User | None, reason: str, address: str | None = None) -> Promotion:
    """End it now, for good. What was given stays given. Raises BillingRefusal when it is stopped or over."""
    now = clock.now()
    if not Promotion.objects.filter(pk=promotion.pk, stopped_at=None, ends_at__gt=now).update(stopped_at=now):
        raise BillingRefusal("It is over already.")
    promotion.refresh_from_db()
    _record(promotion, "stop", actor=actor, reason=reason, address=address)
    return promotion


def _record(promotion: Promotion, verb: str, **details: Any) -> None:
    audit.record(action=f"promotion.{verb}", target=promotion, **details)
