"""Promotions: handed in by one person, reviewed by another, used within their dates, places, numbers and budget.

What is given is booked by whoever gives it; `use` counts it in the same database transaction.
"""

from contextlib import suppress
from datetime import timedelta
from typing import Any

from django.db import transaction
from django.db.models import F
from django.urls import reverse

from accounts.models import Notice, Organisation, User
from accounts.services import audit, notices
from billing.errors import BillingRefusal
from billing.models import (
    Grant,
    Invitation,
    LedgerAccount,
    LedgerTransaction,
    Promotion,
    PromotionUse,
    TopUpOrder,
)
from billing.services import promotion_rules as rules
from billing.services import wallets
from billing.services.grants import Terms
from billing.services.promotion_rules import PromotionRefused
from newapi.kernel import clock, money

Kind = Promotion.Kind
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


def require(
    *, promotion: Promotion, organisation: Organisation, nano: int, kind: Promotion.Kind | None = None
) -> Promotion:
    """The promotion as it stands now, if it gives this organisation so much. Raises PromotionRefused.

    nano: what is about to be given, more than zero. kind: what it is to be used for, when that is not settled
    otherwise. Says nothing for later: what counts is `use`.
    """
    current = Promotion.objects.get(pk=promotion.pk)
    if kind is not None and current.kind != kind:
        raise PromotionRefused(f"The promotion “{current}” is for {current.get_kind_display().lower()}.")
    rules.check_runs(current)
    rules.check_is_for(current, organisation)
    rules.check_lasts(current, nano)
    if uses_of(promotion=current, organisation=organisation) >= _times_max(current, organisation):
        raise PromotionRefused(f"{organisation} has gained by the promotion “{current}” as often as it may.")
    return current


def use(*, promotion: Promotion, organisation: Organisation, nano: int, booked: LedgerTransaction) -> PromotionUse:
    """Count what `booked` has given. Call it in the transaction that books it; a refusal must undo that one.

    Raises PromotionRefused.
    """
    require(promotion=promotion, organisation=organisation, nano=nano)
    # From here until the end of the transaction the uses of a promotion go one after the other, so that the count
    # below is right; the constraint on the number stands behind it.
    left = Promotion.objects.filter(rules.in_force(), pk=promotion.pk, given_nano__lte=F("budget_nano") - nano)
    if not left.update(given_nano=F("given_nano") + nano):
        require(promotion=promotion, organisation=organisation, nano=nano)
        raise PromotionRefused(f"The promotion “{promotion}” was changed at this moment. Try again.")
    number = uses_of(promotion=promotion, organisation=organisation) + 1
    if number > _times_max(promotion, organisation):
        raise PromotionRefused(f"{organisation} has gained by the promotion “{promotion}” as often as it may.")
    return PromotionUse.objects.create(
        promotion=promotion, organisation=organisation, number=number, nano=nano, transaction=booked
    )


def for_top_ups(organisation: Organisation) -> list[Promotion]:
    """The bonuses on top-ups that an organisation would get now, the largest first."""
    running = Promotion.objects.filter(rules.in_force(), kind=Kind.TOP_UP, currency=organisation.currency)
    found = []
    for promotion in running.order_by("-bonus_percent", "pk"):
        with suppress(PromotionRefused):
            found.append(require(promotion=promotion, organisation=organisation, nano=1))
    return found


@transaction.atomic
def apply_to_top_up(*, order: TopUpOrder) -> LedgerTransaction | None:
    """Book the bonus of an order that has just been credited, in the same transaction; once, however often it is asked.

    None when no promotion was chosen, or its bonus on so little is nothing. It is judged by this moment, not by when
    the order was made. Raises BillingRefusal: PromotionRefused when it gives nothing any more, or WalletFrozen.
    """
    promotion = order.promotion
    if promotion is None:
        return None
    bonus_nano = money.divide_half_even(_paid_nano(order) * promotion.bonus_percent, 100)
    key = f"promotion:{promotion.pk}:{order.reference}"
    booked = LedgerTransaction.objects.filter(idempotency_key=key).first()
    if booked is not None or not bonus_nano:
        return booked
    require(promotion=promotion, organisation=order.organisation, nano=bonus_nano, kind=Kind.TOP_UP)
    booked = wallets.credit(
        organisation=order.organisation,
        amount_nano=bonus_nano,
        kind=LedgerTransaction.Kind.GRANT,
        idempotency_key=key,
        actor=None,
        reason=f"{promotion.bonus_percent} % on top-up {order.reference}",
        terms=terms_of(promotion),
    )
    use(promotion=promotion, organisation=order.organisation, nano=bonus_nano, booked=booked)
    return booked


def terms_of(promotion: Promotion) -> Terms:
    """How the grants of a promotion are, from this moment on."""
    return Terms(category=Grant.Category.PROMOTIONAL, expires_at=clock.now() + timedelta(days=promotion.grant_days))


def uses_of(*, promotion: Promotion, organisation: Organisation) -> int:
    """How often an organisation has gained by a promotion."""
    return PromotionUse.objects.filter(promotion=promotion, organisation=organisation).count()


def _times_max(promotion: Promotion, organisation: Organisation) -> int:
    """How often it may. That it was once invited itself does not take from what it may gain by inviting."""
    invited = Invitation.objects.filter(
        promotion=promotion, invitee=organisation, state=Invitation.State.ACCEPTED
    ).count()
    return promotion.times_per_organisation + invited


def _paid_nano(order: TopUpOrder) -> int:
    """What came in for an order, by its transaction. Raises ValueError when it was not credited."""
    if order.transaction is None:
        raise ValueError("a bonus is booked after what it is a part of")
    paid = order.transaction.transfers.filter(debit_account__kind=LedgerAccount.Kind.CLEARING)
    return sum(paid.values_list("amount_nano", flat=True))


def _record(promotion: Promotion, verb: str, **details: Any) -> None:
    audit.record(action=f"promotion.{verb}", target=promotion, **details)
