"""Giving by a promotion: whether it does, and that it did."""

from datetime import timedelta

from django.db.models import F

from accounts.models import Organisation
from billing.models import Grant, Invitation, LedgerTransaction, Promotion, PromotionUse
from billing.services import promotion_rules as rules
from billing.services.grants import Terms
from billing.services.promotion_rules import PromotionRefused
from newapi.kernel import clock


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


def uses_of(*, promotion: Promotion, organisation: Organisation) -> int:
    """How often an organisation has gained by a promotion."""
    return PromotionUse.objects.filter(promotion=promotion, organisation=organisation).count()


def terms_of(promotion: Promotion) -> Terms:
    """How the grants of a promotion are, from this moment on."""
    return Terms(category=Grant.Category.PROMOTIONAL, expires_at=clock.now() + timedelta(days=promotion.grant_days))


def _times_max(promotion: Promotion, organisation: Organisation) -> int:
    """How often it may. That it was once invited itself does not take from what it may gain by inviting."""
    invited = Invitation.objects.filter(
        promotion=promotion, invitee=organisation, state=Invitation.State.ACCEPTED
    ).count()
    return promotion.times_per_organisation + invited
