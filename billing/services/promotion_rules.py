"""What a promotion may be, where it stands by the clock, and whom it is for. Nothing is written here."""

from django.core.exceptions import ValidationError
from django.db.models import Q

from accounts.models import Organisation
from billing.errors import BillingRefusal
from billing.models import Promotion
from newapi.kernel import clock, money

Kind = Promotion.Kind
DOCUMENT_LENGTH_MAX = 200
COUNTRIES_MAX = 250


class PromotionRefused(BillingRefusal):
    """The promotion gives nothing to this organisation now. The text says why, and may be shown to it."""


class NotForOrganisation(PromotionRefused):
    """It is not for organisations like this one; another one, or this one described otherwise, may gain by it."""


def check_asked(promotion: Promotion) -> None:
    """Raise ValidationError unless it could give something away some day, by the fields of its kind alone."""
    if promotion.ends_at <= clock.now():
        raise ValidationError({"ends_at": "It would be over before anybody can use it."})
    if promotion.ends_at <= promotion.starts_at:
        raise ValidationError({"ends_at": "It ends before it starts."})
    _check_countries(promotion.countries)
    rewards_nano = promotion.inviter_nano + promotion.invitee_nano
    if (promotion.bonus_percent > 0) != (promotion.kind == Kind.TOP_UP):
        raise ValidationError({"bonus_percent": "A bonus on top-ups has a percentage; nothing else has one."})
    if (rewards_nano > 0) != (promotion.kind == Kind.INVITATION):
        raise ValidationError({"inviter_nano": "Invitations give an amount to a side, or to both; nothing else does."})
    if promotion.budget_nano <= 0 or promotion.budget_nano < rewards_nano:
        raise ValidationError({"budget_nano": "The budget does not last for a single use."})


def in_force() -> Q:
    """The promotions that run at this moment: reviewed, begun, not over, not stopped. The end itself is over."""
    now = clock.now()
    return Q(reviewed_at__isnull=False, stopped_at=None, starts_at__lte=now, ends_at__gt=now)


def standing(promotion: Promotion) -> str:
    """Where it stands now, in one or two words."""
    now = clock.now()
    if promotion.stopped_at is not None:
        return "Stopped"
    if promotion.ends_at <= now:
        return "Over"
    if promotion.reviewed_at is None:
        return "Waits for review"
    if promotion.starts_at > now:
        return "To come"
    return "Used up" if promotion.given_nano >= promotion.budget_nano else "Runs"


def check_runs(promotion: Promotion) -> None:
    """Raise PromotionRefused unless it runs now."""
    why = {
        "Waits for review": "has not been reviewed",
        "To come": f"begins {promotion.starts_at:%Y-%m-%d %H:%M} UTC",
        "Over": f"ended {promotion.ends_at:%Y-%m-%d %H:%M} UTC",
        "Stopped": "was stopped",
        "Used up": "has given away all that it had",
    }.get(standing(promotion))
    if why:
        raise PromotionRefused(f"The promotion “{promotion}” {why}.")


def check_is_for(promotion: Promotion, organisation: Organisation) -> None:
    """Raise NotForOrganisation unless it is for organisations like this one.

    One that has not said its country is not in any of a list.
    """
    if not organisation.is_active:
        raise NotForOrganisation(f"{organisation} is switched off.")
    if promotion.currency != organisation.currency:
        raise NotForOrganisation(f"The promotion “{promotion}” is not in {organisation.currency}.")
    if promotion.countries and organisation.country not in promotion.countries:
        where = organisation.country or "an organisation whose country is not known"
        raise NotForOrganisation(f"The promotion “{promotion}” is not for {where}.")


def check_lasts(promotion: Promotion, nano: int) -> None:
    """Raise PromotionRefused unless so much is left in the budget."""
    left_nano = promotion.budget_nano - promotion.given_nano
    if nano > left_nano:
        raise PromotionRefused(
            f"The promotion “{promotion}” has {money.plain(left_nano)} {promotion.currency} left, "
            f"of {money.plain(nano)} that are needed."
        )


def _check_countries(countries: object) -> None:
    listed = countries if isinstance(countries, list) else [None]
    wrong = [one for one in listed if not (isinstance(one, str) and len(one) == 2 and one.isascii() and one.isupper())]
    if wrong or len(listed) > COUNTRIES_MAX:
        raise ValidationError({"countries": "Codes of two capital letters, such as DE, one a line."})
